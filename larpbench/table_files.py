"""The one way by which tables on disk are opened: a path is the name of one file, never a pattern.

polars takes ``[``, ``*`` and ``?`` in a path as a pattern and ``name=value`` folders as columns unless it is told not
to, so that ``run[1].parquet`` would be read from ``run1.parquet``. No other module calls its readers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

TABLE_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises where a file is no table, is damaged, or lacks a column."""


def scan_parquet(paths: Path | Sequence[Path]) -> pl.LazyFrame:
    """Return a Parquet file as a query that is not carried out yet; several files of the same columns as one."""
    many = [paths] if isinstance(paths, Path) else paths
    return pl.scan_parquet([path.absolute() for path in many], glob=False, hive_partitioning=False)


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the content of a Parquet file, or some of its columns."""
    wanted = None if columns is None else list(columns)
    return pl.read_parquet(path.absolute(), glob=False, hive_partitioning=False, columns=wanted)


def parquet_schema(path: Path) -> pl.Schema:
    """Return the columns of a Parquet file and their types; its rows are not read."""
    return scan_parquet(path).collect_schema()


def read_csv(source: Path | bytes, **options: Any) -> pl.DataFrame:  # noqa: ANN401 - options of polars
    """Return a table of separated values out of a file, or out of bytes that are in memory."""
    return pl.read_csv(source.absolute() if isinstance(source, Path) else source, glob=False, **options)


def read_json(data: bytes, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Return a JSON list or object that is in memory as a table of the given columns."""
    return pl.read_json(io.BytesIO(data), schema=schema)
