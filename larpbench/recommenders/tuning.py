"""Tuning: one search space and one number of trials for every encoder, on valid only (protocol rule 11).

The trials are drawn by a generator keyed by the recommender alone, so every encoder is offered the very same ones:
first the defaults (where there is a paper, its own), then random others without repeats (Bergstra & Bengio 2012).
Where fits can be continued, most trials end early (`larpbench.recommenders.halving`); elsewhere each is a whole fit.
Seed 0 tunes; the other seeds train with what it chose, so that they differ by training alone.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from larpbench import progress
from larpbench.errors import LarpbenchError, TrainingError, UsageError
from larpbench.recommenders.base import (
    DEFAULT_BUDGET,
    TUNING_SEED,
    LearnedRecommender,
    ResumableRecommender,
    SearchSpace,
    TrainData,
    ValidData,
)
from larpbench.recommenders.fits import Job, Outcome, RunFits, do
from larpbench.recommenders.halving import Rung, halve, resumes, rungs_of
from larpbench.recommenders.training import INTERRUPTED, is_small, one_thread_if_small
from larpbench.runtime import cores

_DRAW_VERSION = 1  # trials are drawn as by the first version of tuning, so that they can be compared
_CTRL_C_SECONDS = 0.2  # polars' signal handler lets one long wait go on as if nothing had happened


@dataclass(frozen=True)
class Trial:
    """One try.

    Attributes:
        params: Parameter -> value, all of them.
        valid_recall: Recall@10 of valid, of a trial that was dropped that of its best epoch; None if the trial failed.
        seconds: Wall-clock time of the fit.
        failure: Why it failed.
        rungs: The parts of a fit that was continued, from the first rung; empty where fits are whole.
    """

    params: dict[str, float]
    valid_recall: float | None
    seconds: float
    failure: str | None = None
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """What tuning found.

    Attributes:
        params: The best parameters.
        trials: All that were tried, in order.
        recommender: Fitted with them and seed 0; None where the tuning was read from a record.
    """

    params: dict[str, float]
    trials: tuple[Trial, ...]
    recommender: LearnedRecommender | None

    @property
    def best(self) -> Trial:
        """The trial of the best parameters."""
        return next(trial for trial in self.trials if trial.params == self.params)


@dataclass(frozen=True)
class Fitted:
    """A recommender that has learnt, with the tuned parameters.

    Attributes:
        recommender: Ready to score.
        tuning: What chose its parameters.
        seconds: Wall-clock time of this one fit.
        valid_recall: Its recall@10 of valid.
    """

    recommender: LearnedRecommender
    tuning: Tuning
    seconds: float
    valid_recall: float


def at_once(kind: LearnedRecommender, train: TrainData) -> int:
    """Return how many fits run side by side, one thread each: as many as there are cores, if they are small."""
    return cores() if kind.fits_in_threads and is_small(train) and not torch.cuda.is_available() else 1


def side_by_side(function: Callable[[Job], Outcome], jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Do fits in threads if they are small, one after another if not, and yield the outcomes in order."""
    kind, train = jobs[0].recommender, jobs[0].train
    threads = min(at_once(kind, train), len(jobs))
    pool = ThreadPoolExecutor(threads)
    try:
        # Limits are the process's: one around all fits, which each in its own thread could not take back in order.
        with one_thread_if_small(train), threadpool_limits(1 if threads > 1 else None, "blas"):
            for outcome in [pool.submit(function, job) for job in jobs]:
                while not outcome.done():
                    wait([outcome], timeout=_CTRL_C_SECONDS)
                yield outcome.result()
    finally:  # if all are done, nothing is left to interrupt
        INTERRUPTED.set()
        pool.shutdown(cancel_futures=True)
        INTERRUPTED.clear()


def tune(
    kind: LearnedRecommender,
    train: TrainData,
    valid: ValidData,
    budget: int = DEFAULT_BUDGET,
    run: RunFits = side_by_side,
) -> Tuning:
    """Try parameters and keep those with the best recall@10 on valid; of equals, the first.

    A trial that fails is recorded and the others go on.

    Args:
        kind: What to build; its parameters do not matter.
        train: What to learn from.
        valid: What to choose by.
        budget: Number of trials; a smaller search space is tried as a whole.
        run: How independent fits are done.

    Raises:
        TrainingError: If every trial failed, or every one that went on.
    """
    tried = [kind.built(params, TUNING_SEED) for params in draw(kind.name, kind.search_space, budget)]
    best, trials = _halved(tried, train, valid, run) if resumes(kind) else _whole(tried, train, valid, run)
    if best is None:
        first = next(trial for trial in trials if trial.failure is not None)
        raise TrainingError(
            f"all {len(trials)} trials of {kind.name} failed; the first: {first.failure}"
            if all(trial.failure is not None for trial in trials)
            else f"all trials of {kind.name} that went on failed; the first: {first.failure}",
            next_step="look at the embeddings (larpbench dataset check), or leave this recommender out",
        )
    return Tuning(best.params, tuple(trials), best)


def _halved(
    tried: Sequence[LearnedRecommender], train: TrainData, valid: ValidData, run: RunFits
) -> tuple[LearnedRecommender | None, list[Trial]]:
    fits = [each for each in tried if isinstance(each, ResumableRecommender)]
    parts = sum(most for _, most in rungs_of(fits[0].epochs, len(fits)))
    with progress.stage(f"tune {fits[0].name}", parts, "parts of fits") as advance:
        best, found = halve(fits, train, valid, run, advance)
    return best, [_trial(each.params, rungs) for each, rungs in zip(fits, found, strict=True)]


def _trial(params: dict[str, float], rungs: tuple[Rung, ...]) -> Trial:
    last = rungs[-1]
    recall = None if last.failure is not None else last.valid_recall
    return Trial(params, recall, sum(each.seconds for each in rungs), last.failure, rungs)


def _whole(
    tried: Sequence[LearnedRecommender], train: TrainData, valid: ValidData, run: RunFits
) -> tuple[LearnedRecommender | None, list[Trial]]:
    best: LearnedRecommender | None = None
    best_recall = -math.inf
    trials: list[Trial] = []
    with progress.stage(f"tune {tried[0].name}", len(tried), "trials") as advance:
        for outcome in run(do, [Job(each, train, valid) for each in tried]):
            trials.append(Trial(outcome.recommender.params, outcome.valid_recall, outcome.seconds, outcome.failure))
            if outcome.valid_recall is not None and outcome.valid_recall > best_recall:
                best, best_recall = outcome.recommender, outcome.valid_recall
            advance(1)
    return best, trials


class Learner:
    """Tunes each encoder and recommender once, and fits the other seeds with what was chosen.

    Args:
        budget: Trials of each tuning.
        run: How independent fits are done.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET, run: RunFits = side_by_side) -> None:
        self._budget, self._run = budget, run
        self._tuned: dict[str, Tuning | LarpbenchError] = {}
        self._ahead: dict[tuple[str, int], Fitted] = {}

    def knows(self, name: str) -> bool:
        """Return whether this was tuned already.

        Args:
            name: Encoder and recommender: what shares a tuning.
        """
        return name in self._tuned

    def remember(self, name: str, tuned: Tuning) -> None:
        """Take a tuning that an earlier run did."""
        self._tuned[name] = tuned

    def tune(self, name: str, kind: LearnedRecommender, train: TrainData, valid: ValidData) -> None:
        """Tune, with the vectors of the tuning seed, and remember the result or the failure."""
        try:
            tuned = tune(kind, train, valid, self._budget, self._run)
        except LarpbenchError as error:
            self._tuned[name] = error
            return
        self._tuned[name] = replace(tuned, recommender=None)  # the other seeds need its parameters only
        if tuned.recommender:
            best = tuned.best
            self._keep(name, TUNING_SEED, tuned.recommender, best.seconds, best.valid_recall)

    def is_fitted(self, name: str, seed: int) -> bool:
        """Return whether `fitted` has nothing left to do for a seed."""
        return (name, seed) in self._ahead

    def fit_ahead(self, name: str, kind: LearnedRecommender, data: Mapping[int, tuple[TrainData, ValidData]]) -> None:
        """Fit several seeds side by side. A fit that fails does so again in `fitted`, where it belongs.

        Args:
            name: What was tuned.
            kind: What to build.
            data: Seed -> what it learns from.
        """
        tuned = self._tuned[name]
        if isinstance(tuned, LarpbenchError):
            return
        jobs = [Job(kind.built(tuned.params, seed), *each) for seed, each in data.items()]
        for seed, outcome in zip(data, self._run(do, jobs), strict=True):
            if outcome.failure is None:
                self._keep(name, seed, outcome.recommender, outcome.seconds, outcome.valid_recall)

    def _keep(
        self, name: str, seed: int, recommender: LearnedRecommender, seconds: float, recall: float | None
    ) -> None:
        tuned = self._tuned[name]
        if isinstance(tuned, Tuning) and recall is not None:
            self._ahead[name, seed] = Fitted(recommender, tuned, seconds, recall)

    def fitted(self, name: str, kind: LearnedRecommender, seed: int, train: TrainData, valid: ValidData) -> Fitted:
        """Return a recommender fitted with the tuned parameters.

        Raises:
            LarpbenchError: If tuning failed, or this fit does.
        """
        tuned = self._tuned[name]
        if isinstance(tuned, LarpbenchError):
            raise tuned
        if (name, seed) in self._ahead:
            return self._ahead.pop((name, seed))
        began = time.perf_counter()
        built = kind.built(tuned.params, seed)
        built.fit(train, valid)
        seconds = time.perf_counter() - began
        return Fitted(built, tuned, seconds, valid.recall(built))


def draw(name: str, space: SearchSpace, budget: int) -> list[dict[str, float]]:
    """Return the parameters to try: the defaults, then others at random, none twice.

    Args:
        name: Name of the recommender, which alone keys the draw.
        space: Parameter -> values; without any there is one trial.
        budget: How many at most.

    Raises:
        UsageError: If the budget is less than 1.
    """
    if budget < 1:
        raise UsageError(f"the tuning budget is {budget}", allowed="1 or more trials")
    if not space:
        return [{}]
    sizes = [len(values) for values in space.values()]
    total = math.prod(sizes)
    key = hashlib.sha256(f"{_DRAW_VERSION}\x1f{name}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))
    others = 1 + generator.permutation(total - 1)[: budget - 1]
    drawn = np.concatenate([[0], others]).astype(np.int64)
    places = np.stack(np.unravel_index(drawn, sizes), axis=1)
    return [
        {parameter: values[place] for (parameter, values), place in zip(space.items(), row, strict=True)}
        for row in places
    ]
