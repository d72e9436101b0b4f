"""Successive halving: all trials begin, the best go on (Karnin et al. 2013; Jamieson & Talwalkar 2016).

Trials are ranked by their best recall on valid so far, of equals the earlier draw first. A fit goes on where it
stopped: the one that is left is, to the bit, what an uninterrupted fit with its parameters gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from larpbench.recommenders.base import LearnedRecommender, ResumableRecommender, TrainData, ValidData
from larpbench.recommenders.fits import Job, RunFits, do

FIRST, SECOND = 3, 9
"""Epochs that all trials have, and that the best of them have."""
BEST = 3
"""Trials that go on after the first rung."""
_MORE_EPOCHS = 1.5  # of each trial that goes on beside the last one: measured


@dataclass(frozen=True)
class Rung:
    """One part of a trial: training up to one epoch.

    Attributes:
        epoch: The epoch that it has come to: that of the rung, or an earlier one if the fit ended there.
        valid_recall: Best recall@10 of valid so far; None if not even the start could be scored.
        seconds: Wall-clock time of this part.
        failure: Why it failed; the trial then goes no further.
    """

    epoch: int
    valid_recall: float | None
    seconds: float
    failure: str | None = None


def resumes(kind: LearnedRecommender) -> TypeGuard[ResumableRecommender]:
    """Whether fits of a recommender can be continued; a subclass with a `fit` of its own says that they cannot."""
    return isinstance(kind, ResumableRecommender) and type(kind).fit is ResumableRecommender.fit


def rungs_of(epochs: int, trials: int) -> list[tuple[int, int]]:
    """Return the rungs: up to which epoch, and how many trials at most."""
    return [(min(FIRST, epochs), trials), (min(SECOND, epochs), min(BEST, trials)), (epochs, 1)]


def work_of(kind: LearnedRecommender, trials: int) -> float:
    """Return roughly as many whole fits as a tuning is worth, for the plan's estimate."""
    if not resumes(kind):
        return float(trials)
    others = min(BEST, trials) - 1
    return (kind.usual_epochs + FIRST * (trials - 1) + _MORE_EPOCHS * others) / kind.usual_epochs


def halve(
    tried: Sequence[ResumableRecommender],
    train: TrainData,
    valid: ValidData,
    run: RunFits,
    advance: Callable[[int], None],
) -> tuple[ResumableRecommender | None, list[tuple[Rung, ...]]]:
    """Fit recommenders rung by rung.

    A trial that fails is out, and is not replaced. Only if all of a rung fail, the next best of those that came to it
    take their place. Of trials that are dropped nothing is kept: of finished ones at most three are in memory.

    Args:
        tried: One a trial, unfitted, in the order of the draw.
        train: What to learn from.
        valid: What to choose by.
        run: How the fits of a rung are done.
        advance: Called with 1 after each part of a fit.

    Returns:
        The fitted recommender of the trial that came to the end, None if all failed; and the rungs of each trial.
    """
    fits = list(tried)
    rungs: list[list[Rung]] = [[] for _ in fits]

    def ranked(numbers: Sequence[int]) -> list[int]:
        good = [number for number in numbers if rungs[number][-1].failure is None]
        return sorted(good, key=lambda number: (-(rungs[number][-1].valid_recall or 0.0), number))

    plan = rungs_of(tried[0].epochs, len(fits))
    waiting = list(range(len(fits)))
    for (epochs, most), (_, next_most) in zip(plan, [*plan[1:], (0, 1)], strict=True):
        reached: list[int] = []
        while waiting and not ranked(reached):
            going, waiting = waiting[:most], waiting[most:]
            jobs = [Job(fits[number], train, valid, epochs) for number in going]
            for number, outcome in zip(going, run(do, jobs), strict=True):
                fit = outcome.recommender
                if isinstance(fit, ResumableRecommender):
                    fits[number] = fit
                rung = Rung(outcome.epoch or 0, outcome.valid_recall, outcome.seconds, outcome.failure)
                rungs[number].append(rung)
                reached.append(number)
                for dropped in {*reached} - {*ranked(reached)[:next_most]}:
                    fits[dropped].finish()
                advance(1)
        waiting = ranked(reached)
    for number in waiting:
        fits[number].finish()
    return (fits[waiting[0]] if waiting else None), [tuple(each) for each in rungs]
