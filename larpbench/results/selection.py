"""Choosing results of a folder by name and state: to list, check or remove them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from larpbench import storage
from larpbench.errors import DataError, StorageError, UnknownNameError, shell_word
from larpbench.results.record import CellRecord
from larpbench.results.store import cell_lock, playlists_path, read_record, record_paths
from larpbench.results.table import superseded_paths


@dataclass(frozen=True)
class StoredResult:
    """One result of a folder.

    Attributes:
        path: Its record.
        record: What that holds; None if it cannot be read.
        superseded: Whether a newer result stands in tables in its place.
        damage: Why the record cannot be read; empty if it can.
    """

    path: Path
    record: CellRecord | None
    superseded: bool = False
    damage: str = ""

    @property
    def state(self) -> str:
        """``damaged``, ``failed``, ``superseded`` or ``ok``: the first that holds."""
        if self.record is None:
            return "damaged"
        return "failed" if self.record.status == "failed" else "superseded" if self.superseded else "ok"

    def names(self) -> dict[str, str]:
        """Return task, data set, encoder and recommender; of a damaged record the names of its folders."""
        if self.record is None:
            return dict(zip(_KINDS, self.path.parts[-len(_KINDS) - 1 : -1], strict=True))
        return {kind: getattr(self.record.cell, kind) for kind in _KINDS}


_KINDS = ("task", "dataset", "encoder", "recommender")


@dataclass(frozen=True)
class Selection:
    """Which results are chosen: those that match one name of each kind, and one of the states.

    Attributes:
        encoders: Identities as tables print them, or patterns such as ``larp-*``; empty: all.
        recommenders: Names or patterns.
        datasets: Names or patterns.
        tasks: Names or patterns.
        failed: Only results that failed; with `superseded`: those that did either.
        superseded: Only results that newer ones replace.
    """

    encoders: tuple[str, ...] = ()
    recommenders: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    failed: bool = False
    superseded: bool = False

    def __bool__(self) -> bool:
        """Whether it chooses at all."""
        return self != Selection()

    @property
    def patterns(self) -> dict[str, tuple[str, ...]]:
        """The names and patterns by what they name."""
        return dict(zip(_KINDS, (self.tasks, self.datasets, self.encoders, self.recommenders), strict=True))

    def holds(self, result: StoredResult) -> bool:
        """Whether a result is chosen."""
        names, patterns = result.names(), self.patterns
        if not all(_matches(names[kind], patterns[kind], result.record is None) for kind in _KINDS if patterns[kind]):
            return False
        failed = result.record is not None and result.record.status == "failed"
        asked = self.failed or self.superseded
        return not asked or (self.failed and failed) or (self.superseded and result.superseded)


def _matches(name: str, patterns: Sequence[str], is_folder: bool) -> bool:
    names = {*patterns, *(map(storage.slug, patterns) if is_folder else ())}
    return name in names or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def select(output: Path, selection: Selection) -> list[StoredResult]:
    """Return the chosen results of a folder, sorted by path.

    Raises:
        DataError: If there are no results.
        UnknownNameError: If a name or pattern matches no result.
    """
    results = list(_stored(output))
    for kind, patterns in selection.patterns.items():
        known = {each.names()[kind] for each in results if each.record}
        for pattern in patterns:
            if not any(_matches(each.names()[kind], [pattern], each.record is None) for each in results):
                raise UnknownNameError(kind, pattern, known, next_step=f"larpbench results list {shell_word(output)}")
    return [each for each in results if selection.holds(each)]


def _stored(output: Path) -> Iterator[StoredResult]:
    found: list[tuple[Path, CellRecord]] = []
    damaged: dict[Path, str] = {}
    for path in record_paths(output):
        try:
            found.append((path, read_record(path)))
        except (DataError, StorageError) as error:
            damaged[path] = error.what
    older, records = superseded_paths(found), dict(found)
    for path in sorted((*records, *damaged)):
        yield StoredResult(path, records.get(path), path in older, damaged.get(path, ""))


def remove(output: Path, results: Sequence[StoredResult]) -> list[StoredResult]:
    """Delete results: each record with the file beside it, and the folders that are empty then.

    The record goes first: after a kill no record is left without its file. A result that was written anew in the
    meantime stays.

    Args:
        output: The results folder.
        results: What `select` chose.

    Returns:
        Those that were deleted.

    Raises:
        StorageError: If a file cannot be deleted.
    """
    removed = []
    for result in results:
        with cell_lock(output, result.path.stem), storage.storage_errors(result.path, "delete"):
            if not _is_unchanged(result):
                continue
            result.path.unlink()
            playlists_path(result.path).unlink(missing_ok=True)
        removed.append(result)
        for folder in list(result.path.parents)[: len(_KINDS)]:
            with suppress(OSError):  # not empty
                folder.rmdir()
    return removed


def _is_unchanged(result: StoredResult) -> bool:
    try:
        return read_record(result.path) == result.record
    except (DataError, StorageError):
        return result.record is None and result.path.exists()
