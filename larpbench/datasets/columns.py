"""Columns that a table has of its own, such as a genre: kept as they are, and no part of any digest or score."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import polars as pl

from larpbench.datasets.schema import PLAYLIST_COLUMNS, TRACK_COLUMNS

TEXTS = pl.List(pl.String)
KINDS = "text, numbers, truth values, dates, lists of text"
"""What is kept, in words."""
_RESERVED = {*TRACK_COLUMNS, *PLAYLIST_COLUMNS}
_INDEX_OF_PANDAS = re.compile(r"Unnamed: \d+|__index_level_\d+__")
_CONTROL = r"[\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]+"
_LONGEST_NAME = 100
_TEXT_KINDS = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_INTEGER = r"^[+-]?(?:0|[1-9]\d*)$"
_NUMBER = r"^(?:[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|(?i:nan))$"
_DATE = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?$"


def own_columns(columns: Sequence[str], taken: Collection[int] = ()) -> dict[str, int]:
    """Return the names of a table's own columns -> their numbers.

    Names are printable and have at most 100 characters. Left out are columns without a name, those of a name that was
    there before, larpbench's own names, and the row numbers that pandas writes.

    Args:
        columns: The names of all columns.
        taken: Numbers of the columns that are read under larpbench's names.
    """
    found: dict[str, int] = {}
    for number, column in enumerate(columns):
        name = _clean(pl.Series([column]))[0]
        name = name and name[:_LONGEST_NAME].strip()
        if number not in taken and name and name not in _RESERVED and not _INDEX_OF_PANDAS.fullmatch(name):
            found.setdefault(name, number)
    return found


def beside(frame: pl.DataFrame, known: Iterable[str]) -> list[str]:
    """Return the names of a table's columns that are not among the known ones."""
    return [name for name in frame.columns if name not in set(known)]


def with_kept(frame: pl.DataFrame, known: Mapping[str, object]) -> pl.DataFrame:
    """Return a table with its known columns as they are, and its own ones of the kinds that are kept.

    These are String, Int64, Float64, Boolean, Date and List(String): other integers, floats, decimals, categories and
    points in time become one of them. Columns of any other type are left out. Texts are printable, and null where they
    are empty; so are numbers that are not finite, and lists without a text.
    """
    names = {name: name for name in frame.columns if name in known}
    own = own_columns(frame.columns, [place for place, name in enumerate(frame.columns) if name in known])
    names |= {name: frame.columns[place] for name, place in own.items()}
    columns = [frame[old] if name in known else as_kept(frame[old].alias(name)) for name, old in names.items()]
    return pl.DataFrame([column for column in columns if column is not None])


def is_kept(kind: pl.DataType) -> bool:
    """Return whether columns of this type are kept."""
    if isinstance(kind, pl.List | pl.Array):
        return isinstance(kind.inner, pl.String | pl.Categorical | pl.Enum)
    return isinstance(kind, (*_TEXT_KINDS, pl.Boolean, pl.Date, pl.Datetime)) or kind.is_numeric()


def as_kept(column: pl.Series) -> pl.Series | None:
    """Return a column as one of the kinds that are kept, see `with_kept`; None if it is of another one."""
    kind = column.dtype
    if not is_kept(kind):
        return None
    if isinstance(kind, pl.Array):
        column = column.arr.to_list()
    if isinstance(column.dtype, pl.List):
        return _clean_lists(column)
    if isinstance(kind, _TEXT_KINDS):
        return _clean(column.cast(pl.String))
    if isinstance(kind, pl.Datetime):
        return column.cast(pl.Date)
    if kind.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == column.null_count() else column.cast(pl.Float64)
    if kind.is_numeric():
        numbers = column.cast(pl.Float64)
        return pl.select(pl.when(numbers.is_finite()).then(numbers).alias(column.name)).to_series()
    return column


def as_typed(text: pl.Series) -> pl.Series:
    """Return a column of a file without types as what all its values can be read as, text if as nothing else.

    Integers have no zero in front: ``007`` is text. Dates are ``2024-05-31``, maybe with a time, which is dropped.
    """
    text = _clean(text)
    values = text.drop_nulls()
    if not len(values):
        return text
    if values.str.contains(_INTEGER).all():
        whole = _cast(text, pl.Int64())
        return text if whole is None else whole
    if values.str.contains(_NUMBER).all() and (found := _cast(text, pl.Float64())) is not None:
        return as_kept(found)  # type: ignore[return-value] # floats are kept
    if values.str.to_lowercase().is_in(["true", "false"]).all():
        return (text.str.to_lowercase() == "true").alias(text.name)
    if values.str.contains(_DATE).all():
        dates = text.str.head(10).str.to_date("%Y-%m-%d", strict=False)
        return dates if dates.null_count() == text.null_count() else text
    return text


def constant_within(frame: pl.DataFrame, key: str, names: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """Return those columns that have one value at most for each key, one row a key; and the names of the others.

    Args:
        frame: Column `key`, and others.
        key: Such as ``playlist_id``.
        names: The columns that are looked at.
    """

    def comparable(name: str) -> pl.Expr:
        return pl.col(name).list.join("\x1f") if isinstance(frame.schema[name], pl.List) else pl.col(name)

    if not names:
        return frame.select(key).unique(maintain_order=True), []
    counts = frame.group_by(key).agg(comparable(name).drop_nulls().n_unique().alias(name) for name in names)
    varying = [name for name in names if (counts[name] > 1).any()]
    constant = [name for name in names if name not in varying]
    first = (pl.col(name).drop_nulls().first() for name in constant)
    return frame.group_by(key, maintain_order=True).agg(*first), varying


def _cast(text: pl.Series, kind: pl.DataType) -> pl.Series | None:
    found = text.str.strip_prefix("+").cast(kind, strict=False)
    return found if found.null_count() == text.null_count() else None


def _clean(text: pl.Series) -> pl.Series:
    plain = text.str.replace_all(_CONTROL, " ").str.strip_chars()
    return pl.select(pl.when(plain != "").then(plain).alias(text.name)).to_series()


def _clean_lists(column: pl.Series) -> pl.Series:
    texts = column.cast(TEXTS)
    element = pl.element().str.replace_all(_CONTROL, " ").str.strip_chars()
    plain = texts.list.eval(element.filter(element != "").unique(maintain_order=True))
    return pl.select(pl.when(plain.list.len() > 0).then(plain).alias(column.name)).to_series()
