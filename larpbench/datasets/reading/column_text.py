"""Columns of any type as text, without guessing: what has no one reading as text is refused by name and type."""

from __future__ import annotations

import ast
import json
import re

import polars as pl

from larpbench.errors import DataError, clipped

FREE_TEXT = ("title", "artist", "album", "name")
"""Columns in which a list is joined by commas. All others hold ids, paths or words of a fixed set."""
_TEXT_TYPES = (pl.String, pl.Categorical, pl.Enum, pl.Binary, pl.Null, pl.Date, pl.Datetime, pl.Time)
_EXACT_BELOW: dict[type[pl.DataType], float] = {pl.Float16: 2.0**11, pl.Float32: 2.0**24}
_EXACT_BELOW_ELSE = 2.0**53
"""Up to which size each whole number has a float of its own: a larger id may have been another one."""
_WRITTEN_LIST = r"^\s*\[\s*(?:['\"{\[\d].*)?\]\s*$"
_JUXTAPOSED = re.compile(r"""['"]\s+['"]""")


def as_text(column: pl.Series, where: str, *, lists: bool = False) -> pl.Series:
    """Return a column as text; the empty text becomes null.

    Whole numbers become their digits (``7.0`` too: pandas makes floats of whole numbers where some are missing),
    bytes are decoded from UTF-8, lists of text in `FREE_TEXT` are joined by commas.

    Args:
        column: Of any type.
        where: The table, for messages.
        lists: Whether a list is returned as a list of text instead.

    Raises:
        DataError: If the type has no one reading as text.
    """
    kind = column.dtype
    if isinstance(kind, pl.List | pl.Array):
        return _list_as_text(column, where, lists)
    if kind.is_float() or (isinstance(kind, pl.Decimal) and kind.scale):
        return _digits(column, where)
    if kind == pl.Boolean and column.name not in FREE_TEXT:
        raise _refused(column, where)
    if isinstance(kind, (*_TEXT_TYPES, pl.Boolean, pl.Decimal)) or kind.is_integer():
        return _without_empty(_cast(column, pl.String(), where))
    raise _refused(column, where)


def lists_in_text(column: pl.Series, where: str) -> pl.Series:
    """Return a text column whose cells are all written lists, such as ``['a', 'b']`` or ``["a", "b"]``, as lists.

    Another column is returned as it is.

    Raises:
        DataError: If a cell looks like a list and is none that can be read.
    """
    cells = column.drop_nulls()
    if not len(cells) or not cells.str.contains(_WRITTEN_LIST).all():
        return column
    return pl.Series(column.name, [cell and _parsed(cell, column.name, where) for cell in column], pl.List(pl.String))


def _parsed(cell: str, name: str, where: str) -> list[str]:
    found: object = None
    for read in (json.loads, _literal):
        try:
            found = read(cell.strip())
            break
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    if not isinstance(found, list) or not all(type(each) in (str, int) for each in found):
        raise DataError(
            f"the column {name} holds lists, and one cannot be read: {clipped(cell, 80)!r}",
            where=where,
            allowed='one value a cell, or a list of texts such as ["a", "b"]',
        )
    return [str(each) for each in found]


def _literal(text: str) -> object:
    """Return what a Python literal stands for; nothing is run."""
    if _JUXTAPOSED.search(text):  # numpy writes no commas, and Python would join the texts
        raise ValueError(text)
    return ast.literal_eval(text)


def _list_as_text(column: pl.Series, where: str, lists: bool) -> pl.Series:
    if isinstance(column.dtype, pl.Array) and len(column.dtype.shape) == 1:
        column = column.arr.to_list()
    inner = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    if inner is None or not (lists or column.name in FREE_TEXT):
        raise _refused(column, where)
    if not (isinstance(inner, _TEXT_TYPES) or inner.is_integer()):
        raise _refused(column, where)
    texts = _cast(column, pl.List(pl.String), where)
    return texts if lists else _without_empty(texts.list.drop_nulls().list.join(", "))


def _cast(column: pl.Series, kind: pl.DataType, where: str) -> pl.Series:
    try:
        return column.cast(kind)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"the column {column.name} is of type {column.dtype} and holds bytes that are not UTF-8",
            where=where,
            allowed="text; whole numbers; bytes of a text in UTF-8",
            next_step="write it as text, such as the hexadecimal digits of the bytes",
        ) from error


def _digits(column: pl.Series, where: str) -> pl.Series:
    numbers = column.cast(pl.Float64).fill_nan(None)
    exact = numbers.abs() < _EXACT_BELOW.get(column.dtype.base_type(), _EXACT_BELOW_ELSE)
    whole = ((numbers == numbers.round()) & exact).fill_null(value=True)
    if whole.all():
        return numbers.cast(pl.Int64).cast(pl.String)
    if column.name in FREE_TEXT:
        return column.cast(pl.String)
    first = column.filter(~whole)[0]
    raise DataError(
        f"the column {column.name} holds numbers that are not whole, or too large to be exact, such as {first}",
        where=where,
        allowed="text or whole numbers",
        next_step="write the ids as text",
    )


def _without_empty(texts: pl.Series) -> pl.Series:
    return pl.select(pl.when(texts != "").then(texts).alias(texts.name)).to_series()


def _refused(column: pl.Series, where: str) -> DataError:
    kind, name = str(column.dtype), column.name
    if "Struct" in kind:
        advice = "keep one field of it, as text or as a list of text"
    elif isinstance(column.dtype, pl.List) and name == "track_id":
        advice = "write one row a track; lists of ids belong into the table of playlists, one playlist a row"
    else:
        advice = "write it as text"
    return DataError(
        f"the column {name} is of type {clipped(kind, 120)}",
        where=where,
        allowed="text, whole numbers" + (", lists of text" if name in FREE_TEXT else ""),
        next_step=advice,
    )
