"""The one way by which tables on disk are opened: a path is the name of one file, never a pattern.

polars takes ``[``, ``*`` and ``?`` in a path as a pattern and ``name=value`` folders as columns unless it is told not
to, so that ``run[1].parquet`` would be read from ``run1.parquet``. No other module calls its readers.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

_READ_BYTES = 1 << 20
_LARGER_BY_POLARS = 4
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


def parquet_pieces(
    paths: Sequence[Path], columns: Sequence[str], rows: int, wanted: Callable[[int, int], bool] = lambda *rows: True
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield some columns of Parquet files, a few rows at a time, so that they need not fit into memory.

    Where pyarrow is installed (the extra ``parquet``), it decodes row groups piece by piece. polars decodes a row group
    whole for each piece, so that its pieces are larger: the same rows, but memory for a row group, and twice the time.

    Args:
        paths: Files of the same columns, whose rows follow each other.
        columns: Their names.
        rows: Largest number of rows of a piece.
        wanted: Given the first of some rows and the row after the last, returns whether any is needed; pieces without
            such a row may be left out.

    Yields:
        The row at which a piece starts, and the piece.
    """
    begin = 0
    for path in paths:
        total = int(scan_parquet(path).select(pl.len()).collect().item())
        parts = _decoded_by_arrow if importlib.util.find_spec("pyarrow") else _decoded_by_polars
        yield from parts(path, list(columns), rows, begin, wanted)
        begin += total


def _decoded_by_arrow(
    path: Path, columns: list[str], rows: int, begin: int, wanted: Callable[[int, int], bool]
) -> Iterator[tuple[int, pl.DataFrame]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path.absolute(), buffer_size=_READ_BYTES, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            start, begin = begin, begin + file.metadata.row_group(group).num_rows
            if wanted(start, begin):
                for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                    yield start, pl.DataFrame(batch)
                    start += len(batch)


def _decoded_by_polars(
    path: Path, columns: list[str], rows: int, begin: int, wanted: Callable[[int, int], bool]
) -> Iterator[tuple[int, pl.DataFrame]]:
    rows *= _LARGER_BY_POLARS
    table, total = scan_parquet(path).select(columns), int(scan_parquet(path).select(pl.len()).collect().item())
    for start in range(0, total, rows):
        if wanted(begin + start, begin + min(start + rows, total)):
            yield begin + start, table.slice(start, rows).collect()


def parquet_schema(path: Path) -> pl.Schema:
    """Return the columns of a Parquet file and their types; its rows are not read."""
    return scan_parquet(path).collect_schema()


def read_csv(source: Path | bytes, **options: Any) -> pl.DataFrame:  # noqa: ANN401 - options of polars
    """Return a table of separated values out of a file, or out of bytes that are in memory."""
    return pl.read_csv(source.absolute() if isinstance(source, Path) else source, glob=False, **options)


def read_json(data: bytes, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Return a JSON list or object that is in memory as a table of the given columns."""
    return pl.read_json(io.BytesIO(data), schema=schema)
