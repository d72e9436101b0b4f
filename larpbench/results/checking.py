"""A results folder as a whole: every record, its Parquet file, and its numbers recomputed from its lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from larpbench import progress
from larpbench.results.store import Unusable, playlists_path, record_path, record_paths, usable_record
from larpbench.results.verification import is_checked, list_faults
from larpbench.tasks.base import Cell


@dataclass(frozen=True)
class CheckedResult:
    """What was found of one result.

    Attributes:
        path: Where it lies.
        checked: Whether its record holds the digest of its lists.
        faults: What is wrong, in words.
    """

    path: Path
    checked: bool
    faults: tuple[str, ...]


def check_results(output: Path) -> list[CheckedResult]:
    """Check all results of a folder, sorted by path.

    Raises:
        DataError: If there are none.
    """
    paths = record_paths(output)
    found = []
    with progress.stage("check", len(paths), "results") as advance:
        for path in paths:
            found.append(_check(output, path))
            advance(1)
    return found


def _check(output: Path, path: Path) -> CheckedResult:
    record = usable_record(path)
    if isinstance(record, Unusable):
        return CheckedResult(path, checked=False, faults=(record.reason,))
    faults = list_faults(record, playlists_path(path))
    if path != (place := record_path(output, Cell(**record.cell.model_dump()), record.key)):
        faults = (*faults, f"it is the result of another cell: its place is {place}")
    return CheckedResult(path, is_checked(record), faults)
