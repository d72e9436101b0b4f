"""The listening log of Music4All-Onion, or its table of counts, read once."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from larpbench.datasets.pairs import PairCollector, Pairs
from larpbench.datasets.reading.log_times import OUTSIDE, Clock
from larpbench.datasets.reading.packed_tables import ANYTHING, NUMBER, TIME, Column, Layout, Table, find_table
from larpbench.errors import DataError, UsageError, clipped
from larpbench.storage import atomic_file, write_text
from larpbench.table_files import read_parquet

_USER, _TRACK = Column("user_id", ANYTHING), Column("track_id", ANYTHING)
EVENTS = Layout("userid_trackid_timestamp.tsv", (_USER, _TRACK, Column("timestamp", TIME)))
COUNTS = Layout("userid_trackid_count.tsv", (_USER, _TRACK, Column("count", NUMBER)))
UNREADABLE = "rows of the log that cannot be read"
OUT_OF_WINDOW = "rows of the log outside the window"


@dataclass(frozen=True)
class LogRequest:
    """Which part of the log is read, and how finely.

    Attributes:
        window: Seconds of its begin and end (not included); None: all of the log.
        boundaries: Seconds at which a new period begins, see `larpbench.datasets.pairs`.
    """

    window: tuple[int, int] | None = None
    boundaries: tuple[int, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether times are needed."""
        return self.window is not None or bool(self.boundaries)


@dataclass(frozen=True)
class Log:
    """What was read of the log.

    Attributes:
        pairs: Listeners and tracks.
        left_out: Reason -> number of rows.
    """

    pairs: Pairs
    left_out: dict[str, int]


def seconds_of(day: str) -> int:
    """Return the seconds since 1970 at which a day begins (UTC).

    Raises:
        UsageError: If it is no day.
    """
    try:
        return int(datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC).timestamp())
    except ValueError as error:
        raise UsageError(f"{clipped(day, 40)!r} is no day", allowed="a day such as 2019-02-01") from error


def find_log(folder: Path, request: LogRequest) -> Table:
    """Find the log, or else the counts where no times are needed.

    Raises:
        DataError: If there is none, or it has other columns.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}", allowed="a folder with the files of Music4All-Onion")
    found = find_table(folder, EVENTS) if request.timed else find_table(folder, EVENTS, COUNTS)
    if found is None:
        counts = find_table(folder, COUNTS) if request.timed else None
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
        raise DataError(
            "userid_trackid_count.tsv.bz2 does not say when a track was played"
            if counts
            else "there is no userid_trackid_timestamp.tsv.bz2 and no userid_trackid_count.tsv.bz2",
            where=f"{folder} (has {there or 'nothing'})",
            allowed="userid_trackid_timestamp.tsv.bz2"
            + ("" if request.timed else ", or userid_trackid_count.tsv.bz2 for a split by --cold-fraction"),
            next_step="larpbench dataset fetch onion",
        )
    return found


def read_log(table: Table, request: LogRequest, work: Path) -> Log:
    """Return the pairs of the log; read from `work` if they are there.

    Raises:
        DataError: If the log is damaged, or no row of it can be used.
    """
    marker = work / "pairs.json"
    if not marker.is_file():
        found = _read(table, request)
        frames = {
            "listeners": found.pairs.listeners.to_frame(),
            "tracks": found.pairs.tracks.to_frame(),
            "pairs": found.pairs.table,
        }
        for name, frame in frames.items():
            with atomic_file(work / f"{name}.parquet") as temporary:
                frame.write_parquet(temporary)
        write_text(marker, json.dumps(found.left_out))
        return found
    listeners, tracks, pairs = (read_parquet(work / f"{name}.parquet") for name in ("listeners", "tracks", "pairs"))
    return Log(Pairs(listeners.to_series(), tracks.to_series(), pairs), json.loads(marker.read_text(encoding="utf-8")))


def _read(table: Table, request: LogRequest) -> Log:
    collector = PairCollector(request.boundaries)
    clock = Clock(table.path.name) if "timestamp" in table.places else None
    rows = readable = inside = 0
    names = {"user_id": "listener", "track_id": "track", "timestamp": "first_time"}
    for chunk in table.chunks():
        ids = (pl.col("user_id") != "") & (pl.col("track_id") != "")
        whole = chunk.drop_nulls().filter(ids)
        rows, readable = rows + chunk.height, readable + whole.height
        if clock is not None:
            whole = whole.with_columns(timestamp=clock.seconds(whole["timestamp"])).drop_nulls()
            if request.window is not None:
                start, end = request.window
                whole = whole.filter(pl.col("timestamp").is_between(start, end, closed="left"))
        else:
            whole = whole.filter(pl.col("count") > 0)
        inside += whole.height
        collector.add(whole.rename({old: new for old, new in names.items() if old in whole.columns}))
    wrong = rows - readable + (clock.unreadable + clock.outside if clock else 0)
    if clock is not None:
        clock.close(readable)
    if not inside or 2 * wrong > rows:
        raise DataError(
            f"{wrong} of {rows} rows cannot be read"
            + (f" or are {OUTSIDE}" if clock else "")
            + (f", and {rows - wrong - inside} are outside the window" if request.window else ""),
            where=str(table.path),
            allowed="user_id, track_id, timestamp such as 2013-01-27 21:42:38" if clock else "user_id, track_id, count",
            next_step=None if inside else "choose another --window",
        )
    lost = {UNREADABLE: wrong, OUT_OF_WINDOW: rows - wrong - inside}
    return Log(collector.result(), {reason: count for reason, count in lost.items() if count})
