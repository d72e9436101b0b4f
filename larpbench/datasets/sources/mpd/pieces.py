"""What is kept of each slice of playlists while the others are read: whole numbers, and tracks that are new in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.raw_dataset import clean_texts, places_of_runs
from larpbench.datasets.sources.mpd.addresses import NO_TRACK, Addresses, addresses_of, first_places
from larpbench.datasets.sources.mpd.slice_json import Entry, ParsedSlice
from larpbench.datasets.track_ids import ids_of_uris
from larpbench.storage import atomic_file, storage_errors, write_text
from larpbench.table_files import read_parquet


class Pieces:
    """Pieces in a folder, one a slice; a new object on the same folder goes on after the last whole one.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: list[dict[str, int]] = []
        self._addresses = Addresses()
        self._numbers = np.empty(0, dtype=np.int32)  # by number of an address; a track's is below `_n_tracks`
        self._n_tracks = 0
        while (path := self._path("json", len(self))).is_file():
            known = read_parquet(self._path("tracks.parquet", len(self)), columns=["track_id"])["track_id"]
            self._number(self._addresses.numbers(addresses_of(known)))
            self._counts.append(json.loads(path.read_text(encoding="utf-8")))

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, parsed: ParsedSlice, shortest: int = 1) -> None:
        """Number the tracks of the next slice, and keep it.

        Args:
            parsed: The slice.
            shortest: Playlists with fewer entries do not come in.

        Raises:
            DataError: If no entry of it can be used.
        """
        playlists = len(parsed.playlists)
        entries = [entry for playlist in parsed.playlists for entry in playlist.tracks]
        uris = pl.Series([entry.track_uri for entry in entries], dtype=pl.String)
        addresses = self._addresses.numbers(uris)
        usable = addresses != NO_TRACK
        if _lack(entries, usable, "track_name") or _lack(entries, usable, "artist_name"):
            raise parsed.nothing_usable()
        pids = np.fromiter((playlist.pid for playlist in parsed.playlists), np.int64, playlists)
        lengths = np.fromiter((len(playlist.tracks) for playlist in parsed.playlists), np.int64, playlists)
        row = np.repeat(np.arange(playlists), lengths)
        held = np.bincount(row[usable], minlength=playlists)
        listed = np.flatnonzero(usable & (held >= shortest)[row])
        new, numbers = self._number(addresses[listed])
        table = _track_table(uris.gather(listed[new]), [entries[place] for place in listed[new].tolist()])
        row = row[listed]
        first = first_places(row << 32 | numbers)
        row, numbers = row[first], numbers[first]
        sizes = np.bincount(row, minlength=playlists)
        by_pid = np.argsort(pids, kind="stable")
        counts = {
            "entries": len(numbers),
            "playlists": int((sizes > 0).sum()),
            "contradicting": parsed.contradicting,
            "without_id": parsed.without_pid + int((~usable).sum()),
            "repeated": len(listed) - len(numbers),
            "without_tracks": parsed.count - int((held > 0).sum()),
            "without_albums": int(_lack(entries, usable, "album_name")),
        }
        place = len(self)
        path = self._path("tracks.parquet", place)
        with atomic_file(path) as temporary, storage_errors(path):
            table.write_parquet(temporary, compression="lz4", statistics=False)  # read once more, and deleted
        path = self._path("npz", place)
        kept = by_pid[sizes[by_pid] > 0]
        tracks = numbers[places_of_runs(np.cumsum(sizes)[kept] - sizes[kept], sizes[kept])].astype(np.uint32)
        with atomic_file(path) as temporary, storage_errors(path), temporary.open("wb") as stream:
            np.savez(stream, ids=pids[kept], lengths=sizes[kept], tracks=tracks)
        write_text(self._path("json", place), json.dumps(counts))  # the last one: it says that the piece is whole
        self._counts.append(counts)

    def _number(self, addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give numbers to tracks that have none.

        Args:
            addresses: (n,) numbers of addresses.

        Returns:
            The places of the new tracks, each where it comes first, and (n,) int64 numbers of all tracks.
        """
        if (more := int(addresses.max(initial=-1)) + 1 - len(self._numbers)) > 0:
            more = max(more, len(self._numbers))
            self._numbers = np.concatenate([self._numbers, np.full(more, NO_TRACK, dtype=np.int32)])
        new = np.flatnonzero(self._numbers[addresses] == NO_TRACK)
        new = new[first_places(addresses[new])]
        self._numbers[addresses[new]] = self._n_tracks + np.arange(len(new))
        self._n_tracks += len(new)
        return new, self._numbers[addresses].astype(np.int64)

    def counts(self) -> dict[str, int]:
        """Return the sums of what was counted."""
        return {name: sum(each[name] for each in self._counts) for name in self._counts[0]}

    def tracks(self) -> pl.DataFrame:
        """Return ``track_id``, ``title``, ``artist``, ``album`` of all tracks, in the order of their numbers."""
        return pl.concat([read_parquet(self._path("tracks.parquet", place)) for place in range(len(self))])

    def playlists(self, *, last_apart: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Return all playlists.

        Args:
            last_apart: Whether to count the playlists of the last piece.

        Returns:
            (p,) int64 ids, (p + 1,) int64 offsets, (entries,) uint32 track numbers, and how many playlists are those of
            the last piece (0 if that was not asked for).
        """
        total = self.counts()
        ids = np.empty(total["playlists"], dtype=np.int64)
        lengths = np.empty(total["playlists"], dtype=np.int64)
        tracks = np.empty(total["entries"], dtype=np.uint32)
        playlist = entry = 0
        for place, counts in enumerate(self._counts):
            path = self._path("npz", place)
            with storage_errors(path, "read"), np.load(path) as piece:
                ids[playlist : playlist + counts["playlists"]] = piece["ids"]
                lengths[playlist : playlist + counts["playlists"]] = piece["lengths"]
                tracks[entry : entry + counts["entries"]] = piece["tracks"]
            playlist, entry = playlist + counts["playlists"], entry + counts["entries"]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return ids, offsets, tracks, self._counts[-1]["playlists"] if last_apart else 0

    def _path(self, kind: str, place: int) -> Path:
        return self._folder / f"{place:06d}.{kind}"


def _track_table(uris: pl.Series, entries: list[Entry]) -> pl.DataFrame:
    return clean_texts(
        pl.DataFrame(
            {
                "track_id": ids_of_uris(uris),
                "title": pl.Series([entry.track_name for entry in entries], dtype=pl.String),
                "artist": pl.Series([entry.artist_name for entry in entries], dtype=pl.String),
                "album": pl.Series([entry.album_name for entry in entries], dtype=pl.String),
            }
        )
    )


def _lack(entries: list[Entry], usable: np.ndarray, name: str) -> bool:
    """Whether no entry that can be used has such a text."""
    return all(getattr(entries[place], name) is None for place in np.flatnonzero(usable))
