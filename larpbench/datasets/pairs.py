"""Who has played which track: pairs as whole numbers, collected from a log that is far larger than memory.

A log may come in any order, and hold a pair any number of times. Memory holds each pair once for each period.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from larpbench.datasets.splits import rules

_BUCKETS = 16
_ROWS_BEFORE_MERGING = 1 << 19
_LONG_RUN = 4
_SIDES = ("listener", "track")
_KEY = ("listener", "track", "period")
PAIR_COLUMNS: dict[str, type[pl.DataType]] = {
    "listener": pl.UInt32,
    "track": pl.UInt32,
    "period": pl.UInt8,
    "count": pl.UInt32,
    "first_time": pl.UInt32,
}


@dataclass(frozen=True)
class Pairs:
    """Pairs of listeners and tracks.

    Attributes:
        listeners: (l,) String.
        tracks: (n,) String.
        table: Columns `PAIR_COLUMNS`: ``listener`` and ``track`` are rows of the former; ``period`` is 0 before the
            first boundary, 1 before the second, and so on; ``count`` is how often in the period, null if unknown;
            ``first_time`` is in seconds, null if unknown. One row for each pair and period; those of a pair follow each
            other, the first period first.
    """

    listeners: pl.Series
    tracks: pl.Series
    table: pl.DataFrame

    def in_first_period(self) -> pl.DataFrame:
        """Return each pair once: with count and time of the first period in which it is there."""
        if self.table["period"].max() == 0:
            return self.table
        again = [pl.col(name) == pl.col(name).shift(1) for name in _SIDES]
        return self.table.filter(~pl.all_horizontal(again).fill_null(value=False))

    @property
    def present_tracks(self) -> pl.Series:
        """Sorted ids of the tracks that are in a pair."""
        return self.tracks.gather(self.table["track"].unique()).sort()

    def of_tracks(self, track_ids: pl.Series) -> Pairs:
        """Return the pairs of some tracks."""
        rows = self.tracks.is_in(track_ids.implode()).arg_true().cast(pl.UInt32)
        return replace(self, table=self.table.filter(pl.col("track").is_in(rows.implode())))

    def named(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return rows with ids: columns ``listener_id``, ``track_id``, and ``count``, ``first_time`` as they are."""
        ids = [
            self.listeners.gather(table["listener"]).alias("listener_id"),
            self.tracks.gather(table["track"]).alias("track_id"),
        ]
        return pl.DataFrame(ids).with_columns(table["count"], table["first_time"].cast(pl.Int64))


class PairCollector:
    """Counts pairs piece by piece.

    Args:
        boundaries: Seconds at which a new period begins, ascending.
    """

    def __init__(self, boundaries: tuple[int, ...] = ()) -> None:
        self._boundaries = boundaries
        self._known: dict[str, pl.DataFrame] = {}  # the name of a side -> its values, and the column ``code``
        self._parts: list[list[pl.DataFrame]] = [[] for _ in range(_BUCKETS)]
        self._rows = [0] * _BUCKETS
        self._merged = [0] * _BUCKETS

    def add(self, rows: pl.DataFrame) -> None:
        """Count rows.

        Args:
            rows: Columns ``listener`` and ``track`` (text or whole numbers, the same in every piece), and maybe
                ``first_time`` (seconds) and ``count``; without one a row counts as one play.
        """
        if rows.is_empty():
            return
        counted = "count" in rows.columns
        time = pl.col("first_time") if "first_time" in rows.columns else pl.lit(None, dtype=pl.UInt32)
        period = pl.sum_horizontal([(time >= each).fill_null(value=False) for each in self._boundaries] or [pl.lit(0)])
        frame = rows.with_columns(*(self._codes(rows[name]) for name in _SIDES), period=period)
        listener, track, number = (pl.col(name).cast(pl.UInt64) for name in _KEY)
        tracks, periods = self._known["track"].height, len(self._boundaries) + 1
        grouped = frame.group_by(key=(listener * tracks + track) * periods + number).agg(  # one number: half the time
            (pl.col("count").sum() if counted else pl.len()).cast(pl.UInt32).alias("count"),
            time.min().cast(pl.UInt32).alias("first_time"),
        )
        grouped = grouped.with_columns(
            listener=(pl.col("key") // (tracks * periods)).cast(pl.UInt32),
            track=(pl.col("key") // periods % tracks).cast(pl.UInt32),
            period=(pl.col("key") % periods).cast(pl.UInt8),
        ).select(*PAIR_COLUMNS)
        bucket = pl.col("listener") % _BUCKETS
        for (number,), part in grouped.group_by(bucket.alias("bucket")):
            self._put(int(number), part.select(*PAIR_COLUMNS))

    def result(self) -> Pairs:
        """Return all that was counted; the rows of a listener follow each other, in the order of the tracks."""
        for number in range(_BUCKETS):
            self._merge(number)
        parts = [part.sort(_KEY) for bucket in self._parts for part in bucket]
        self._parts = []
        table = pl.concat(parts) if parts else pl.DataFrame(schema=PAIR_COLUMNS)
        nobody = pl.Series(dtype=pl.String)
        ids = [self._known[name][name].cast(pl.String) if name in self._known else nobody for name in _SIDES]
        return Pairs(ids[0], ids[1], table)

    def _codes(self, column: pl.Series) -> pl.Series:
        """Return the codes of a side's values, (rows,) UInt32; values that are new get the next ones."""
        begins = (column != column.shift()).fill_null(value=True).arg_true()  # of runs: many logs are by listener
        if _LONG_RUN * len(begins) < len(column):
            lengths = np.diff(begins.to_numpy(), append=len(column))
            return pl.Series(column.name, np.repeat(self._codes(column.gather(begins)).to_numpy(), lengths))
        if column.dtype != pl.String:
            values = column.unique(maintain_order=True)
            known = pl.DataFrame([values, self._numbered(values)])
            found = column.to_frame().join(known, on=column.name, how="left", maintain_order="left")
            return found["code"].alias(column.name)
        column = column.cast(pl.Categorical)
        values = column.unique(maintain_order=True)
        places, rows = values.to_physical().to_numpy(), column.to_physical().to_numpy()
        code = np.empty(int(places.max()) + 1, dtype=np.uint32)
        code[places] = self._numbered(values.cast(pl.String)).to_numpy()
        return pl.Series(column.name, code[rows])

    def _numbered(self, values: pl.Series) -> pl.Series:
        """Return the codes of different values, in their order."""
        name, frame = values.name, values.to_frame()
        known = self._known.get(name)
        if known is None:
            self._known[name] = frame.with_row_index("code").select(name, "code")
            return self._known[name]["code"]
        code = frame.join(known, on=name, how="left", maintain_order="left")["code"]
        if code.has_nulls():
            new = frame.filter(code.is_null()).with_row_index("code", offset=known.height).select(name, "code")
            self._known[name] = pl.concat([known, new])
            code = code.scatter(code.is_null().arg_true(), new["code"])
        return code

    def _put(self, number: int, part: pl.DataFrame) -> None:
        self._parts[number].append(part)
        self._rows[number] += part.height
        if self._rows[number] > 1.5 * self._merged[number] + _ROWS_BEFORE_MERGING:
            self._merge(number)

    def _merge(self, number: int) -> None:
        """Put the parts of a bucket together: each pair and period once."""
        if len(self._parts[number]) > 1:
            sums = (pl.col("count").sum().cast(pl.UInt32), pl.col("first_time").min())
            self._parts[number] = [pl.concat(self._parts[number]).group_by(_KEY).agg(*sums)]
        self._rows[number] = self._merged[number] = sum(part.height for part in self._parts[number])


def core(table: pl.DataFrame, least: int) -> pl.DataFrame:
    """Return the largest part in which every listener and every track has so many pairs: the k-core.

    Args:
        table: Columns ``listener``, ``track``, each pair once.
        least: k.
    """
    listener, track = table["listener"].to_numpy(), table["track"].to_numpy()
    kept = np.ones(len(listener), dtype=bool)
    while True:
        before = int(kept.sum())
        for side in (listener, track):
            counts = np.bincount(side[kept], minlength=int(side.max(initial=0)) + 1)
            kept &= counts[side] >= least
        if int(kept.sum()) == before:
            return table.filter(pl.Series(kept, dtype=pl.Boolean))


def drawn(ids: pl.Series, number: int, seed: int, *kind: str) -> pl.Series:
    """Return as many ids as asked for, the first in the order of hashes; all if there are fewer.

    Args:
        ids: Unique.
        number: How many.
        seed: Seed of the draw.
        kind: What is drawn, in a word.
    """
    order = np.argsort(rules.uniforms(seed, *kind, names=ids.to_list()), kind="stable")
    return ids.gather(np.sort(order[:number]))
