"""What a source hands over to `larpbench.datasets.build`: tracks as text, playlists as whole numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import polars as pl

from larpbench.datasets.audio_table import DatasetAudio
from larpbench.errors import DataError, named

_BLOCK = 1 << 16
_WORD = 8
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

    def entries(self, wanted: np.ndarray | None = None) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """Yield all playlists in blocks, each track of a playlist once.

        Args:
            wanted: (p,) bool, the playlists whose entries are needed; None needs all.

        Yields:
            The first playlist, the one after the last, and for each entry the number of its playlist within the block
            and its track, both in the order of the playlist; timed entries count where a track comes first.
        """
        for start, stop, tracks in self.blocks():
            lengths = np.diff(self.offsets[start : stop + 1])
            row_of = np.repeat(np.arange(stop - start, dtype=np.int32), lengths)
            if wanted is not None and not wanted[start:stop].all():
                mine = np.repeat(wanted[start:stop], lengths)
                row_of, tracks = row_of[mine], tracks[mine]
            if self.order == "timed":
                first = _first_in_row(row_of, tracks)
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
            usable: (n,) bool, for each row of the track table. If all are usable, nothing is copied.
        """
        if usable.all():
            return self
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
        self.tracks, order = _in_order(self.tracks)
        if order is not None:
            number = np.empty(len(order), dtype=np.uint32)
            number[order] = np.arange(len(order), dtype=np.uint32)
            self.playlists.renumber(number)


def sorted_tracks(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return the tracks sorted by id.

    Raises:
        DataError: If an id is missing, unprintable, or there twice.
    """
    return _in_order(tracks)[0]


def _in_order(tracks: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray | None]:
    """Return the tracks sorted by id, and their rows in this order; None if they are in it already."""
    require_ids(tracks, "track_id", "tracks")
    order = None if tracks["track_id"].is_sorted() else text_order(tracks["track_id"])
    if order is not None:
        tracks = tracks.select(pl.all().gather(order))
    ids = tracks["track_id"]
    repeated = ids.filter(ids == ids.shift()).unique().sort()
    if len(repeated):
        raise DataError(
            f"{len(repeated)} track ids occur more than once: {named(repeated)}",
            where="tracks",
            allowed="one row a track",
        )
    return tracks.with_columns(pl.col("track_id").set_sorted()), order


def text_order(texts: pl.Series) -> np.ndarray:
    """Return (n,) int64, the rows in the order of their texts in UTF-8; equal texts come in any order.

    Eight bytes are compared as one number, and the whole texts only where these are equal.

    Args:
        texts: Without nulls and null characters.
    """
    words = texts.str.pad_end(_WORD, "\0").cast(pl.Binary).bin.slice(0, _WORD)
    keys = words.bin.reinterpret(dtype=pl.UInt64, endianness="big").to_numpy()
    order = np.argsort(keys)
    keys = keys[order]
    same = np.concatenate([[False], keys[1:] == keys[:-1], [False]])
    tied = same[1:] | same[:-1]
    if tied.any():
        rows = order[tied]
        by_text = texts.gather(rows).arg_sort().to_numpy()
        group = np.cumsum(~same[:-1])[tied]
        order[tied] = rows[by_text[np.argsort(group[by_text], kind="stable")]]
    return order


def places_of_runs(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the places of runs, one run after another: (lengths.sum(),) int64.

    Args:
        starts: (n,) the first place of each run.
        lengths: (n,) how many it has.
    """
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))


def _first_in_row(row_of: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """Return the places of entries whose track has not come before in their row, ascending.

    Args:
        row_of: (n,) row of each entry, ascending.
        tracks: (n,) uint32.
    """
    # Sorted by track, then by place: those of one row follow each other, since rows ascend with the places.
    both = np.sort(tracks.astype(np.uint64) << 32 | np.arange(len(tracks), dtype=np.uint64))
    places, tracks = both.astype(np.uint32), (both >> 32).astype(np.uint32)
    del both
    rows = row_of[places]
    first = np.ones(len(places), dtype=bool)
    first[1:] = (tracks[1:] != tracks[:-1]) | (rows[1:] != rows[:-1])
    return np.sort(places[first])


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
