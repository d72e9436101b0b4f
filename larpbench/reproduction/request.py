"""The request that a table or figure is made of, and the cells that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larpbench.benchmark import run as runner
from larpbench.benchmark.plan import plan
from larpbench.datasets.schema import Dataset
from larpbench.encoders.larp.settings import Size
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError
from larpbench.results.rows import Row, Table
from larpbench.results.store import read_record
from larpbench.results.table import build_tables
from larpbench.results.view import USUAL, View
from larpbench.tasks.base import Task
from larpbench.tasks.continuation.task import CONTINUATION

PAPER_DATASETS = {"mpd": "MPD", "lfm": "LFM"}


@dataclass(frozen=True)
class Request:
    """What a table or figure is made of.

    Attributes:
        dataset: What is tested.
        trained_on: Name of the data set that table 4's model learns from.
        size: Which size of the encoders that are trained.
        random_seeds: How many seeds random and learned parts run over.
        budget: Trials of each tuning.
        results: The folder of results: cells that are there are kept.
        report: Receives one line a cell.
        protocol: Of artist similarity; None: the task's own choice.
        encoders: Which encoders are run; ``default`` stands for those of the paper, and so does none.
        recommenders: The same of recommenders.
    """

    dataset: Dataset
    trained_on: str
    size: Size
    random_seeds: int
    budget: int
    results: Path
    report: Callable[[str], None]
    protocol: str | None = None
    encoders: tuple[str, ...] = ()
    recommenders: tuple[str, ...] = ()

    @property
    def published(self) -> tuple[str, ...]:
        """The data sets, as the papers print them, whose numbers stand beside ours."""
        same = PAPER_DATASETS.get(self.dataset.name)
        return (same,) if same else tuple(PAPER_DATASETS.values())

    @property
    def published_note(self) -> tuple[str, ...]:
        """What must be known of the published numbers; empty if they are of the same data set."""
        if self.dataset.name in PAPER_DATASETS:
            return ()
        return (f"Published numbers are of other data sets than {self.dataset.name}: compare the order of rows only.",)

    def sized(self, encoder: str, sizes: Sequence[str]) -> str:
        """Return the name of a trained encoder in the chosen size, or in its smallest if it has no such size."""
        written = self.size if self.size in sizes else sizes[0]
        return encoder if written == sizes[0] else f"{encoder}:{written}"


@dataclass(frozen=True)
class Evaluation:
    """Cells that have been run.

    Attributes:
        table: Their table.
        identities: Name -> identity, of the encoders that could be run.
        absent: Name of an encoder or recommender -> why it could not be run, and what to do.
    """

    table: Table
    identities: dict[str, str]
    absent: dict[str, str]

    def row(self, encoder: str, recommender: str) -> Row | None:
        """Return the row of an encoder, by its name in the request; None if it could not be run."""
        name = self.identities.get(encoder), recommender
        return next((row for row in self.table.rows if (row.encoder, row.recommender) == name), None)

    def trainings(self, encoder: str) -> list[dict[str, Any]]:
        """Return the facts of the trainings of an encoder, one a seed."""
        identity = self.identities[encoder]
        return [each.training.facts for each in self.table.records if each.cell.encoder == identity and each.training]

    def best_on_valid(self, encoder: str) -> float | None:
        """Return the recall on valid by which a trained encoder was chosen, mean over seeds; None if it has none."""
        found = [each["best"] for each in self.trainings(encoder)]
        return sum(found) / len(found) if found else None


def evaluate(
    request: Request,
    encoders: Sequence[str],
    recommenders: Sequence[str],
    task: Task[Any] = CONTINUATION,
    view: View = USUAL,
) -> Evaluation:
    """Run the cells that are missing and return the table of all of them.

    Args:
        request: What they are run on.
        encoders: Names.
        recommenders: Names.
        task: The task of the cells.
        view: How their table is shown.

    Raises:
        MissingPartError: If not one cell can be run.
    """
    chosen = plan(
        request.dataset,
        encoders=encoders,
        recommenders=recommenders,
        task=task,
        seeds=request.random_seeds,
        budget=request.budget,
        output=request.results,
    )
    if not chosen.cells:
        reasons = "; ".join(f"{each.name}: {each.reason}" for each in chosen.unavailable)
        reasons = reasons or "no encoder is tested with these recommenders"
        raise MissingPartError(f"none of the encoders can run on {request.dataset.name!r}: {reasons}")
    runner.run(chosen, report=request.report)
    absent = {
        each.name: each.reason + (f" (next: {each.next_step})" if each.next_step else "") for each in chosen.unavailable
    }
    specs = task.encoders([name for name in encoders if name not in absent], lambda: request.dataset)
    identities = {
        name: spec.tested_on(request.dataset).identity for name, spec in specs.items() if isinstance(spec, EncoderSpec)
    }
    records = [(each.path, read_record(each.path)) for each in chosen.cells]
    (table,) = build_tables(records, view=view, everything=True)
    return Evaluation(table, identities, absent)


def evaluate_trained(request: Request, encoders: Sequence[str]) -> Evaluation:
    """Return what `evaluate` does with ItemKNN, of encoders that all have to be there.

    Raises:
        MissingPartError: If one of them cannot be trained here.
    """
    found = evaluate(request, encoders, ("itemknn",))
    if found.absent:
        raise MissingPartError(f"LARP cannot be trained here: {found.absent}")
    return found
