"""Ids that lie in a file beside vectors that have none of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from larpbench.encoders.precomputed.arrays import ids_of_npy
from larpbench.encoders.precomputed.source import ids_of_array, text_ids
from larpbench.encoders.precomputed.tables import csv_header, require_id
from larpbench.table_files import read_csv, read_parquet, scan_parquet

_IDS_BESIDE = (".txt", ".csv", ".tsv", ".parquet", ".npy", ".json")
_TABLE_BESIDE = (".csv", ".tsv", ".parquet")


def ids_beside(path: Path, alone: bool) -> Path | None:
    """Return the file of ids that lies beside a file of arrays, None if there is none.

    For ``X.npy`` it is the first that is there of ``X.ids`` and ``X_ids`` with the ending .txt (one id a line), .csv,
    .tsv, .parquet, .npy or .json, of the tables ``X.csv``, ``X.tsv`` and ``X.parquet``, and of ``ids`` and
    ``track_ids`` with these endings.

    Args:
        path: The file of arrays.
        alone: Whether it may hold ids of its own: then only ``X.ids`` and ``X_ids`` are meant for it.
    """
    stem = path.stem
    names = [own + ending for own in (f"{stem}.ids", f"{stem}_ids") for ending in _IDS_BESIDE]
    if not alone:
        names += [stem + ending for ending in _TABLE_BESIDE] + [
            own + ending for own in ("ids", "track_ids") for ending in _IDS_BESIDE
        ]
    return next((found for name in names if (found := path.with_name(name)) != path and found.is_file()), None)


def read_ids(path: Path) -> pl.Series:
    """Return the ids of a file of ids, in its order.

    Raises:
        ValueError: If it holds none.
    """
    match path.suffix:
        case ".txt":
            lines = path.read_text(encoding="utf-8-sig").split("\n")
            return pl.Series("ids", [each.removesuffix("\r") for each in (lines if lines[-1] else lines[:-1])])
        case ".json":
            return ids_of_array(json.loads(path.read_text(encoding="utf-8-sig")))
        case ".npy":
            return ids_of_npy(path)
        case ".parquet":
            header = list(scan_parquet(path).collect_schema())
            return text_ids(read_parquet(path, [_only_or_id(header)]).to_series())
        case _:
            header, separator = csv_header(path)
            name = _only_or_id(header)
            table = read_csv(path, separator=separator, columns=[name], schema_overrides={name: pl.String})
            return text_ids(table.to_series())


def _only_or_id(header: Sequence[str]) -> str:
    return header[0] if len(header) == 1 else require_id(header)
