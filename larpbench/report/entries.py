"""What the pages are made of: every table with its rows, each row with its records and its values by query."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from larpbench import fingerprint
from larpbench.results.breakdown import by_visible
from larpbench.results.rows import Row, Table, task_of
from larpbench.results.table import read_tables
from larpbench.storage import slug

_NAME_LENGTH = 60


@dataclass(frozen=True)
class Entry:
    """One row of a table, and its page."""

    table: Table
    row: Row

    @property
    def card(self) -> dict[str, Any]:
        """The encoder's card."""
        return self.row.records[0].encoder.card

    @cached_property
    def page(self) -> str:
        """Name of its page: readable, and never what a damaged record calls itself."""
        names = "-".join(slug(name)[:_NAME_LENGTH] for name in (self.row.encoder, self.row.recommender))
        return f"{names}-{fingerprint.digest([record.key for record in self.row.records])[:8]}.html"

    @property
    def encoder_page(self) -> str:
        """Name of its encoder's page."""
        return encoder_page(self.row.encoder)

    @property
    def first(self) -> str:
        """The metric that the table is sorted by."""
        return self.table.columns[0]

    @cached_property
    def values(self) -> np.ndarray:
        """(queries,) float64: the first metric of each query, averaged over seeds; empty if there are no scores."""
        if not self.row.scores.get(self.first):
            return np.empty(0)
        return self.row.values([self.first])[:, :, 0].mean(axis=0)


@dataclass(frozen=True)
class Section:
    """One table of the report.

    Attributes:
        number: From 1, in the order of the tables.
        table: The table.
        entries: Its rows.
        breakdowns: Its first metric by how much of each query is visible, where the task has such groups.
    """

    number: int
    table: Table
    entries: tuple[Entry, ...]
    breakdowns: tuple[Table, ...]

    @property
    def anchor(self) -> str:
        """Where it is on its page."""
        return f"table-{self.number}"

    @property
    def query(self) -> str:
        """What was asked about: ``playlist``, or ``artist``."""
        task = task_of(self.table.task)
        return task.query if task else "query"

    @property
    def title(self) -> str:
        """Task, and what was tested."""
        return f"{self.table.task}: {self.table.tested}"

    @property
    def scored(self) -> tuple[Entry, ...]:
        """The rows whose first metric has a value, best first."""
        return tuple(entry for entry in self.entries if len(entry.values))


def read_sections(results: Path, everything: bool = False) -> list[Section]:
    """Return the tables of a results folder.

    Args:
        results: The results folder.
        everything: Whether rows that failed, and superseded results, are among them.

    Raises:
        DataError: If there are no results, or a file is damaged.
    """
    return [
        Section(number, table, tuple(Entry(table, row) for row in table.rows), tuple(by_visible(table)))
        for number, table in enumerate(read_tables(results, everything=everything), start=1)
    ]


def encoder_page(identity: str) -> str:
    """Return the name of an encoder's page."""
    return f"{slug(identity)}.html"
