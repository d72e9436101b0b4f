"""The data sets that results were tested on: found again by name or folder, and compared by digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset, tested_digest
from larpbench.errors import DataError, LarpbenchError, UsageError
from larpbench.results.rows import Table, task_of

SLICED = ("playlists", LISTENERS)
"""Kinds of data sets whose results have slices."""


@dataclass
class TestedDatasets:
    """Data sets by table.

    Attributes:
        loaded: Those that were named, in whose order they are looked at.
    """

    loaded: tuple[Dataset, ...] = ()
    _by_name: dict[str, Dataset | LarpbenchError] = field(default_factory=dict)

    @classmethod
    def given(cls, names: str | Path | Dataset | Sequence[str | Path | Dataset] | None) -> TestedDatasets:
        """Return what looks for data sets among the named ones first.

        Raises:
            LarpbenchError: If one of them cannot be read.
        """
        several = [] if names is None else [names] if isinstance(names, str | Path | Dataset) else list(names)
        return cls(tuple(each if isinstance(each, Dataset) else load_dataset(each) for each in several))

    def of(self, table: Table) -> Dataset:
        """Return the data set that a table was tested on: the same ids, split and playlists.

        Raises:
            UsageError: If the table's task does not ask about playlists.
            DataError: If the table has no scores, or the data set is not available or another one than was tested.
        """
        task = task_of(table.task)
        if task is not None and task.kind not in SLICED:
            raise UsageError(
                f"slices are made of playlists or listeners, and the task {table.task!r} reads data sets of kind "
                f"{task.kind}",
                allowed="results of a task on tracks, such as continuation",
            )
        if not table.records:
            raise DataError("the table has no scores", where=table.dataset)
        part = table.records[0].dataset
        wanted = tested_digest(part.digests, part.fingerprint)
        for dataset in self.loaded:
            if _digest(dataset) == wanted:
                return dataset
        advice = "give the folder of the data set that was tested: --dataset FOLDER"
        found = self._named(part.name)
        if isinstance(found, LarpbenchError):
            others = ", ".join(each.name for each in self.loaded)
            where = f"named {part.name!r} in the results"
            where += f"; not the same ids, split and playlists: {others}" if others else ""
            raise DataError("the data set that was tested is not available", where=where, next_step=advice) from found
        if _digest(found) != wanted:
            raise DataError(
                f"the data set {part.name!r} was changed since it was tested: its ids, splits or playlists are others",
                where=f"{found.folder}: fingerprint {found.manifest.fingerprint[:12]}, tested {part.fingerprint[:12]}",
                next_step=f"{advice}, or run anew",
            )
        return found

    def _named(self, name: str) -> Dataset | LarpbenchError:
        if name not in self._by_name:
            try:
                self._by_name[name] = load_dataset(name)
            except LarpbenchError as error:
                self._by_name[name] = error
            except Exception as error:  # a name from a record may be no name at all, and a plug-in may raise anything
                self._by_name[name] = DataError(str(error))
        return self._by_name[name]


def _digest(dataset: Dataset) -> str:
    return tested_digest(dataset.manifest.digests, dataset.manifest.fingerprint)
