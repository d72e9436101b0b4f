"""The slices of every table: by what is built in, and by the columns that the data set brings of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError, LarpbenchError
from larpbench.report.charts import Scale
from larpbench.report.entries import Entry, Section
from larpbench.results.rows import task_of
from larpbench.results.slices.groups import built_in, own_slice_names
from larpbench.results.slices.table import AnsweredTable, Slice, SliceTable, read_answered
from larpbench.results.slices.tested import SLICED, TestedDatasets

MOST_COLUMNS = 12
"""Columns of the data set's own that have a page."""
MOST_ROWS = 20
"""Rows of a table that are shown in each slice, from the top."""


@dataclass(frozen=True)
class SlicePage:
    """One kind of slices of one table, such as by genre.

    Attributes:
        name: Name of the page.
        found: The slices.
        scales: The axis of the first metric's intervals, for each slice: all end at the same value.
    """

    name: str
    found: SliceTable
    scales: tuple[Scale, ...]


@dataclass(frozen=True)
class SlicedSection:
    """The slices of one table.

    Attributes:
        section: The table.
        pages: One for each kind of slices.
        entries: Encoder and recommender -> entry, for links.
        why: Why there are none; empty if there are.
        further: Columns of the data set that have no page, since there are too many.
        left_out: Rows of the table that are not shown.
    """

    section: Section
    pages: tuple[SlicePage, ...]
    entries: dict[tuple[str, str], Entry]
    why: str
    further: tuple[str, ...]
    left_out: int


def read_slices(sections: Sequence[Section], loaded: Sequence[Dataset]) -> list[SlicedSection]:
    """Return the slices of all tables of tasks on playlists that have scores.

    Args:
        sections: The tables.
        loaded: Data sets beside those that the records name.
    """
    tested = TestedDatasets(tuple(loaded))
    return [
        _sliced(section, tested)
        for section in sections
        if section.scored and (task := task_of(section.table.task)) and task.kind in SLICED
    ]


def _sliced(section: Section, tested: TestedDatasets) -> SlicedSection:
    shown = section.scored[:MOST_ROWS]
    entries = {(entry.row.encoder, entry.row.recommender): entry for entry in shown}
    left_out = len(section.scored) - len(shown)
    try:
        dataset = tested.of(section.table)
        answered = read_answered(section.table).of_rows([entry.row for entry in shown])
    except LarpbenchError as error:
        return SlicedSection(section, (), entries, error.what, (), left_out)
    own = own_slice_names(dataset)
    names = (*built_in(dataset), *own[:MOST_COLUMNS])
    pages = (_page(section, number, answered, dataset, by) for number, by in enumerate(names, start=1))
    return SlicedSection(
        section, tuple(page for page in pages if page), entries, "", tuple(own[MOST_COLUMNS:]), left_out
    )


def _page(section: Section, number: int, answered: AnsweredTable, dataset: Dataset, by: str) -> SlicePage | None:
    try:
        found = answered.sliced(dataset, by)
    except DataError:  # a column of playlists that differs within one
        return None
    return SlicePage(f"{section.number}-{number}.html", found, _scales(found.slices, found.columns[0]))


def _scales(slices: Sequence[Slice], column: str) -> tuple[Scale, ...]:
    scores = [score for part in slices for row in part.rows if not row.control and (score := row.scores[column])]
    tops = [score.value if score.high is None else score.high for score in scores]
    tops += [part.chance[column] or 0.0 for part in slices]
    end = 1.05 * max(tops, default=0.0) or 1.0

    def at(value: float | None) -> float | None:
        return None if value is None or value > end else round(100 * value / end, 2)

    return tuple(Scale(end, at(part.chance[column]), at(part.ceiling[column])) for part in slices)
