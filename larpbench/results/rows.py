"""What a table of scores is made of: scores, rows, and the table itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.errors import DataError, MissingPartError
from larpbench.results.record import CellRecord, RemovalPart
from larpbench.results.removal import in_short
from larpbench.results.sheet import (
    NOT_APPLICABLE,
    Column,
    Sheet,
    SheetCell,
    SheetRow,
    bound_text,
    column_head,
    main_metrics,
)
from larpbench.results.shown import Shown
from larpbench.results.store import read_playlist_values
from larpbench.results.view import USUAL, View
from larpbench.tasks import TASKS
from larpbench.tasks.base import Task

FEW_HITS = 20


@dataclass(frozen=True)
class Score:
    """One number of a table.

    Attributes:
        value: Mean over playlists (and random seeds).
        low: Lower end of its 95 % interval.
        high: Upper end.
        few_hits: Whether the interval rests on fewer than 20 hits.
        place: 1 for the best of its column, 2 for the second best, 0 otherwise, for controls, and where more is not
            better.
    """

    value: float
    low: float | None
    high: float | None
    few_hits: bool = False
    place: int = 0

    @property
    def interval(self) -> str:
        """The interval as text; empty if there is none."""
        return self.interval_text(USUAL)

    def interval_text(self, view: View) -> str:
        """Return the interval as text, with a mark if it rests on few hits; empty if there is none."""
        if self.low is None or self.high is None:
            return ""
        ends = f"[{self.low:.{view.interval_digits}f}, {self.high:.{view.interval_digits}f}]" if view.intervals else ""
        return f"{ends}{'†' if self.few_hits else ''}"


def score_cell(score: Score | None, marked: bool = True, view: View = USUAL) -> SheetCell:
    """Return a score as a cell: its value and its interval; n/a if there is none.

    Args:
        score: The score.
        marked: Whether the best and the second best of their column are marked.
        view: How many digits, and whether the interval is printed.
    """
    if score is None:
        return SheetCell(NOT_APPLICABLE)
    text, place = f"{score.value:.{view.value_digits}f}", score.place if marked else 0
    return SheetCell(text, score.interval_text(view), place, score.value, score.low, score.high)


def bound_cell(value: float | None, view: View = USUAL) -> SheetCell:
    """Return chance or ceiling as a cell."""
    return SheetCell(bound_text(value, view.value_digits), value=value)


@dataclass(frozen=True)
class Row:
    """One encoder with one recommender.

    Attributes:
        encoder: Encoder identity.
        recommender: Name.
        random_seeds: Over how many seeds the scores are averaged.
        weights: ``weights`` of the encoder's card.
        control: Whether the encoder is a control.
        scores: Column -> score; None prints n/a.
        failure: Why there are no scores.
        group: Letters: rows that share one cannot be told apart by the sorting metric. Empty if no letters apply.
        records: Its records, by seed.
        files: Where they lie.
        superseded: When it was computed, if the same row was computed anew since; empty for the newest.
    """

    encoder: str
    recommender: str
    random_seeds: int
    weights: str
    control: bool
    scores: dict[str, Score | None]
    failure: str | None = None
    group: str = ""
    records: tuple[CellRecord, ...] = ()
    files: tuple[Path, ...] = field(default=(), compare=False)
    superseded: str = ""

    def values(self, columns: Sequence[str]) -> np.ndarray:
        """Return the stored values of some metrics, (seeds, queries, columns) float64, queries sorted by id.

        Raises:
            DataError: If a file is missing or damaged, or the seeds counted different queries.
        """
        found = [read_playlist_values(path, columns) for path in self.files]
        if len({len(each) for each in found}) > 1:
            raise DataError("the seeds of one row counted different playlists", where=str(self.files[0].parent))
        return np.stack(found)

    @property
    def label(self) -> str:
        """The encoder, and whether it is a control or superseded."""
        marks = ["control"] if self.control else []
        marks += [f"superseded, of {self.superseded}"] if self.superseded else []
        return f"{self.encoder} ({', '.join(marks)})" if marks else self.encoder


@dataclass(frozen=True)
class Omissions:
    """Results that a table leaves out.

    Attributes:
        failed: Rows without scores, since a cell of them failed.
        cells: Of the same cells, computed before from other vectors, settings or draws.
        superseded: Of data of the same name with other ids, splits or playlists.
        absent: Encoders that have results only of that kind, or of the next one.
        tuned_before: Whose parameters an earlier version of tuning chose.
    """

    failed: tuple[Row, ...] = ()
    cells: int = 0
    superseded: int = 0
    absent: tuple[str, ...] = ()
    tuned_before: int = 0


@dataclass(frozen=True, repr=False)
class Table(Shown):
    """Results of one task on one data set: all rows on the same candidates.

    Attributes:
        task: Name.
        dataset: Name.
        removal: What left the data set because encoders were trained on it elsewhere; None if nothing did.
        columns: Metric names that are shown.
        rows: Best first by the sorting metric, controls and failures last.
        chance: Column -> chance; None prints n/a.
        ceiling: Column -> ceiling; None prints n/a.
        facts: Sentences that say how much the table can carry.
        footnotes: Sentences on single rows.
        records: The records that it is made of.
        variant: What of the protocol is not as usual; empty if nothing.
        view: How it is shown; its `sort` is never empty.
        omissions: What it leaves out.
    """

    task: str
    dataset: str
    removal: RemovalPart | None
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    chance: dict[str, float | None]
    ceiling: dict[str, float | None]
    facts: tuple[str, ...]
    footnotes: tuple[str, ...]
    records: tuple[CellRecord, ...]
    variant: str = ""
    view: View = USUAL
    omissions: Omissions = Omissions()

    def __repr__(self) -> str:
        best = self.rows[0] if self.rows and self.rows[0].scores.get(self.columns[0]) else None
        score = best and best.scores[self.columns[0]]
        leads = f", {self.columns[0]} up to {score.value:.4f} ({best.encoder})" if best and score else ""
        return f"<Table {self.task}: {self.tested}, {len(self.rows)} row{'s' * (len(self.rows) != 1)}{leads}>"

    def sheets(self) -> list[Sheet]:
        """Return the table as it is printed."""
        return [self.sheet()]

    @property
    def tested(self) -> str:
        """What was tested, in words that differ where the candidates or the protocol do."""
        name = f"{self.dataset} less {in_short(self.removal)}" if self.removal else self.dataset
        return f"{name} ({self.variant})" if self.variant else name

    @property
    def bounds(self) -> list[tuple[str, dict[str, float | None]]]:
        """Chance and ceiling, where there are any."""
        both = [("chance", self.chance), ("ceiling", self.ceiling)]
        return [(name, values) for name, values in both if values or self.records]

    def sheet(self) -> Sheet:
        """Return the table as it is printed."""
        descriptive, main = descriptive_metrics(self.records), self._main_columns()
        metrics = (
            Column(column_head(name), name, right=True, rising=name not in descriptive, minor=name not in main)
            for name in self.columns
        )
        rows = [*map(self._row, self.rows)]
        for name, values in self.bounds:
            cells = (bound_cell(values.get(column), self.view) for column in self.columns)
            rows.append(SheetRow((SheetCell(name), SheetCell(), *cells, SheetCell()), "bound"))
        return Sheet(
            f"{self.task}: {self.tested}",
            (Column("Encoder"), Column("Recommender"), *metrics, Column("Group")),
            tuple(rows),
            (*self.facts, *self.footnotes),
            tuple(self._lines()),
        )

    def _main_columns(self) -> tuple[str, ...]:
        """Return the columns that stay where there is no room for all: a choice of the user is never narrowed."""
        held = {metric.name for record in self.records for metric in record.metrics}
        chosen = bool(self.view.metrics) or not held.issuperset(self.columns)
        return self.columns if chosen else main_metrics(self.columns, self.view.sort)

    def _row(self, row: Row) -> SheetRow:
        seeds = f" ({row.random_seeds} seeds)" if row.random_seeds > 1 else ""
        cells = [SheetCell("failed"), *(SheetCell() for _ in self.columns)]
        if row.failure is None:
            scores = (score_cell(row.scores.get(column), view=self.view) for column in self.columns)
            cells = [*scores, SheetCell(row.group)]
        labels = SheetCell(row.label + seeds), SheetCell(row.recommender)
        return SheetRow((*labels, *cells), "control" if row.control else "", row.failure)

    def _lines(self) -> Iterator[dict[str, object]]:
        """Yield one line a cell and metric, and one for a failed cell."""
        groups = {record.key: row.group for row in self.rows for record in row.records}
        for record in self.records:
            cell, numbers = record.cell, ("value", "ci_low", "ci_high", "chance", "ceiling")
            name: dict[str, object] = {"task": cell.task, "dataset": self.tested, "encoder": cell.encoder}
            name |= {"recommender": cell.recommender, "seed": cell.seed}
            last = {"n": "", "group": "", "licence": record.encoder.card["licence"]}
            if record.status == "failed":
                yield name | {"metric": "failed"} | dict.fromkeys(numbers, "") | last
            for metric in record.measured:
                if self.view.metrics and metric.name not in self.columns:
                    continue
                shown = {each: getattr(metric, each) if metric.applicable else NOT_APPLICABLE for each in numbers}
                group = groups[record.key] if metric.name == self.view.sort else ""
                yield name | {"metric": metric.name} | shown | last | {"n": metric.n, "group": group}


def descriptive_metrics(records: Iterable[CellRecord]) -> set[str]:
    """Return the metrics that only describe lists: more is not better, and nothing is the best."""
    return {metric.name for each in records for metric in each.measured if metric.descriptive}


def task_of(name: str) -> Task[Any] | None:
    """Return the task of a record; None if this installation does not have it, or cannot load it."""
    with suppress(MissingPartError):
        return TASKS.get(name) if name in TASKS.names() else None
    return None
