"""The split by date: tracks before the first boundary are train, before the second valid, from the second on test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.datasets.left_out import with_names
from larpbench.datasets.reading.column_names import same_name
from larpbench.datasets.schema import SPLITS
from larpbench.errors import DataError, UsageError, clipped, named

NO_PERIOD = -1
FORM = "COLUMN:A,B with A before B, such as release_year:2020,2022 or released:2020-01-01,2022-07-01"
VALUES = "numbers, years (2020), months (2020-05) or dates (2020-05-31)"
_NUMBER = r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$"
_DATE = r"^(\d{4})(?:\.0*)?(?:-(\d{2})(?:-(\d{2})(?:[T ]\d{2}:?\d{2}.*)?)?)?$"
_READABLE = 0.5
"""If a smaller share of the values can be read, the column holds something else."""


@dataclass(frozen=True)
class DateSplit:
    """A split by a column of the tracks.

    Attributes:
        column: Name of the column.
        boundaries: Where valid begins, and where test begins; both as they were written.
    """

    column: str
    boundaries: tuple[str, str]

    def __post_init__(self) -> None:
        first, second = _as_values(self.boundaries)
        if not first < second:
            raise UsageError(
                f"the boundaries of the split by {self.column} do not increase: {', '.join(self.boundaries)}",
                allowed=FORM,
            )


def parse_split_by(text: str) -> DateSplit:
    """Return the split that ``COLUMN:A,B`` describes; the column may have colons in its name.

    Raises:
        UsageError: If the text has another form, or the boundaries are no numbers or dates, or do not increase.
    """
    column, colon, rest = text.rpartition(":")
    parts = [part.strip() for part in rest.split(",")]
    if not (colon and column.strip() and len(parts) == len(SPLITS) - 1 and all(parts)):
        raise UsageError(f"no split by date: {clipped(text, 80)!r}", allowed=FORM)
    return DateSplit(column.strip(), (parts[0], parts[1]))


def periods(tracks: pl.DataFrame, split: DateSplit) -> tuple[np.ndarray, dict[str, int]]:
    """Return the split of each track by its value in a column.

    Values are compared as numbers if all that can be read are numbers, and so are the boundaries; else as days, where
    a year is its first of January and a month its first day.

    Args:
        tracks: Column ``track_id``, and that of the split: numbers, dates, or text that holds them.
        split: The column and the boundaries.

    Returns:
        (n,) int8 places in `SPLITS`, `NO_PERIOD` for tracks without a value; and reason -> number of these.

    Raises:
        DataError: If there is no such column, it holds no numbers or dates, or no track is in one of the splits.
    """
    column = _column(tracks.columns, split.column)
    texts = _texts(tracks[column])
    values, boundaries = _comparable(texts, split.boundaries)
    stated, readable = int(texts.is_not_null().sum()), int(values.is_not_null().sum())
    unreadable = texts.filter(texts.is_not_null() & values.is_null()).unique(maintain_order=True)
    if readable < _READABLE * stated or not readable:
        examples = named([clipped(each, 40) for each in unreadable.head(3)])
        raise DataError(
            f"the column {column!r} holds no dates or numbers to split by" if stated else f"{column!r} has no values",
            where=f"{stated - readable} of {stated} values, such as {examples}" if stated else None,
            allowed=f"{VALUES}, as the boundaries are",
        )
    place = (values >= boundaries[0]).cast(pl.Int8) + (values >= boundaries[1]).cast(pl.Int8)
    found = place.fill_null(NO_PERIOD).to_numpy()
    for number, name in enumerate(SPLITS):
        if not (found == number).any():
            raise DataError(
                f"no track is in {name}: split by {column} at {' and '.join(split.boundaries)}",
                where=f"{column} goes from {_shown(values.min())} to {_shown(values.max())}",
                allowed="train: before the first boundary; valid: from it on; test: from the second one on",
            )
    wrong = with_names(f"tracks whose {column} cannot be read", unreadable.head(4).to_list(), len(unreadable))
    counts = {f"tracks without a value in {column}": tracks.height - stated, wrong: stated - readable}
    return found, {reason: count for reason, count in counts.items() if count}


def _column(names: Sequence[str], wanted: str) -> str:
    """Return the column that is meant; letter case, spaces and underscores make no difference."""
    found = [name for name in names if name == wanted] or [name for name in names if same_name(name, wanted)]
    if len(found) != 1:
        others = ", ".join(found or (name for name in names if name != "track_id"))
        raise DataError(
            f"the tracks have {len(found) or 'no'} column{'s' if found else ''} {wanted!r} to split by",
            where=f"columns that they have: {clipped(others)}",
        )
    return found[0]


def _texts(column: pl.Series) -> pl.Series:
    """Return the values as text, null where there is none."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.dtype.is_nested() or column.dtype in (pl.Boolean, pl.Binary, pl.Time, pl.Duration):
        raise DataError(f"the column {column.name!r} holds {column.dtype} to split by", allowed=VALUES)
    text = column.cast(pl.String).str.strip_chars()
    return pl.select(pl.when(text != "").then(text)).to_series()


def _comparable(texts: pl.Series, boundaries: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Return values and boundaries as numbers if none of them is a date; else as days, null what is neither."""
    ends = pl.Series(boundaries)
    numbers = [each.str.contains(_NUMBER) for each in (texts, ends)]
    dates = texts.filter(~numbers[0]).str.contains(_DATE)
    if numbers[1].all() and not dates.any():
        return _numbers(texts), _numbers(ends)
    return _days(texts), _days(ends)


def _numbers(texts: pl.Series) -> pl.Series:
    number = pl.when(texts.str.contains(_NUMBER)).then(texts)
    return pl.select(number.cast(pl.Float64, strict=False)).to_series()


def _days(texts: pl.Series) -> pl.Series:
    parts = texts.str.extract_groups(_DATE).struct.unnest()
    day = pl.concat_str(pl.col("1"), pl.col("2").fill_null("01"), pl.col("3").fill_null("01"), separator="-")
    return parts.select(day.str.to_date("%Y-%m-%d", strict=False)).to_series()


def _shown(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _as_values(boundaries: tuple[str, str]) -> pl.Series:
    """Return the boundaries as numbers or days.

    Raises:
        UsageError: If one is neither.
    """
    _, ends = _comparable(pl.Series([], dtype=pl.String), boundaries)
    if ends.null_count():
        wrong = [text for text, end in zip(boundaries, ends, strict=True) if end is None]
        raise UsageError(f"no boundary to split at: {named(wrong)}", allowed=f"{FORM}; values are {VALUES}")
    return ends
