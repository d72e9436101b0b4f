"""What is kept of each slice of playlists while the others are read: whole numbers, and tracks that are new in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.raw_dataset import clean_texts
from larpbench.datasets.sources.mpd.slices import ParsedSlice
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
        self._numbers: dict[str, int] = {}
        while (path := self._path("json", len(self))).is_file():
            known = read_parquet(self._path("tracks.parquet", len(self)), columns=["track_id"])["track_id"]
            self._numbers.update(zip(known, range(len(self._numbers), len(self._numbers) + len(known)), strict=True))
            self._counts.append(json.loads(path.read_text(encoding="utf-8")))

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, parsed: ParsedSlice, shortest: int = 1) -> None:
        """Number the tracks of the next slice, and keep it.

        Args:
            parsed: The slice.
            shortest: Playlists with fewer entries do not come in.
        """
        listed = parsed.entries if shortest == 1 else parsed.entries.filter(pl.len().over("pid") >= shortest)
        in_slice = listed.unique("track_id", keep="first", maintain_order=True).drop("pid")
        before = len(self._numbers)
        numbers = [
            self._numbers.setdefault(track_id, len(self._numbers)) for track_id in in_slice["track_id"].to_list()
        ]
        numbered = in_slice.with_columns(track=pl.Series(numbers, dtype=pl.UInt32))
        entries = (
            listed.select("pid", "track_id")
            .join(numbered.select("track_id", "track"), on="track_id", how="left", maintain_order="left")
            .select("pid", "track")
            .unique(maintain_order=True)
            .sort("pid", maintain_order=True)
        )
        counts = {
            "entries": entries.height,
            "playlists": entries["pid"].n_unique(),
            "contradicting": parsed.contradicting,
            "without_id": parsed.without_id,
            "repeated": listed.height - entries.height,
            "without_tracks": parsed.playlists - parsed.entries["pid"].n_unique(),
            "without_albums": int(not parsed.has_albums),
        }
        place = len(self)
        new = clean_texts(numbered.filter(pl.col("track") >= before).drop("track"))
        for name, frame in (("tracks", new), ("entries", entries)):
            path = self._path(f"{name}.parquet", place)
            with atomic_file(path) as temporary, storage_errors(path):
                frame.write_parquet(temporary)
        write_text(self._path("json", place), json.dumps(counts))  # the last one: it says that the piece is whole
        self._counts.append(counts)

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
            piece = read_parquet(self._path("entries.parquet", place))
            runs = piece.group_by("pid", maintain_order=True).len()
            ids[playlist : playlist + runs.height] = runs["pid"].to_numpy()
            lengths[playlist : playlist + runs.height] = runs["len"].to_numpy()
            tracks[entry : entry + piece.height] = piece["track"].to_numpy()
            playlist, entry = playlist + counts["playlists"], entry + counts["entries"]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return ids, offsets, tracks, self._counts[-1]["playlists"] if last_apart else 0

    def _path(self, kind: str, place: int) -> Path:
        return self._folder / f"{place:06d}.{kind}"
