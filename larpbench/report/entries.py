"""What the pages are made of: every table with its rows, each row with its records and its values by query."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from larpbench import fingerprint
from larpbench.results.breakdown import by_visible
from larpbench.results.record import CellRecord
from larpbench.results.rows import Row, Table
from larpbench.results.store import read_playlist_values, read_records
from larpbench.results.table import newest_tables
from larpbench.storage import slug
from larpbench.tasks import TASKS

_NAME_LENGTH = 60


@dataclass(frozen=True)
class Entry:
    """One row of a table: an encoder with a recommender, over all its seeds.

    Attributes:
        table: The table.
        row: The row.
        records: Its records, by seed.
        files: Where they lie.
    """

    table: Table
    row: Row
    records: tuple[CellRecord, ...]
    files: tuple[Path, ...]

    @property
    def card(self) -> dict[str, Any]:
        """The encoder's card."""
        return self.records[0].encoder.card

    @cached_property
    def page(self) -> str:
        """Name of its page: readable, and never what a damaged record calls itself."""
        names = "-".join(slug(name)[:_NAME_LENGTH] for name in (self.row.encoder, self.row.recommender))
        return f"{names}-{fingerprint.digest([record.key for record in self.records])[:8]}.html"

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
        return np.mean([read_playlist_values(path, [self.first])[:, 0] for path in self.files], axis=0)


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
        return TASKS.get(self.table.task).query if self.table.task in TASKS.names() else "query"

    @property
    def title(self) -> str:
        """Task, and what was tested."""
        return f"{self.table.task}: {self.table.tested}"

    @property
    def scored(self) -> tuple[Entry, ...]:
        """The rows whose first metric has a value, best first."""
        return tuple(entry for entry in self.entries if len(entry.values))


def read_sections(results: Path) -> list[Section]:
    """Return the tables of a results folder.

    Raises:
        DataError: If there are no results, or a file is damaged.
    """
    found = read_records(results)
    files = {record.key: path for path, record in found}
    return [_section(number, table, files, results) for number, table in enumerate(newest_tables(found), start=1)]


def _section(number: int, table: Table, files: dict[str, Path], results: Path) -> Section:
    entries = []
    for row in table.rows:
        name = (row.encoder, row.recommender)
        records = tuple(each for each in table.records if (each.cell.encoder, each.cell.recommender) == name)
        entries.append(Entry(table, row, records, tuple(files[each.key] for each in records)))
    return Section(number, table, tuple(entries), tuple(by_visible(table, results)))


def encoder_page(identity: str) -> str:
    """Return the name of an encoder's page."""
    return f"{slug(identity)}.html"
