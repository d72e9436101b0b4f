"""The entries of a data set of listeners as whole numbers: checked, each pair once, given out in sorted blocks.

A whole log has 50 million pairs. They are kept in the order in which they come, at 24 bytes a pair beside what is
handed in, and only a part of the listeners at a time is sorted and written as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.datasets.left_out import add_count
from larpbench.datasets.listeners.split import occurrences
from larpbench.datasets.listeners.table import COUNT, FIRST_TIME, LISTEN_COLUMNS
from larpbench.datasets.pairs import Pairs
from larpbench.datasets.raw_dataset import require_ids
from larpbench.errors import DataError, named

_ENTRIES_AT_A_TIME = 1 << 18
_ENTRIES_SORTED_AT_A_TIME = 1 << 21


@dataclass(frozen=True)
class ListenerEntries:
    """Who plays what.

    Attributes:
        listeners: (l,) String, sorted ids.
        track_ids: (n,) String, sorted ids.
        table: Columns ``listener``, ``track`` (UInt32, rows of the former), and ``count``, ``first_time`` where they
            are known. Each pair once, in any order.
    """

    listeners: pl.Series
    track_ids: pl.Series
    table: pl.DataFrame

    def blocks(self, kept: np.ndarray | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows sorted by listener and track, a bounded number of whole listeners at a time.

        Args:
            kept: (entries,) bool, the rows that stay; None: all.
        """
        for group in self._groups(kept):
            part = self._of(group[0][0], group[-1][1], kept)
            ends = np.cumsum([rows for _, _, rows in group])
            for (_, _, rows), end in zip(group, ends, strict=True):
                yield part.slice(int(end) - rows, rows)

    def named(self, block: pl.DataFrame) -> pl.DataFrame:
        """Return the ids of rows: columns ``playlist_id``, ``track_id``."""
        listeners, tracks = self.listeners.gather(block["listener"]), self.track_ids.gather(block["track"])
        return pl.DataFrame([listeners.alias("playlist_id"), tracks.alias("track_id")])

    def repeated(self) -> int:
        """Return how many rows are of a pair that was there before."""
        found = 0
        for group in self._groups(None):
            keys = self._of(group[0][0], group[-1][1], None).select(self._key).to_series()
            found += int((keys == keys.shift(1)).sum())
        return found

    def merged(self) -> ListenerEntries:
        """Return each pair once, with the sum of its counts and the earliest of its times."""
        sums = {COUNT: pl.col(COUNT).cast(pl.Int64).sum().cast(pl.UInt32), FIRST_TIME: pl.col(FIRST_TIME).min()}
        known = [sums[name] for name in sums if name in self.table.columns]
        table = self.table.group_by("listener", "track").agg(known)
        return ListenerEntries(self.listeners, self.track_ids, table)

    @property
    def _key(self) -> pl.Expr:
        """One number a pair, which sorts in less time and memory than two."""
        return pl.col("listener").cast(pl.UInt64) * len(self.track_ids) + pl.col("track")

    def _of(self, first: int, after: int, kept: np.ndarray | None) -> pl.DataFrame:
        """Return the rows of some listeners, sorted."""
        rows = pl.col("listener").is_between(first, after - 1)
        if kept is not None:
            rows &= pl.lit(pl.Series(kept))
        return self.table.filter(rows).sort(self._key)

    def _groups(self, kept: np.ndarray | None) -> Iterator[list[tuple[int, int, int]]]:
        """Yield blocks, as many as are sorted at once: the first listener, the one after the last, and the rows."""
        lengths = occurrences(self.table["listener"].to_numpy(), len(self.listeners), kept)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        group: list[tuple[int, int, int]] = []
        first = 0
        while first < len(lengths):
            after = int(np.searchsorted(ends, ends[first] + _ENTRIES_AT_A_TIME, side="right")) - 1
            after = max(first + 1, after)
            rows = int(ends[after] - ends[first])
            if rows:
                group.append((first, after, rows))
            if group and ends[after] - ends[group[0][0]] >= _ENTRIES_SORTED_AT_A_TIME:
                yield group
                group = []
            first = after
        if group:
            yield group


def numbered_entries(
    interactions: pl.DataFrame | Pairs, track_ids: pl.Series, left_out: dict[str, int]
) -> ListenerEntries:
    """Return the entries as numbers, each pair once.

    Args:
        interactions: See `larpbench.datasets.listeners.assemble.assemble_listeners`.
        track_ids: (n,) String, sorted.
        left_out: Reason -> count, to which is added what is left out here.

    Raises:
        DataError: If an id is missing or unprintable, a count or time is no whole number, or nothing is left.
    """
    if isinstance(interactions, Pairs):
        table, (listeners, places) = interactions.table, _numbers_of_pairs(interactions, track_ids)
    else:
        table, (listeners, places) = interactions, _numbers_of_frame(interactions, track_ids)
    known = [
        _whole(table, name) for name in (COUNT, FIRST_TIME)
        if name in table.columns and table[name].null_count() < table.height
    ]  # fmt: skip
    rows = places.with_columns(known)
    if lost := rows["track"].null_count():
        rows = rows.filter(pl.col("track").is_not_null())
        add_count(left_out, "entries whose track is not in the tracks table", lost)
    if rows.is_empty():
        raise DataError(
            "no listener plays a track of the tracks table",
            where=f"{table.height} interactions, {len(track_ids)} tracks",
            allowed="track_id values that occur in both tables",
        )
    entries = ListenerEntries(listeners, track_ids, rows)
    if isinstance(interactions, Pairs) or not (repeated := entries.repeated()):
        return entries
    add_count(left_out, "duplicate entries", repeated)
    return entries.merged()


def _numbers_of_frame(interactions: pl.DataFrame, track_ids: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
    """Return the sorted ids of the listeners; and columns ``listener``, ``track``, null where it is none of these."""
    for name in ("listener_id", "track_id"):
        require_ids(interactions, name, "interactions")
    listeners = interactions["listener_id"].unique().sort()
    found = interactions.select("listener_id", "track_id")
    for name, ids in (("listener", listeners), ("track", track_ids)):
        column = f"{name}_id"
        places = ids.alias(column).to_frame().with_row_index(name)
        found = found.join(places, on=column, how="left", maintain_order="left").drop(column)
    return listeners, found


def _numbers_of_pairs(pairs: Pairs, track_ids: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
    """Return the same of pairs, whose numbers are looked up and never become text."""
    used = {name: pairs.table[name].unique().sort() for name in ("listener", "track")}
    named_ids = {"listener": pairs.listeners.gather(used["listener"]), "track": pairs.tracks.gather(used["track"])}
    for name, ids in named_ids.items():
        require_ids(ids.alias(f"{name}_id").to_frame(), f"{name}_id", "interactions")
    listeners = named_ids["listener"].sort()
    sides = (("listener", pairs.listeners, listeners), ("track", pairs.tracks, track_ids))
    columns = []
    for name, before, after in sides:
        places = after.alias("id").to_frame().with_row_index("place")
        place = before.alias("id").to_frame().join(places, on="id", how="left", maintain_order="left")["place"]
        columns.append(place.gather(pairs.table[name]).alias(name))
    return listeners, pl.DataFrame(columns)


def _whole(interactions: pl.DataFrame, name: str) -> pl.Series:
    """Return counts or times in the type that they have on disk.

    Raises:
        DataError: If they are no whole numbers, or a count is below 1.
    """
    stated = interactions[name]
    kind = LISTEN_COLUMNS[name]()
    try:
        found = stated.cast(kind)
        same = stated.is_null() | (found.cast(stated.dtype) == stated)
    except pl.exceptions.PolarsError:
        same = pl.Series([False])
    if not same.all() or stated.dtype == pl.String:
        raise DataError(f"the column {name} of the interactions holds {stated.dtype} that is no {kind}",
                        where="interactions", allowed="whole numbers")  # fmt: skip
    if name == COUNT and (below := interactions.filter(found < 1)).height:
        tracks = below["track_id" if "track_id" in below.columns else "track"]
        raise DataError(
            f"{below.height} interactions have a count of 0: {named(tracks)}",
            where="interactions",
            allowed="counts of 1 or more, null where they are not known",
        )
    return found
