"""The results folder: one JSON record and one Parquet file a cell, written whole, found again by key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import ValidationError

from larpbench import storage
from larpbench.errors import DataError
from larpbench.results.record import CellRecord
from larpbench.table_files import TABLE_ERRORS, parquet_schema, read_parquet
from larpbench.tasks.base import Cell, TaskResult

_LOCKS = ".locks"


def record_path(output: Path, cell: Cell, key: str) -> Path:
    """Return where the record of a cell lies: ``<task>/<data set>/<encoder>/<recommender>/<key>.json``."""
    parts = (cell.task, cell.dataset, cell.encoder, cell.recommender)
    return output.joinpath(*map(storage.slug, parts), f"{key}.json")


@contextmanager
def cell_lock(output: Path, key: str) -> Iterator[None]:
    """Hold a cell: a second run in the same folder waits and then finds it done."""
    with storage.locked(output / _LOCKS / key):
        yield


def sweep(output: Path) -> None:
    """Delete what killed runs have left half-written in a results folder."""
    for folder in (output / _LOCKS, *output.glob("*/*/*/*/")):
        storage.sweep(folder)


def write_record(path: Path, record: CellRecord, result: TaskResult | None) -> None:
    """Write a record, its Parquet file first: a record that is there is complete.

    Raises:
        StorageError: If the folder cannot be written.
    """
    if result is not None:
        with storage.atomic_file(playlists_path(path)) as temporary:
            playlists_frame(result).write_parquet(temporary)
    storage.write_text(path, record.model_dump_json(indent=2) + "\n")


def read_record(path: Path) -> CellRecord:
    """Read a record.

    Raises:
        DataError: If the file is damaged or does not fit the schema.
    """
    try:
        return CellRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise DataError(
            f"the result does not fit the schema: {error}",
            where=str(path),
            next_step="delete the file and run its cell anew, or read it with the larpbench that wrote it",
        ) from error


def read_records(output: Path) -> list[tuple[Path, CellRecord]]:
    """Return all records under a results folder, sorted by path.

    Raises:
        DataError: If there is none, or one is damaged.
    """
    return [(path, read_record(path)) for path in record_paths(output)]


def record_paths(output: Path) -> list[Path]:
    """Return where all records under a results folder lie, sorted.

    Raises:
        DataError: If there is none.
    """
    paths = [path for path in sorted(output.glob("*/*/*/*/*.json")) if not path.name.startswith(".")]
    if not paths:
        raise DataError(f"there are no results in {output}", next_step=f"larpbench run --output {output}")
    return paths


def playlists_path(record: Path) -> Path:
    """Return the Parquet file beside a record."""
    return record.with_suffix(".playlists.parquet")


def has_playlists(record: Path) -> bool:
    """Return whether the Parquet file beside a record is there and whole, as far as its own table of contents tells."""
    try:
        return bool(parquet_schema(playlists_path(record)))
    except (OSError, *TABLE_ERRORS):
        return False


def playlists_frame(result: TaskResult) -> pl.DataFrame:
    """Return one row a counted query: sizes, every metric, the ranked track ids and their scores."""
    listed = result.lists >= 0
    ids = np.where(listed, result.item_ids[result.lists], "")
    columns: dict[str, pl.Series | np.ndarray] = {
        f"{result.query}_id": result.query_ids,
        "n_seeds": result.n_seeds,
        "n_heldout": result.n_heldout,
        "n_candidates": result.n_candidates,
        **result.values,
    }
    # A list shorter than K has fewer candidates than K: its tail is cut, not filled.
    lengths = listed.sum(axis=1)
    offsets = np.repeat(np.arange(len(ids)), lengths)
    flat = pl.DataFrame({"row": offsets, "id": ids[listed], "score": result.list_scores[listed]})
    grouped = flat.group_by("row", maintain_order=True).agg("id", "score").sort("row")
    return pl.DataFrame(columns).with_columns(ranked=grouped["id"], scores=grouped["score"])


def read_playlist_values(record: Path, columns: list[str]) -> np.ndarray:
    """Return the stored values of some metrics, (p, columns) float64, sorted by the query's id.

    Raises:
        DataError: If the file is missing or damaged.
    """
    path = playlists_path(record)
    try:
        query_id = next(iter(parquet_schema(path)))  # playlist_id, or artist_id
        frame = read_parquet(path, columns=[query_id, *columns])
    except (OSError, *TABLE_ERRORS) as error:
        raise DataError(
            f"the playlists of a result cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            next_step="delete the record beside it and run its cell anew",
        ) from error
    return frame.sort(query_id).select(columns).to_numpy()
