"""Results of several folders as one, where they do not contradict each other."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from larpbench import storage
from larpbench.errors import DataError, UsageError
from larpbench.results.record import CellRecord
from larpbench.results.store import playlists_path, read_record, record_paths
from larpbench.table_files import TABLE_ERRORS, read_parquet

_NOT_OF_THE_KEY = {"costs", "versions", "machine", "created"}


@dataclass(frozen=True)
class Merged:
    """What came of it: cells in all, how many of them were in more than one folder, and whether all were there."""

    cells: int
    shared: int
    there_already: bool


def merge(folders: Sequence[Path], output: Path) -> Merged:
    """Copy the results of several folders into a new one: all of them, or nothing.

    A cell that is in two folders is the same there, by key and by scores, and comes in once; one that failed in one
    folder and did not in another comes in as it did not fail.

    Args:
        folders: Results folders.
        output: A new or empty folder, or one that holds just what is to come in.

    Raises:
        DataError: If there are no results, or records are damaged, all of which are named.
        UsageError: If the same cell has other keys or scores in two folders, or `output` holds something
            else, or is one of the folders.
        StorageError: If it cannot be written.
    """
    if output.resolve() in [folder.resolve() for folder in folders]:
        raise UsageError("the output is one of the folders, and not empty", where=str(output), allowed="another folder")
    found = [_read(folder) for folder in folders]
    chosen: dict[Path, tuple[Path, CellRecord]] = {}
    shared: set[Path] = set()
    for folder, records in zip(folders, found, strict=True):
        for path, record in records.items():
            place = path.relative_to(folder)
            if place in chosen:
                shared.add(place)
                chosen[place] = _same(chosen[place], (path, record))
            else:
                chosen[place] = (path, record)
    _refuse_other_keys(found)
    with storage.staging_folder(output) as target:
        for place, (path, _) in chosen.items():
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / place)
            if playlists_path(path).is_file():
                shutil.copyfile(playlists_path(path), playlists_path(target / place))
        new = storage.put_in_place_once(target, output)
    return Merged(len(chosen), len(shared), there_already=not new)


def _read(folder: Path) -> dict[Path, CellRecord]:
    """Return all records of a folder; their playlists are there and can be read."""
    records, damaged = {}, []
    for path in record_paths(folder):
        try:
            records[path] = record = read_record(path)
            if record.counts and read_parquet(playlists_path(path)).height != record.counts.playlists:
                damaged.append(f"{playlists_path(path)}: it does not hold {record.counts.playlists} lines")
        except (DataError, OSError, *TABLE_ERRORS) as error:
            damaged.append(f"{path}: {str(error).splitlines()[0]}")
    if damaged:
        raise DataError(
            f"{len(damaged)} results are damaged",
            where="\n         ".join(damaged),
            next_step="delete them and run their cells anew; nothing has been merged",
        )
    return records


def _same(one: tuple[Path, CellRecord], other: tuple[Path, CellRecord]) -> tuple[Path, CellRecord]:
    """Return which of two records of one key to take: the first, unless only the second has scores."""
    if one[1].status != other[1].status:
        return one if one[1].status == "ok" else other
    first, second = (record.model_dump(exclude=_NOT_OF_THE_KEY) for _, record in (one, other))
    different = [name for name in first if first[name] != second[name]]
    if one[1].status == "ok" and not different and not _same_lists(one[0], other[0]):
        different = ["playlists"]
    if one[1].status == "ok" and different:
        raise UsageError(
            f"the same cell has the same key and other contents ({', '.join(different)}): {one[0]} and {other[0]}",
            next_step="run it anew with --if always in both folders, or delete the wrong one",
        )
    return one


def _same_lists(one: Path, other: Path) -> bool:
    first, second = (read_parquet(playlists_path(path)) for path in (one, other))
    return first.equals(second)


def _refuse_other_keys(found: Sequence[dict[Path, CellRecord]]) -> None:
    """Refuse results of one row that were computed from other inputs in another folder, be it with other seeds."""
    by_cell: dict[object, list[dict[str, Path]]] = defaultdict(list)
    for records in found:
        keys: dict[object, dict[str, Path]] = defaultdict(dict)
        for path, record in records.items():
            asked = (record.protocol, record.removal.key if record.removal else "")  # other candidates: another table
            row = record.cell.model_dump(exclude={"seed"} if record.row_key else None)
            keys[(*row.values(), *asked)][record.row_key or record.key] = path
        for cell, paths in keys.items():
            by_cell[cell].append(paths)
    for cell, folders in by_cell.items():
        for one in folders:
            for other in folders:
                if not (one.keys() <= other.keys() or other.keys() <= one.keys()):
                    first = next(path for key, path in one.items() if key not in other)
                    second = next(path for key, path in other.items() if key not in one)
                    raise UsageError(
                        f"the same cell {cell} has two keys: it was computed from other data, weights or settings: "
                        f"{first} and {second}",
                        next_step="delete the results that are not wanted, or keep the folders apart",
                    )
