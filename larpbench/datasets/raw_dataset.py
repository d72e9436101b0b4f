"""What a source hands over to `larpbench.datasets.build`: tracks as text, playlists as whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl

from larpbench.datasets.schema import DatasetAudio
from larpbench.errors import DataError, named

_BLOCK = 1 << 16
_CONTROL_CHARACTERS = r"[\x00-\x1f\x7f]+"


@dataclass(frozen=True)
class RawPlaylists:
    """Playlists, or users, and their tracks as numbers.

    Attributes:
        ids: (p,) String, unique.
        offsets: (p + 1,) int64; playlist i holds ``tracks[offsets[i]:offsets[i + 1]]``.
        tracks: (entries,) uint32 rows of the track table.
        order: ``listed``: in the playlist's order, no track twice; ``timed``: in the order of time, one entry for each
            time that a track was played; ``unknown``: in no order, no track twice.
        splits: (p,) int8 places in `SPLITS`, if the source states them; the track table then has a column ``split``.
        roles: (entries,) int8 places in `ROLES`, if the source states them.
        columns: ``playlist_id``, in the order of `ids`, and columns of the playlists' own; None if there are none.
    """

    ids: pl.Series
    offsets: np.ndarray
    tracks: np.ndarray
    order: Literal["listed", "timed", "unknown"]
    splits: np.ndarray | None = None
    roles: np.ndarray | None = None
    columns: pl.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, row: int) -> np.ndarray:
        """Return the tracks of a playlist."""
        return self.tracks[self.offsets[row] : self.offsets[row + 1]]

    def blocks(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield all playlists in blocks: the first, the one after the last, and the tracks of all of them.

        Whole arrays are not used as indices: numpy would copy them to 8 bytes an entry.
        """
        for start in range(0, len(self), _BLOCK):
            stop = min(start + _BLOCK, len(self))
            yield start, stop, self.tracks[self.offsets[start] : self.offsets[stop]]

    def entries(self) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """Yield all playlists in blocks, each track of a playlist once.

        Yields:
            The first playlist, the one after the last, and for each entry the number of its playlist within the block
            and its track, both in the order of the playlist; timed entries count where a track comes first.
        """
        for start, stop, tracks in self.blocks():
            row_of = np.repeat(np.arange(stop - start, dtype=np.int32), np.diff(self.offsets[start : stop + 1]))
            if self.order == "timed":
                first = np.sort(np.unique(row_of.astype(np.int64) << 32 | tracks, return_index=True)[1])
                row_of, tracks = row_of[first], tracks[first]
            yield start, stop, row_of, tracks

    def sizes(self) -> np.ndarray:
        """Return (p,) int64, how many different tracks each playlist has."""
        if self.order != "timed":
            return np.diff(self.offsets)
        counts = [np.bincount(row_of, minlength=stop - start) for start, stop, row_of, _ in self.entries()]
        return np.concatenate([np.empty(0, dtype=np.int64), *counts])

    def renumber(self, numbers: np.ndarray) -> None:
        """Put another number in the place of each track, without a copy.

        Args:
            numbers: (n,) uint32, by the number so far.
        """
        for _, _, tracks in self.blocks():
            tracks[:] = numbers[tracks]

    def times_held(self, n_tracks: int) -> np.ndarray:
        """Return (n_tracks,) the number of entries of each track."""
        counts = np.zeros(n_tracks, dtype=np.int64)
        for _, _, tracks in self.blocks():
            counts += np.bincount(tracks, minlength=n_tracks)
        return counts

    def restricted(self, usable: np.ndarray) -> RawPlaylists:
        """Return the playlists without some tracks, with rows of a track table that lacks them too.

        Args:
            usable: (n,) bool, for each row of the track table.
        """
        row = (np.cumsum(usable) - 1).astype(np.uint32)
        lengths = np.empty(len(self), dtype=np.int64)
        parts = [np.empty(0, dtype=np.uint32)]
        for start, stop, tracks in self.blocks():
            kept = usable[tracks]
            before = np.concatenate([[0], np.cumsum(kept)])
            lengths[start:stop] = np.diff(before[self.offsets[start : stop + 1] - self.offsets[start]])
            parts.append(row[tracks[kept]])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return replace(self, offsets=offsets, tracks=np.concatenate(parts))


@dataclass
class RawDataset:
    """Tracks and playlists before the split; changed in place during a build, since memory holds them only once.

    Attributes:
        tracks: Columns ``track_id``, ``title``, ``artist``, ``album`` (clean texts), and maybe ``split``, ``audio``,
            ``clip_start_s``, ``duration_s``; then columns of the table's own.
        playlists: With rows of `tracks`.
        source: What it was read from, in words.
        licence: Licence of the data, in words.
        left_out: Reason -> number of what did not come in.
        notes: Sentences that every table made on the data set prints.
        audio: The tracks' audio, if there is any.
        silent: (p,) how many tracks each playlist lost because their audio cannot be used; None if none did.
    """

    tracks: pl.DataFrame
    playlists: RawPlaylists
    source: str
    licence: str
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    audio: DatasetAudio | None = None
    silent: np.ndarray | None = None

    def sort(self) -> None:
        """Sort the tracks by id and number them anew.

        Raises:
            DataError: If an id is missing, unprintable, or there twice.
        """
        if not self.tracks["track_id"].is_sorted():
            order = self.tracks["track_id"].arg_sort().to_numpy()
            number = np.empty(len(order), dtype=np.uint32)
            number[order] = np.arange(len(order), dtype=np.uint32)
            self.playlists.renumber(number)
        self.tracks = sorted_tracks(self.tracks)


def sorted_tracks(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return the tracks sorted by id.

    Raises:
        DataError: If an id is missing, unprintable, or there twice.
    """
    require_ids(tracks, "track_id", "tracks")
    repeated = tracks.filter(pl.col("track_id").is_duplicated())["track_id"].unique().sort()
    if len(repeated):
        raise DataError(
            f"{len(repeated)} track ids occur more than once: {named(repeated)}",
            where="tracks",
            allowed="one row a track",
        )
    return tracks.sort("track_id")


def clean_texts(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return the tracks with titles, artists and albums without control characters; unknown ones are empty."""
    text = [
        pl.col(name).fill_null("").str.replace_all(_CONTROL_CHARACTERS, " ").str.strip_chars()
        for name in ("title", "artist", "album")
    ]
    return tracks.with_columns(text)


def unprintable(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the rows whose id is missing, empty, or has control characters."""
    return frame.filter(
        pl.col(column).is_null() | (pl.col(column) == "") | pl.col(column).str.contains(_CONTROL_CHARACTERS)
    )


def require_ids(frame: pl.DataFrame, column: str, where: str) -> None:
    """Refuse ids that are missing, empty or have control characters.

    Raises:
        DataError: If there are any.
    """
    bad = unprintable(frame, column)
    if bad.height:
        raise DataError(
            f"{bad.height} rows have an empty {column}, or one with control characters",
            where=where,
            allowed="printable, non-empty ids",
        )
