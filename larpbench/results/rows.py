"""What a table of scores is made of: scores, rows, and the table itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.errors import DataError, MissingPartError
from larpbench.results.record import CellRecord, RemovalPart
from larpbench.results.removal import in_short
from larpbench.results.sheet import NOT_APPLICABLE, Column, Sheet, SheetCell, SheetRow, bound_text, column_head
from larpbench.results.store import read_playlist_values
from larpbench.results.writers import to_html_part
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
        place: 1 for the best of its column, 2 for the second best, 0 otherwise and for controls.
    """

    value: float
    low: float | None
    high: float | None
    few_hits: bool = False
    place: int = 0

    @property
    def interval(self) -> str:
        """The interval as text; empty if there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"[{self.low:.3f}, {self.high:.3f}]{'†' if self.few_hits else ''}"


def score_cell(score: Score | None, marked: bool = True) -> SheetCell:
    """Return a score as a cell: four decimals, and its interval; n/a if there is none.

    Args:
        score: The score.
        marked: Whether the best and the second best of their column are marked.
    """
    if score is None:
        return SheetCell(NOT_APPLICABLE)
    place = score.place if marked else 0
    return SheetCell(f"{score.value:.4f}", score.interval, place, score.value, score.low, score.high)


def bound_cell(value: float | None) -> SheetCell:
    """Return chance or ceiling as a cell."""
    return SheetCell(bound_text(value), value=value)


@dataclass(frozen=True)
class Row:
    """One encoder with one recommender.

    Attributes:
        encoder: Encoder identity.
        recommender: Name.
        random_seeds: Over how many seeds the scores are averaged.
        weights: ``weights`` of the encoder's card.
        control: Whether the encoder is a yardstick.
        scores: Column -> score; None prints n/a.
        failure: Why there are no scores.
        group: Letters: rows that share one cannot be told apart by the first column. Empty if no letters apply.
        records: Its records, by seed.
        files: Where they lie.
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
        """The encoder, and whether it is a control."""
        return f"{self.encoder} (control)" if self.control else self.encoder


@dataclass(frozen=True, repr=False)
class Table:
    """Results of one task on one data set: all rows on the same candidates.

    Attributes:
        task: Name.
        dataset: Name.
        removal: What left the data set because encoders were trained on it elsewhere; None if nothing did.
        columns: Metric names that are shown.
        rows: Best first by the first column, controls and failures last.
        chance: Column -> chance; None prints n/a.
        ceiling: Column -> ceiling; None prints n/a.
        facts: Sentences that say how much the table can carry.
        footnotes: Sentences on single rows.
        records: The records that it is made of.
        variant: What of the protocol is not as usual; empty if nothing.
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

    def __repr__(self) -> str:
        best = self.rows[0] if self.rows and self.rows[0].scores.get(self.columns[0]) else None
        score = best and best.scores[self.columns[0]]
        leads = f", {self.columns[0]} up to {score.value:.4f} ({best.encoder})" if best and score else ""
        return f"<Table {self.task}: {self.tested}, {len(self.rows)} row{'s' * (len(self.rows) != 1)}{leads}>"

    def _repr_html_(self) -> str:
        return to_html_part([self.sheet()])

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
        describing = {metric.name for each in self.records for metric in each.measured if metric.descriptive}
        metrics = (Column(column_head(name), name, right=True, rising=name not in describing) for name in self.columns)
        rows = [*map(self._row, self.rows)]
        for name, values in self.bounds:
            cells = (bound_cell(values.get(column)) for column in self.columns)
            rows.append(SheetRow((SheetCell(name), SheetCell(), *cells, SheetCell()), "bound"))
        return Sheet(
            f"{self.task}: {self.tested}",
            (Column("Encoder"), Column("Recommender"), *metrics, Column("Group")),
            tuple(rows),
            (*self.facts, *self.footnotes),
            tuple(self._lines()),
        )

    def _row(self, row: Row) -> SheetRow:
        seeds = f" ({row.random_seeds} seeds)" if row.random_seeds > 1 else ""
        cells = [SheetCell("failed"), *(SheetCell() for _ in self.columns)]
        if not row.failure:
            cells = [*(score_cell(row.scores.get(column)) for column in self.columns), SheetCell(row.group)]
        labels = SheetCell(row.label + seeds), SheetCell(row.recommender)
        return SheetRow((*labels, *cells), "control" if row.control else "", row.failure)

    def _lines(self) -> Iterator[dict[str, object]]:
        """Yield one line a cell and metric, and one for a failed cell."""
        groups = {(row.encoder, row.recommender): row.group for row in self.rows}
        for record in self.records:
            cell, numbers = record.cell, ("value", "ci_low", "ci_high", "chance", "ceiling")
            name: dict[str, object] = {"task": cell.task, "dataset": self.tested, "encoder": cell.encoder}
            name |= {"recommender": cell.recommender, "seed": cell.seed}
            last = {"n": "", "group": "", "licence": record.encoder.card["licence"]}
            if record.status == "failed":
                yield name | {"metric": "failed"} | dict.fromkeys(numbers, "") | last
            for metric in record.measured:
                shown = {each: getattr(metric, each) if metric.applicable else NOT_APPLICABLE for each in numbers}
                group = groups[cell.encoder, cell.recommender] if metric.name == self.columns[0] else ""
                yield name | {"metric": metric.name} | shown | last | {"n": metric.n, "group": group}


def task_of(name: str) -> Task[Any] | None:
    """Return the task of a record; None if this installation does not have it, or cannot load it."""
    with suppress(MissingPartError):
        return TASKS.get(name) if name in TASKS.names() else None
    return None
