"""Results of several folders as one, where they do not contradict each other."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from larpbench import storage
from larpbench.errors import DataError, UsageError
from larpbench.results.notes import split_rule
from larpbench.results.record import CellRecord
from larpbench.results.store import find_records, playlists_path
from larpbench.results.table import superseded_records
from larpbench.table_files import read_parquet

_NOT_OF_THE_KEY = {"costs", "versions", "machine", "created", "dataset", "playlists_sha256"}
"""Of the data set the key holds what the cell reads; the Parquet files are compared by content."""


@dataclass(frozen=True)
class MergeSummary:
    """What a merge has put together.

    Attributes:
        cells: Cells in all.
        shared: How many of them were in more than one folder.
        present_before: Whether all of it was there, put there by the same call.
        replaced: Failed cells that another folder had without the failure.
        superseded: Data set -> encoders with results that tables leave out, since newer results were tested on other
            ids, splits or playlists of that name, or tuned by a newer version.
        absent: Data set -> those of them that no table shows at all.
    """

    cells: int
    shared: int
    present_before: bool
    replaced: int
    superseded: dict[str, tuple[str, ...]]
    absent: dict[str, tuple[str, ...]]


def merge(folders: Sequence[Path], output: Path) -> MergeSummary:
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
    replaced = 0
    for folder, records in zip(folders, found, strict=True):
        for path, record in records.items():
            place = path.relative_to(folder)
            if place in chosen:
                shared.add(place)
                replaced += chosen[place][1].status != record.status
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
    return MergeSummary(len(chosen), len(shared), not new, replaced, *_left_out(list(chosen.values())))


def _left_out(
    records: list[tuple[Path, CellRecord]],
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the encoders with results that tables leave out, by data set; and those that no table shows."""
    superseded: dict[tuple[str, str], set[str]] = defaultdict(set)
    shown: dict[tuple[str, str], set[str]] = defaultdict(set)
    older = {record.key for record in superseded_records(records)}
    for _, record in records:
        into = superseded if record.key in older else shown
        into[record.cell.task, record.cell.dataset].add(record.cell.encoder)
    gone = {name: encoders - shown[name] for name, encoders in superseded.items()}
    return (
        {": ".join(name): tuple(sorted(encoders)) for name, encoders in sorted(superseded.items())},
        {": ".join(name): tuple(sorted(encoders)) for name, encoders in sorted(gone.items()) if encoders},
    )


def _read(folder: Path) -> dict[Path, CellRecord]:
    """Return all records of a folder, checked; a folder with one that cannot be used is refused."""
    found, unusable = find_records(folder)
    if unusable:
        raise DataError(
            f"{len(unusable)} results cannot be used",
            where="\n         ".join(map(str, unusable)),
            next_step="delete them and run their cells anew; nothing has been merged",
        )
    return dict(found)


def _same(one: tuple[Path, CellRecord], other: tuple[Path, CellRecord]) -> tuple[Path, CellRecord]:
    """Return which of two records of one key to take: the first, unless only the second has scores."""
    if one[1].status != other[1].status:
        return one if one[1].status == "ok" else other
    first, second = (record.model_dump(exclude=_NOT_OF_THE_KEY) for _, record in (one, other))
    different = [name for name in first if first[name] != second[name]]
    rules = {split_rule(record.dataset.split) for _, record in (one, other)}
    different += ["split rule"] if len(rules) > 1 else []
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
                        f"the same cell {cell} has two keys: it was computed from other data, weights or settings, or "
                        f"tuned by another version: {first} and {second}",
                        next_step="delete the results that are not wanted, or keep the folders apart",
                    )
