"""Formats that are tables: Parquet, a folder of Parquet files, CSV and TSV."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.encoders.precomputed.source import (
    ID_NAMES,
    VECTOR_NAMES,
    Source,
    id_name,
    listed,
    text_ids,
)
from larpbench.errors import clipped
from larpbench.table_files import parquet_pieces, read_csv, scan_parquet

_HEADER_BYTES = 1 << 20
_ROWS = 4_096
"""Rows of a Parquet file that are decoded at once."""
Pieces = Iterator[tuple[int, pl.DataFrame]]
"""Parts of a table in order, each with its first row."""


def parquet(paths: Sequence[Path], column: str | None) -> Source:
    """Return the vectors of one or more Parquet files with the same columns.

    Raises:
        ValueError: If there are none, or it is unclear which they are.
    """
    stamps = tuple((str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    facts = _facts_of_files(stamps, column)

    def blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        needed = facts.rows[rows]

        def wanted(start: int, stop: int) -> bool:
            low, high = np.searchsorted(needed, [start, stop])
            return bool(low < high)

        return _blocks(parquet_pieces(paths, [facts.vectors], _ROWS, wanted), facts)

    return Source(facts.ids, (len(facts.ids), facts.dim), facts.kind, True, blocks)


@functools.lru_cache(maxsize=4)
def _facts_of_files(files: tuple[tuple[str, int, int], ...], column: str | None) -> _Facts:
    """Return the facts of Parquet files, remembered while sizes and times stay: a plan asks several times."""
    paths = [Path(path) for path, _, _ in files]
    schema = scan_parquet(paths).collect_schema()
    ids, vectors = require_id(list(schema)), _vector_column(schema, column)
    kind = _kind_of_numbers(vectors, schema[vectors])
    names = scan_parquet(paths).select(ids).collect()[ids]  # ids of a piece would keep its vectors in memory
    pieces = (frame[vectors] for _, frame in parquet_pieces(paths, [vectors], _ROWS))
    return _facts(names, pieces, vectors, kind)


def separated(path: Path, column: str | None) -> Source:
    """Return the vectors of a CSV or TSV file: one column of lists as text, or one number a column.

    Raises:
        ValueError: If it has no column of ids, or a column that is no part of a vector.
    """
    header, separator = csv_header(path)
    name = "" if header[:1] == [""] and not id_name(header) else require_id(header)  # an index of pandas has no name
    frame = read_csv(
        path, separator=separator, schema_overrides={name: pl.String}, infer_schema_length=None, null_values=["", "NA"]
    ).rename({name: ID_NAMES[0]})
    return of_frame(frame, column)


def of_frame(frame: pl.DataFrame, column: str | None = None) -> Source:
    """Return the vectors of a table in memory: one column of lists, as text too, or one number a column.

    Raises:
        ValueError: If it has no column of ids, or a column that is no part of a vector.
    """
    header = frame.columns
    name = require_id(header)
    if "" in header:
        raise ValueError("it has a column without a name, such as the index of pandas: to_csv(PATH, index=False)")
    chosen = column or next((each for each in VECTOR_NAMES if each in header), None)
    if chosen in header and chosen is not None:
        if frame.schema[chosen] == pl.String:
            frame = frame.with_columns(_numbers(chosen))
        elif frame.schema[chosen].is_numeric():
            frame = frame.with_columns(pl.concat_list(pl.col(chosen).cast(pl.Float64)))
        return _of_table(frame, chosen)
    if column is not None:
        raise ValueError(f"it has no column {column!r}, but {listed(header)}")
    others = [each for each in header if each != name]
    if text := [each for each in others if not (frame.schema[each].is_numeric() or frame.schema[each] == pl.Null)]:
        raise ValueError(
            f"its columns {listed(text)} are no numbers: keep the column of ids and one number a column, or a column "
            "of lists (PATH#COLUMN)"
        )
    if not others:
        raise ValueError(f"it has no column but {name!r}")
    if strays := _strays(others):
        raise ValueError(
            f"its columns {listed(strays)} seem to be no part of the vectors: leave them out, or keep the "
            "vectors in one column of lists (PATH#COLUMN)"
        )
    vectors = pl.concat_list([pl.col(each).cast(pl.Float64) for each in others]).alias("embedding")
    return _of_table(frame.select(name, vectors), "embedding")


def _strays(columns: Sequence[str]) -> list[str]:
    """Return columns of numbers that are no numbers of a vector: other ids, row numbers, and what is beside a series.

    A series is ``0, 1, ..``, ``d0, d1, ..`` and the like. Where there is none, every column has a name of its own.
    """
    more_ids = [each for each in columns if each in ID_NAMES or re.fullmatch(r"(?i)unnamed: \d+|index|level_\d+", each)]
    stems = {each: re.sub(r"\d+$", "", each) for each in columns}
    series = {stem for stem in stems.values() if sum(other == stem for other in stems.values()) > 1}
    numbered = [each for each in columns if stems[each] in series and each != stems[each]]
    beside = [each for each in columns if each not in numbered] if len(numbered) > len(columns) / 2 else []
    return list(dict.fromkeys([*more_ids, *beside]))


def _of_table(table: pl.DataFrame, column: str | None) -> Source:
    ids, vectors = require_id(table.columns), _vector_column(table.schema, column)
    facts = _facts(table[ids], [table[vectors]], vectors, _kind_of_numbers(vectors, table.schema[vectors]))
    return Source(
        facts.ids, (len(facts.ids), facts.dim), facts.kind, True, lambda rows: _blocks(iter([(0, table)]), facts)
    )


def _blocks(pieces: Pieces, facts: _Facts) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the vectors of pieces of a table; rows without one are not counted."""
    for first, frame in pieces:
        low, high = np.searchsorted(facts.rows, [first, first + frame.height])
        here = facts.rows[low:high] - first
        vectors = _stored(frame[facts.vectors])
        start = int(low)
        for chunk in vectors.get_chunks():
            count = int(np.searchsorted(here, len(chunk)))
            part = chunk if count == len(chunk) else chunk.gather(here[:count])
            yield start, part.explode().to_numpy().reshape(count, facts.dim)
            start, here = start + count, here[count:] - len(chunk)


@dataclass(frozen=True)
class _Facts:
    """What a table says of its vectors, without them.

    Attributes:
        vectors: The name of their column.
        kind: Type of their numbers.
        ids: Their ids.
        rows: (n,) int64, the rows of the table that have a vector.
        dim: Their length.
    """

    vectors: str
    kind: str
    ids: pl.Series
    rows: np.ndarray
    dim: int


def _facts(ids: pl.Series, pieces: Iterable[pl.Series], column: str, kind: str) -> _Facts:
    """Return the facts of a table with these ids, of whose vectors one part after the other is looked at."""
    parts = [pl.Series("width", [], dtype=pl.UInt32)]
    for piece in pieces:
        vectors = _stored(piece)
        if isinstance(vectors.dtype, pl.Array):
            parts.append(vectors.is_not_null().cast(pl.UInt32) * vectors.dtype.size)
        else:
            parts.append(vectors.list.len().fill_null(0))
    width = pl.concat(parts)
    present = width > 0  # an empty list, or none, is a missing vector
    lengths = width.filter(present).unique().sort().to_list()
    if len(lengths) > 1:
        raise ValueError(f"its vectors have different lengths: {lengths[:5]} (column {column!r})")
    rows = present.arg_true().to_numpy().astype(np.int64)
    return _Facts(column, kind, text_ids(ids.filter(present)), rows, int(lengths[0]) if lengths else 0)


def _kind_of_numbers(name: str, kind: pl.DataType) -> str:
    kind = _storage(kind) or kind
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else None
    if inner is None or not inner.is_numeric():
        raise ValueError(f"its column {name!r} is of type {clipped(str(kind), 100)}, not of lists of numbers")
    return str(inner)


def _stored(vectors: pl.Series) -> pl.Series:
    return vectors.ext.storage() if _storage(vectors.dtype) else vectors


def _vector_column(schema: pl.Schema, column: str | None) -> str:
    if column is not None:
        if column not in schema:
            raise ValueError(f"it has no column {column!r}, but {listed(list(schema))}")
        return column
    usual = [name for name in VECTOR_NAMES if name in schema]
    if not usual:
        raise ValueError(
            f"it has none of the columns {', '.join(VECTOR_NAMES)}, but {listed(list(schema))}; name one: PATH#COLUMN"
        )
    if len(usual) > 1:
        raise ValueError(f"it has several columns of vectors: {listed(usual)}; name one: PATH#{usual[0]}")
    return usual[0]


def _storage(kind: pl.DataType) -> pl.DataType | None:
    """Return what an Arrow extension type, such as a tensor of Ray or Hugging Face, is stored as."""
    extension = getattr(pl, "BaseExtension", None)  # older polars read the storage themselves
    return kind.ext_storage() if extension and isinstance(kind, extension) else None


def require_id(header: Sequence[str]) -> str:
    """Return which column holds the ids.

    Raises:
        ValueError: If none does.
    """
    if name := id_name(header):
        return name
    raise ValueError(f"it has no column of ids (track_id, id or uri), but {listed(header)}")


def csv_header(path: Path) -> tuple[list[str], str]:
    """Return the names of the columns and their separator."""
    with path.open("rb") as stream:
        line = stream.readline(_HEADER_BYTES).decode("utf-8-sig")
    separator = max("\t,;", key=line.count)
    names = next(csv.reader(io.StringIO(line.strip("\r\n")), delimiter=separator), [])
    if len(set(names)) < len(names):
        raise ValueError(f"two of its columns have the same name: {listed(names)}")
    return names, separator


def _numbers(column: str) -> pl.Expr:
    """Return lists of numbers out of text such as ``[0.1, 0.2]``, ``0.1;0.2`` or ``0.1 0.2``: one separator a cell.

    A cell with two, such as ``0,1 0,2`` with decimal commas, has parts that are no numbers and is refused.
    """
    inside = pl.col(column).str.strip_chars("[](){} \t\r\n")
    separator = (
        pl.when(inside.str.contains(";", literal=True))
        .then(pl.lit(";"))
        .when(inside.str.contains(",", literal=True))
        .then(pl.lit(","))
        .otherwise(pl.lit(" "))
    )
    parts = inside.str.replace_all(r"\s*([,;])\s*", "$1").str.replace_all(r"\s+", " ").str.split(separator)
    return parts.cast(pl.List(pl.Float64)).alias(column)
