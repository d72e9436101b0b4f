"""Parquet files of a collection: found by their columns, read in parts of so many rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.errors import DataError, clipped
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, parquet_schema, scan_parquet


def parquet_below(source: Path) -> dict[Path, pl.Schema]:
    """Return the Parquet files of a folder, at any depth, or one file; and their columns.

    Raises:
        DataError: If there is no such folder, or one of the files is damaged.
    """
    if not source.exists():
        raise DataError(f"there is no {source}", allowed="a folder of Parquet files, or one of them")
    paths = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    return {path: columns_of(path) for path in paths if not path.name.startswith(".")}


def columns_of(path: Path) -> pl.Schema:
    """Return the columns of a Parquet file.

    Raises:
        DataError: If it is damaged.
    """
    with storage_errors(path, "read"):
        try:
            return parquet_schema(path)
        except TABLE_ERRORS as error:
            raise _damaged(path, error) from error


def parts(path: Path, query: pl.LazyFrame, rows: int, total: int) -> Iterator[pl.DataFrame]:
    """Yield the result of a query on a file part by part; only one is in memory.

    Args:
        path: The file, for messages.
        query: A query that keeps the rows and their order, such as a choice of columns.
        rows: Rows of a part.
        total: Rows of the file.

    Raises:
        DataError: If the file is damaged.
    """
    with progress.stage(f"read {path.name}", total, "rows") as advance, storage_errors(path, "read"):
        for start in range(0, total, rows):
            try:
                yield query.slice(start, rows).collect()
            except TABLE_ERRORS as error:
                raise _damaged(path, error) from error
            advance(min(rows, total - start))


def require_columns(path: Path, schema: pl.Schema, columns: Sequence[str]) -> None:
    """Refuse a file that lacks columns.

    Raises:
        DataError: If it does.
    """
    if missing := [name for name in columns if name not in schema]:
        raise DataError(
            f"the table lacks the columns {', '.join(missing)}: it has {clipped(', '.join(schema))}",
            where=str(path),
            allowed=", ".join(columns),
        )


def height_of(path: Path) -> int:
    """Return the number of rows of a Parquet file."""
    return _number(path, pl.len())


def largest(path: Path, column: str) -> int:
    """Return the largest number in a column of whole numbers; 0 if there is none."""
    return _number(path, pl.col(column).max())


def _number(path: Path, what: pl.Expr) -> int:
    with storage_errors(path, "read"):
        try:
            return int(scan_parquet(path).select(what).collect().item() or 0)
        except TABLE_ERRORS as error:
            raise _damaged(path, error) from error


def rows_of_lists(ids: pl.Series, lists: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Return ids and (n, dim) float32 of a column of lists of one length, without rows that are zero or not finite.

    Raises:
        DataError: If the lists have different lengths.
    """
    if not len(lists):
        return ids, np.empty((0, 0), dtype=np.float32)
    lengths = lists.list.len().unique()
    if len(lengths) > 1:
        raise DataError(f"the vectors have different lengths: {sorted(lengths.to_list())[:5]}", where=str(lists.name))
    vectors = lists.explode().cast(pl.Float32).to_numpy().reshape(len(lists), -1)
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    return ids.filter(pl.Series(usable, dtype=pl.Boolean)), vectors[usable]


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(
        f"the file is damaged or cut off: {clipped(str(error).partition(chr(10))[0])}",
        where=str(path),
        next_step="get it anew, and compare its size",
    )
