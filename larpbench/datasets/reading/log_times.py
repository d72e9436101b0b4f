"""The times of a listening log: numbers of one unit, or dates; which of them is found out once, from the log itself."""

from __future__ import annotations

import polars as pl

from larpbench import progress
from larpbench.errors import DataError, clipped

_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_DATES = "dates"
_EARLIEST, _LATEST = 10**8, 4_102_444_799  # in seconds: 1973-03-03 to 2099-12-31; no two units meet in this range
_DATE = (
    r"^\s*(?<day>\d{4}-\d\d-\d\d)[ T](?<minute>\d\d:\d\d)(?<second>:\d\d)?(?:[.,]\d+)?"
    r"\s*(?:Z|z|UTC|GMT)?(?:(?<sign>[+-])(?<hours>\d\d):?(?<minutes>\d\d)?)?\s*$"
)
OUTSIDE = "before March 1973 or after 2099"
"""What no log of listening can be; in words."""


class Clock:
    """Reads the times of one log, piece by piece.

    The first piece that holds any time decides for the whole log: dates, or seconds, milliseconds, microseconds or
    nanoseconds since 1970, whichever makes most of its cells a time between 1973 and 2099. What is of another kind
    later on cannot be read.

    Args:
        file: Name of the log, for messages.

    Attributes:
        unreadable: Cells so far that are no time of the log's kind.
        outside: Cells so far that are one, but before March 1973 or after 2099.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._kind: str | None = None
        self._examples: dict[str, str] = {}
        self._moments: set[object] = set()
        self.unreadable = self.outside = 0

    def seconds(self, times: pl.Series) -> pl.Series:
        """Return seconds since 1970 (Int64), null where a cell cannot be read or is outside.

        Args:
            times: Text without nulls. Dates without a time zone count as UTC.
        """
        if self._kind is None:
            self._decide(times)
        factor = _UNITS.get(self._kind or "")
        seconds = _dates(times) if factor is None else _numbers(times) // factor
        inside = seconds.is_between(_EARLIEST, _LATEST)
        self.unreadable += seconds.null_count()
        self.outside += int((~inside).sum())
        for what, odd in (("unreadable", seconds.is_null()), ("outside", ~inside)):
            if what not in self._examples and odd.any():
                self._examples[what] = clipped(repr(times.filter(odd)[0]), 80)
        found = seconds.set(~inside.fill_null(value=False), None)
        self._moments |= {found.min(), found.max()} - {None}
        return found

    def close(self, rows: int) -> None:
        """Say what could not be read, when the log has been read to its end.

        Args:
            rows: How many rows had a time.

        Raises:
            DataError: If all rows have the same time.
        """
        if self.unreadable and self._kind is not None:
            self._say(f"{self.unreadable} of {rows} times are no {self._kind}, such as {self._examples['unreadable']}")
        if self.outside:
            self._say(f"{self.outside} of {rows} times are {OUTSIDE}, such as {self._examples['outside']}")
        if len(self._moments) == 1 and rows - self.unreadable - self.outside > 1:
            raise DataError(
                "all rows have the same time: the log does not say in which order the tracks were played",
                where=self._file,
                allowed="times that differ",
                next_step="get the times anew, or give a folder with listening-counts and without this file",
            )

    def _say(self, what: str) -> None:
        progress.say(f"warning: {self._file}: {what}: these rows are left out")

    def _decide(self, times: pl.Series) -> None:
        numbers = _numbers(times)
        fitting = {
            unit: int(numbers.is_between(_EARLIEST * factor, _LATEST * factor).sum()) for unit, factor in _UNITS.items()
        }
        fitting[_DATES] = int(_dates(times).is_between(_EARLIEST, _LATEST).sum())
        kind = max(fitting, key=fitting.__getitem__)
        if fitting[kind]:
            self._kind = kind
            since = "" if kind == _DATES else " since 1970"
            progress.say(f"{self._file}: the times are {kind}{since}")


def _numbers(times: pl.Series) -> pl.Series:
    """Return whole numbers (Int64), rounded down; null for everything else."""
    whole = times.cast(pl.Int64, strict=False)
    if not whole.has_nulls():
        return whole
    broken = times.str.strip_chars().cast(pl.Float64, strict=False).floor().cast(pl.Int64, strict=False)
    return whole.zip_with(whole.is_not_null(), broken)


def _dates(times: pl.Series) -> pl.Series:
    """Return seconds since 1970 (Int64) of dates with a time of day, maybe with a fraction and a time zone."""
    plain = _plain_dates(times)
    if not plain.has_nulls():
        return plain
    part = times.str.extract_groups(_DATE).struct.field
    local = part("day") + " " + part("minute") + part("second").fill_null(":00")
    seconds = _plain_dates(local)
    east = 3600 * part("hours").cast(pl.Int64).fill_null(0) + 60 * part("minutes").cast(pl.Int64).fill_null(0)
    ahead = east.zip_with((part("sign") != "-").fill_null(value=True), -east)
    return plain.zip_with(plain.is_not_null(), seconds - ahead)


def _plain_dates(times: pl.Series) -> pl.Series:
    # Without the cache it takes half the time: seconds of a log seldom repeat.
    return times.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms", strict=False, cache=False).dt.epoch("s")
