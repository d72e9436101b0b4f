"""Formats that are tables: Parquet, a folder of Parquet files, CSV and TSV."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.encoders.precomputed.source import ID_NAMES, VECTOR_NAMES, Source, Take, id_name, listed, text_ids
from larpbench.errors import clipped
from larpbench.table_files import read_csv, scan_parquet

_HEADER_BYTES = 1 << 20
_MOST_PARTS = 64
"""A column in more parts is put together, which takes its size in memory once more."""


def parquet(paths: Sequence[Path], column: str | None) -> Source:
    """Return the vectors of one or more Parquet files with the same columns.

    Raises:
        ValueError: If there are none, or it is unclear which they are.
    """
    stamps = tuple((str(path.absolute()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    return _source(scan_parquet(paths), _facts_of_files(stamps, column))


@functools.lru_cache(maxsize=4)
def _facts_of_files(files: tuple[tuple[str, int, int], ...], column: str | None) -> _Facts:
    """Return the facts of Parquet files, remembered while sizes and times stay: a plan asks several times."""
    return _facts(scan_parquet([Path(path) for path, _, _ in files]), column)


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
        return _of_table(frame.lazy(), chosen)
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
    return _of_table(frame.select(name, vectors).lazy(), "embedding")


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


def _of_table(table: pl.LazyFrame, column: str | None) -> Source:
    return _source(table, _facts(table, column))


def _source(table: pl.LazyFrame, facts: _Facts) -> Source:
    def load() -> Take:
        every = table.select(facts.vectors.alias("vectors")).collect().to_series()
        parts = (every if every.n_chunks() <= _MOST_PARTS else every.rechunk()).get_chunks()
        rows_of = facts.present.arg_true().to_numpy()
        return lambda rows: _rows(parts, rows_of[rows], facts.dim)

    return Source(facts.ids, (len(facts.ids), facts.dim), facts.kind, True, load)


def _rows(parts: Sequence[pl.Series], rows: np.ndarray, dim: int) -> np.ndarray:
    """Return (n, dim) rows of a column that lies in parts: polars takes 100 times as long for them all at once."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    part_of = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(part_of, kind="stable")
    found = [
        parts[part].gather(rows[order][part_of[order] == part] - starts[part]).explode().to_numpy()
        for part in np.unique(part_of)
    ]
    vectors = np.concatenate(found).reshape(len(rows), dim) if found else np.empty((0, dim), dtype=np.float32)
    taken = np.empty_like(vectors)
    taken[order] = vectors
    return taken


@dataclass(frozen=True)
class _Facts:
    """What a table says of its vectors, without them.

    Attributes:
        vectors: The column.
        kind: Type of their numbers.
        ids: Their ids.
        present: For each row whether it has a vector.
        dim: Their length.
    """

    vectors: pl.Expr
    kind: str
    ids: pl.Series
    present: pl.Series
    dim: int


def _facts(table: pl.LazyFrame, column: str | None) -> _Facts:
    schema = table.collect_schema()
    ids_in = require_id(list(schema))
    name = _vector_column(schema, column)
    vectors = pl.col(name)
    kind = schema[name]
    if storage := _storage(kind):
        vectors, kind = vectors.ext.storage(), storage
    inner = kind.inner if isinstance(kind, pl.List | pl.Array) else None
    if inner is None or not inner.is_numeric():
        raise ValueError(f"its column {name!r} is of type {clipped(str(kind), 100)}, not of lists of numbers")
    width = pl.when(vectors.is_not_null()).then(kind.size) if isinstance(kind, pl.Array) else vectors.list.len()
    facts = table.select(pl.col(ids_in), width.fill_null(0).alias("width")).collect()
    present = facts["width"] > 0  # an empty list, or none, is a missing vector
    lengths = facts["width"].filter(present).unique().sort().to_list()
    if len(lengths) > 1:
        raise ValueError(f"its vectors have different lengths: {lengths[:5]} (column {name!r})")
    return _Facts(
        vectors, str(inner), text_ids(facts[ids_in].filter(present)), present, int(lengths[0]) if lengths else 0
    )


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
