"""Learning on the workers of an engine: tunings, other seeds, and the training of encoders, each a piece of work.

Tunings of all encoders and recommenders are sent ahead, in the order in which their cells come, and so many at once as
there are workers. Where there are more workers than that would use, the trials of a tuning are the pieces instead. The
other seeds of an encoder follow, all at once, when its first cell of them comes.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from larpbench import progress
from larpbench.benchmark.cells import PlannedCell
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.training import ScoreOn, ensure_trained, untrained
from larpbench.encoders.spec import EncoderSpec
from larpbench.engine.base import Engine, Outcome, Shared
from larpbench.errors import StorageError
from larpbench.recommenders.base import TUNING_SEED, LearnedRecommender, TrainData, ValidData
from larpbench.recommenders.fits import Job
from larpbench.recommenders.fits import Outcome as FitOutcome
from larpbench.recommenders.tuning import Fitted, Learner, side_by_side
from larpbench.tasks.cells import Cell

logger = logging.getLogger(__name__)
Learning = tuple[TrainData, ValidData]
"""All that tuning and fitting receive: nothing of test."""


@dataclass(frozen=True)
class Lesson:
    """What is to be learnt in one piece.

    Attributes:
        name: Encoder and recommender: what shares a tuning.
        kind: The recommender.
        seed: The seed.
        data: What it learns from.
        learner: Knows the parameters, unless they are to be tuned.
    """

    name: str
    kind: LearnedRecommender
    seed: int
    data: Shared[Learning]
    learner: Learner


class WorkerLearning:
    """Tunings and fits that workers do ahead of their cells.

    Args:
        engine: Has workers.
        budget: Trials of each tuning.
        cells: Those that are to run, in order.
        is_tuned: Whether a record holds the tuning of a cell that does not tune itself.
        data_of: Returns what a cell learns from with a seed.
    """

    def __init__(
        self,
        engine: Engine,
        budget: int,
        cells: Sequence[PlannedCell],
        is_tuned: Callable[[PlannedCell], bool],
        data_of: Callable[[PlannedCell, int], Learning],
    ) -> None:
        self._engine, self._budget, self._cells, self._data_of = engine, budget, cells, data_of
        self._sent: tuple[object, Shared[Learning] | None] = ((), None)
        self._asked: dict[str, PlannedCell] = {}  # tunings whose outcome nobody has fetched
        for planned in cells:
            if isinstance(planned.recommender, LearnedRecommender):
                self._asked.setdefault(pair(planned.cell), planned)
        for name, planned in [*self._asked.items()]:
            if planned.cell.seed != TUNING_SEED and is_tuned(planned):
                del self._asked[name]
        self._by_trials = 2 * len(self._asked) < engine.workers
        if self._by_trials:
            self._asked = {}
        self._begun: list[str] = []
        self._coming: Iterator[Outcome[Learner]] | None = None
        self._came: dict[str, Outcome[Learner]] = {}
        self._fits: dict[tuple[str, int], Outcome[Fitted]] = {}

    def learner(self, name: str) -> Learner:
        """Return who knows the parameters of an encoder and a recommender, or is to tune them.

        Raises:
            EngineError: If worker after worker was lost with it.
        """
        if self._by_trials:
            return Learner(self._budget, _WorkerFits(self._engine))
        self._coming = self._coming or self._engine.outcomes(_tuned, self._tunings())
        while name in self._asked and name not in self._came and (outcome := next(self._coming, None)) is not None:
            self._came[self._begun[outcome.item]] = outcome
        self._asked.pop(name, None)
        return self._came.pop(name).get() if name in self._came else Learner(self._budget)

    def fitted(self, first: PlannedCell, learners: Mapping[str, Learner]) -> Outcome[Fitted] | None:
        """Return what came of fitting a cell with tuned parameters; None if no worker was asked for it.

        The fits of all cells of its encoder from this one on whose parameters are known are done at once.
        """
        where = (pair(first.cell), first.cell.seed)
        if where not in self._fits:
            asked = [*self._lessons(first, learners)]
            with progress.stage("fit other seeds", len(asked), "fits", brief=True) as advance:
                for outcome in self._engine.outcomes(_fitted, asked):
                    self._fits[asked[outcome.item].name, asked[outcome.item].seed] = outcome
                    advance(1)
        return self._fits.pop(where, None)

    def _tunings(self) -> Iterator[Lesson]:
        for name, planned in [*self._asked.items()]:
            if name not in self._asked:
                continue
            if lesson := self._lesson(planned, TUNING_SEED, Learner(self._budget)):
                self._begun.append(name)
                yield lesson
            else:
                self._asked.pop(name, None)

    def _lessons(self, first: PlannedCell, learners: Mapping[str, Learner]) -> Iterator[Lesson]:
        for planned in self._cells[self._cells.index(first) :]:
            name, seed = pair(planned.cell), planned.cell.seed
            learner = learners.get(name)
            if planned.spec is not first.spec or learner is None or not learner.knows(name):
                continue
            if not learner.is_fitted(name, seed) and (lesson := self._lesson(planned, seed, learner)):
                yield lesson

    def _lesson(self, planned: PlannedCell, seed: int, learner: Learner) -> Lesson | None:
        """Return a lesson; None if there is nothing to learn from, which the cell itself will meet."""
        kind = planned.recommender
        if not isinstance(kind, LearnedRecommender):
            return None
        which = (planned.spec.identity, seed, kind.learns_from)
        if self._sent[0] != which:
            try:
                self._sent = which, self._engine.share(self._data_of(planned, seed))
            except StorageError:
                raise
            except Exception:  # a plug-in may raise anything
                logger.debug("%s cannot be learnt ahead", planned.cell, exc_info=True)
                return None
        data = self._sent[1]
        return Lesson(pair(planned.cell), kind, seed, data, learner) if data else None


def pair(cell: Cell) -> str:
    """Return what shares a tuning: encoder and recommender."""
    return f"{cell.encoder} x {cell.recommender}"


def train_on_workers(
    engine: Engine, store: EmbeddingStore, spec: EncoderSpec, seeds: Iterable[int], score_on: ScoreOn
) -> None:
    """Train those seeds of an encoder that are missing, and those of its parts, each in a worker.

    The weights are the same as those of `ensure_trained`, which is to be called afterwards for what has failed.

    Args:
        engine: Has workers.
        store: Where embeddings and checkpoints are kept: a folder that all workers see.
        spec: The encoder, bound to the data set that it learns from.
        seeds: Random seeds.
        score_on: What training is selected by.
    """
    missing = [seed for seed in dict.fromkeys(seeds) if untrained(store, spec, seed)]
    if not missing:
        return
    train = _Training(store.root.absolute(), store.checkpoints.absolute(), engine.share(spec), score_on)
    with progress.stage(f"train {spec.identity}", len(missing), "seeds") as advance:
        for outcome in engine.outcomes(train, missing):
            if outcome.error is not None:
                progress.say(f"warning: seed {missing[outcome.item]} of {spec.identity}: {outcome.error}")
            advance(1)


@dataclass(frozen=True)
class _Training:
    root: Path
    checkpoints: Path
    spec: Shared[EncoderSpec]
    score_on: ScoreOn

    def __call__(self, seed: int) -> None:
        ensure_trained(EmbeddingStore(self.root, self.checkpoints), self.spec.get(), seed, self.score_on)


class _WorkerFits:
    """How the fits of a tuning are done on workers; `larpbench.recommenders.fits.RunFits`. In a worker: there.

    Args:
        engine: Has workers.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sent: tuple[TrainData, ValidData, Shared[Learning]] | None = None

    def __call__(self, function: Callable[[Job], FitOutcome], jobs: Sequence[Job]) -> Iterator[FitOutcome]:
        """Yield the outcomes in the order of the jobs, which learn from the same data."""
        train, valid = jobs[0].train, jobs[0].valid
        if self._sent is None or self._sent[0] is not train or self._sent[1] is not valid:
            self._sent = (train, valid, self._engine.share((train, valid)))
        fit = functools.partial(_part_of_tuning, function, self._sent[2])
        return self._engine.map(fit, [(job.recommender, job.epochs) for job in jobs])

    def __reduce__(self) -> tuple[object, ...]:
        return _here, ()


def _here() -> object:
    return side_by_side


def _part_of_tuning(
    function: Callable[[Job], FitOutcome], data: Shared[Learning], fit: tuple[LearnedRecommender, int | None]
) -> FitOutcome:
    recommender, epochs = fit
    return next(side_by_side(function, [Job(recommender, *_own(data), epochs)]))  # with the threads of this function


def _tuned(lesson: Lesson) -> Learner:
    lesson.learner.tune(lesson.name, lesson.kind, *_own(lesson.data))
    return lesson.learner


def _fitted(lesson: Lesson) -> Fitted:
    return lesson.learner.fitted(lesson.name, lesson.kind, lesson.seed, *_own(lesson.data))


@functools.lru_cache(maxsize=1)
def _own(data: Shared[Learning]) -> Learning:
    """Return data that may be written, as it may be in the process that has made it; the last one is kept."""
    return copy.deepcopy(data.get())
