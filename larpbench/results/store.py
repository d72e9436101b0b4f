"""The results folder: one JSON record and one Parquet file a cell, written whole, found again by key."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import ValidationError

from larpbench import progress, storage
from larpbench.errors import DataError, StorageError, clipped, printable, schema_fault, shell_word
from larpbench.fingerprint import digest_file
from larpbench.results.record import CellRecord
from larpbench.results.verification import is_checked, list_faults, playlist_faults, record_faults
from larpbench.table_files import TABLE_ERRORS, parquet_schema, read_parquet
from larpbench.tasks.cells import Cell
from larpbench.tasks.result import TaskResult

logger = logging.getLogger(__name__)
_LOCKS = ".locks"
_SET_ASIDE = ".set-aside"
_FAULTS_SHOWN = 3
_SHOWN = 10


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
    """Write a record, its Parquet file first: a record that is there is complete, and knows that file's digest.

    Raises:
        StorageError: If the folder cannot be written.
    """
    if result is not None:
        with storage.atomic_file(playlists_path(path)) as temporary:
            playlists_frame(result).write_parquet(temporary)
            record = record.model_copy(update={"playlists_sha256": digest_file(temporary)})
    storage.write_text(path, record.model_dump_json(indent=2) + "\n")


def read_record(path: Path) -> CellRecord:
    """Read a record; nothing is checked but that it fits the schema.

    Raises:
        DataError: If the file is damaged or does not fit the schema.
    """
    advice = "delete it and run its cell anew, or read it with the larpbench that wrote it"
    if not path.is_file():
        raise DataError("the result is no file", where=str(path), next_step=advice)
    with storage.storage_errors(path, "read"):
        data = path.read_bytes()
    try:
        return CellRecord.model_validate_json(data)
    except ValidationError as error:
        raise DataError(
            f"the result does not fit the schema: {schema_fault(error)}", where=str(path), next_step=advice
        ) from error


@dataclass(frozen=True)
class Unusable:
    """A result that cannot be used.

    Attributes:
        path: Where it lies.
        reason: Why, in words.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{printable(str(self.path))}: {self.reason}"


def usable_record(path: Path) -> CellRecord | Unusable:
    """Return a record that fits the schema, arithmetic, and the playlists beside it; or why it does not."""
    try:
        record = read_record(path)
    except (DataError, StorageError) as error:
        return Unusable(path, error.what)
    faults = record_faults(record) or playlist_faults(record, playlists_path(path)) or _place_faults(record, path)
    return Unusable(path, "; ".join(faults[:_FAULTS_SHOWN])) if faults else record


def _place_faults(record: CellRecord, path: Path) -> tuple[str, ...]:
    """Return where a record and the folders, the name and the neighbour that it has contradict each other."""
    if record.key != path.stem:
        return (f"it has another key than its name says: {clipped(printable(record.key), 80)}",)
    place = record_path(path.parents[4], Cell(**record.cell.model_dump()), record.key)
    if path != place:
        return (f"it is the result of another cell: its place is {clipped(printable(str(place)))}",)
    if record.playlists_file not in (None, playlists_path(path).name):
        return (f"its lists are in {playlists_path(path).name}, and it names another file",)
    return ()


def find_records(output: Path) -> tuple[list[tuple[Path, CellRecord]], list[Unusable]]:
    """Return the records under a results folder that can be used, and those that cannot; each sorted by path.

    Raises:
        DataError: If there is none.
    """
    found = [(path, usable_record(path)) for path in record_paths(output)]
    good = [(path, each) for path, each in found if isinstance(each, CellRecord)]
    return good, [each for _, each in found if isinstance(each, Unusable)]


def read_records(output: Path) -> list[tuple[Path, CellRecord]]:
    """Return all records under a results folder, sorted by path.

    Raises:
        DataError: If there is none, or some cannot be used, naming them.
    """
    good, unusable = find_records(output)
    if unusable:
        raise DataError(
            f"{len(unusable)} of {len(good) + len(unusable)} results cannot be used",
            where="\n         ".join(map(str, unusable[:_SHOWN]))
            + (f"\n         and {len(unusable) - _SHOWN} more" if len(unusable) > _SHOWN else ""),
            next_step=f"larpbench results check {shell_word(output)} names them all; delete them and run their cells "
            "anew",
        )
    return good


def record_paths(output: Path) -> list[Path]:
    """Return where all records under a results folder lie, sorted; those a folder too high or too deep are warned of.

    Raises:
        DataError: If there is none.
    """
    paths = [path for path in sorted(output.glob("*/*/*/*/*.json")) if not path.name.startswith(".")]
    stray = sorted(
        path
        for pattern in ("*/*/*/*.json", "*/*/*/*/*/*.json")
        for path in output.glob(pattern)
        if playlists_path(path).is_file()
    )
    if not paths:
        raise DataError(
            f"there are no results in {output}{_what_it_is(output)}",
            where=f"{printable(str(stray[0]))} lies at another depth" if stray else None,
            allowed=f"{output}/TASK/DATA SET/ENCODER/RECOMMENDER/KEY.json" if stray else None,
            next_step=f"larpbench run --output {shell_word(output)}",
        )
    for path in stray:
        logger.warning("not read: %s: results lie in TASK/DATA SET/ENCODER/RECOMMENDER", printable(str(path)))
    return paths


def _what_it_is(output: Path) -> str:
    """Return why a folder without results has none, if it is no folder."""
    return "" if output.is_dir() else ": it is a file" if output.exists() else ": there is no such folder"


@dataclass(frozen=True)
class ResultCheck:
    """The check of one result.

    Attributes:
        path: Where it lies.
        checked: Whether its record holds the digest of its lists.
        faults: What is wrong, in words.
    """

    path: Path
    checked: bool
    faults: tuple[str, ...]


def check_results(output: Path, paths: Sequence[Path] | None = None) -> list[ResultCheck]:
    """Check results of a folder.

    Args:
        output: The results folder.
        paths: Records in it; None: all, sorted.

    Raises:
        DataError: If there are none.
    """
    paths = record_paths(output) if paths is None else paths
    found = []
    with progress.stage("check", len(paths), "results") as advance:
        for path in paths:
            found.append(_check(path))
            advance(1)
    return found


def _check(path: Path) -> ResultCheck:
    record = usable_record(path)
    if isinstance(record, Unusable):
        return ResultCheck(path, checked=False, faults=(record.reason,))
    return ResultCheck(path, is_checked(record), list_faults(record, playlists_path(path)))


def set_aside(record: Path) -> Path:
    """Rename a record that cannot be used, and the file beside it, so that its cell can be run without loss.

    Returns:
        What the record is called now.
    """
    kept = _free_name(record)
    with storage.storage_errors(record):
        if (playlists := playlists_path(record)).exists():
            playlists.rename(_free_name(playlists))
        record.rename(kept)  # last: after a kill it is set aside again
    return kept


def _free_name(path: Path) -> Path:
    names = (
        path.with_name(path.name + _SET_ASIDE + number)
        for number in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
    )
    return next(name for name in names if not name.exists())


def playlists_path(record: Path) -> Path:
    """Return the Parquet file beside a record."""
    return record.with_suffix(".playlists.parquet")


def playlists_frame(result: TaskResult) -> pl.DataFrame:
    """Return one row a counted query: sizes, every metric, the ranked track ids and their scores."""
    names, listed = pl.Series(result.item_ids, dtype=pl.String), result.lists >= 0
    columns: dict[str, pl.Series | np.ndarray] = {
        f"{result.query}_id": result.query_ids,
        "n_seeds": result.n_seeds,
        "n_heldout": result.n_heldout,
        "n_candidates": result.n_candidates,
        **result.values,
    }
    if result.heldout is not None:
        columns["heldout"] = _lists(names.gather(result.heldout.tracks), result.heldout.lengths)
    # A list shorter than K has fewer candidates than K: its tail is cut, not filled.
    lengths = listed.sum(axis=1)
    columns["ranked"] = _lists(names.gather(result.lists[listed]), lengths)
    columns["scores"] = _lists(pl.Series(result.list_scores[listed]), lengths)
    return pl.DataFrame(columns)


def _lists(values: pl.Series, lengths: np.ndarray) -> pl.Series:
    """Return one list a query of values that follow each other."""
    rows = pl.DataFrame({"row": np.repeat(np.arange(len(lengths)), lengths), "value": values})
    grouped = rows.group_by("row", maintain_order=True).agg("value")
    every = pl.DataFrame({"row": np.arange(len(lengths))})
    return every.join(grouped, on="row", how="left", maintain_order="left")["value"].fill_null([])


def read_playlist_values(record: Path, columns: Sequence[str]) -> np.ndarray:
    """Return the stored values of some metrics, sorted by the query's id: (p, columns) float64, NaN for one it lacks.

    Raises:
        DataError: If the file is missing or damaged.
    """
    path = playlists_path(record)
    try:
        query_id, *others = parquet_schema(path)  # the first is playlist_id, or artist_id
        frame = read_parquet(path, columns=[query_id, *(name for name in columns if name in others)]).sort(query_id)
    except (OSError, *TABLE_ERRORS) as error:
        raise DataError(
            f"the playlists of a result cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            next_step="delete the record beside it and run its cell anew",
        ) from error
    values = np.full((frame.height, len(columns)), np.nan)
    for index, name in enumerate(columns):
        if name in frame.columns:
            values[:, index] = frame[name].to_numpy()
    return values
