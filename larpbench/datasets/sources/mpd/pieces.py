"""What is kept of each slice of playlists while the others are read: whole numbers, and tracks that are new in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.raw_dataset import clean_texts
from larpbench.datasets.sources.mpd.slice_json import Entry, ParsedSlice
from larpbench.datasets.track_ids import ids_of_uris
from larpbench.storage import atomic_file, storage_errors, write_text
from larpbench.table_files import read_parquet

_NO_TRACK = -1
_SPOTIFY_ID = r"^[0-9A-Za-z]{22}$"
_PUBLISHED = r"^spotify:track:([0-9A-Za-z]{22})$"


class Pieces:
    """Pieces in a folder, one a slice; a new object on the same folder goes on after the last whole one.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: list[dict[str, int]] = []
        self._numbers: dict[str | None, int] = {}  # by address; other spellings of an address are not in it
        while (path := self._path("json", len(self))).is_file():
            known = read_parquet(self._path("tracks.parquet", len(self)), columns=["track_id"])["track_id"]
            self._numbers.update(
                zip(
                    _addresses(known).to_list(), range(len(self._numbers), len(self._numbers) + len(known)), strict=True
                )
            )
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
        numbers, new_ids = self._looked_up(entries)
        usable = numbers != _NO_TRACK
        if _lack(entries, usable, "track_name") or _lack(entries, usable, "artist_name"):
            raise parsed.nothing_usable()
        pids = np.fromiter((playlist.pid for playlist in parsed.playlists), np.int64, playlists)
        lengths = np.fromiter((len(playlist.tracks) for playlist in parsed.playlists), np.int64, playlists)
        row = np.repeat(np.arange(playlists), lengths)
        held = np.bincount(row[usable], minlength=playlists)
        listed = np.flatnonzero(usable & (held >= shortest)[row])
        row, numbers = row[listed], numbers[listed]
        new = self._number(entries, new_ids, listed, numbers)
        first = np.sort(np.unique(row << 32 | numbers, return_index=True)[1])
        row, numbers = row[first], numbers[first]
        sizes = np.bincount(row, minlength=playlists)
        by_pid = np.argsort(pids, kind="stable")
        rank = np.argsort(by_pid, kind="stable")
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
            new.write_parquet(temporary)
        path = self._path("npz", place)
        kept = by_pid[sizes[by_pid] > 0]
        tracks = numbers[np.argsort(rank[row], kind="stable")].astype(np.uint32)
        with atomic_file(path) as temporary, storage_errors(path), temporary.open("wb") as stream:
            np.savez(stream, ids=pids[kept], lengths=sizes[kept], tracks=tracks)
        write_text(self._path("json", place), json.dumps(counts))  # the last one: it says that the piece is whole
        self._counts.append(counts)

    def _looked_up(self, entries: list[Entry]) -> tuple[np.ndarray, list[str]]:
        """Return (entries,) int64 numbers, and the ids of new tracks, which have the numbers -2, -3 and so on."""
        uris = [entry.track_uri for entry in entries]
        numbers: list[int | None] = list(map(self._numbers.get, uris))
        if None not in numbers:
            return np.array(numbers, dtype=np.int64), []
        unknown = dict.fromkeys(uri for uri, number in zip(uris, numbers, strict=True) if number is None)
        ids = _ids(pl.Series(list(unknown), dtype=pl.String))
        new: dict[str, int] = {}
        found: dict[str | None, int] = {}
        for uri, track_id, address in zip(unknown, ids.to_list(), _addresses(ids).to_list(), strict=True):
            if track_id is None:
                found[uri] = _NO_TRACK
            else:
                known = None if address == uri else self._numbers.get(address)
                found[uri] = new.setdefault(track_id, _NO_TRACK - 1 - len(new)) if known is None else known
        whole = [found[uri] if number is None else number for uri, number in zip(uris, numbers, strict=True)]
        return np.array(whole, dtype=np.int64), list(new)

    def _number(
        self, entries: list[Entry], new_ids: list[str], listed: np.ndarray, numbers: np.ndarray
    ) -> pl.DataFrame:
        """Give new tracks their numbers, in place, and return them with the texts of the first entry of each.

        Args:
            entries: All of the slice.
            new_ids: Ids of the new tracks.
            listed: (n,) the places of those entries that are kept.
            numbers: (n,) int64 numbers of these, below `_NO_TRACK` for new tracks.
        """
        is_new = np.flatnonzero(numbers < _NO_TRACK)
        codes, first = np.unique(_NO_TRACK - 1 - numbers[is_new], return_index=True)
        final = np.empty(len(new_ids), dtype=np.int64)
        final[codes] = len(self._numbers) + np.arange(len(codes))
        numbers[is_new] = final[_NO_TRACK - 1 - numbers[is_new]]
        texts = [entries[place] for place in listed[is_new[first]].tolist()]
        frame = pl.DataFrame(
            {
                "track_id": [new_ids[code] for code in codes.tolist()],
                "title": [entry.track_name for entry in texts],
                "artist": [entry.artist_name for entry in texts],
                "album": [entry.album_name for entry in texts],
            },
            schema=dict.fromkeys(("track_id", "title", "artist", "album"), pl.String()),
        )
        self._numbers.update(zip(_addresses(frame["track_id"]).to_list(), final[codes].tolist(), strict=True))
        return clean_texts(frame)

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


def _ids(uris: pl.Series) -> pl.Series:
    """Return `ids_of_uris`, faster where the addresses are written as published."""
    ids = uris.str.extract(_PUBLISHED)
    odd = ids.is_null()
    return ids.scatter(odd.arg_true(), ids_of_uris(uris.filter(odd))) if odd.any() else ids


def _addresses(ids: pl.Series) -> pl.Series:
    """Return what a collection has of tracks with these ids: Spotify's address, or the id itself."""
    return pl.select(pl.when(ids.str.contains(_SPOTIFY_ID)).then("spotify:track:" + ids).otherwise(ids)).to_series()


def _lack(entries: list[Entry], usable: np.ndarray, name: str) -> bool:
    """Whether no entry that can be used has such a text."""
    return all(getattr(entries[place], name) is None for place in np.flatnonzero(usable))
