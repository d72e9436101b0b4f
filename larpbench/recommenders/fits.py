"""One fit, or a part of one, as a piece of work that may be done anywhere: what goes in, and what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from larpbench.errors import LarpbenchError, StorageError
from larpbench.recommenders.base import LearnedRecommender, ResumableRecommender, TrainData, ValidData


@dataclass(frozen=True)
class Job:
    """A fit to be done.

    Attributes:
        recommender: What is fitted; with what it has learnt so far, if it was begun before.
        train: What it learns from.
        valid: What it selects by.
        epochs: Up to which epoch; None: the whole fit at once.
    """

    recommender: LearnedRecommender
    train: TrainData
    valid: ValidData
    epochs: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        recommender: Fitted so far; the one that was handed in, or a copy of it from another process.
        epoch: The last epoch that was trained; None if there are no epochs.
        valid_recall: Recall@10 of valid, of a part of a fit that of the best epoch so far; None if there is none.
        seconds: Wall-clock time.
        failure: Why it failed.
    """

    recommender: LearnedRecommender
    epoch: int | None
    valid_recall: float | None
    seconds: float
    failure: str | None = None


RunFits = Callable[[Callable[[Job], Outcome], Sequence[Job]], Iterator[Outcome]]
"""How independent fits are done: given `do` and the jobs, yields the outcomes in the order of the jobs."""


def do(job: Job) -> Outcome:
    """Fit and score; what goes wrong is the outcome.

    Raises:
        StorageError: If a file cannot be written: that is no fault of the fit.
    """
    began = time.perf_counter()
    recommender, recall, failure = job.recommender, None, None
    try:
        if job.epochs is None:
            recommender.fit(job.train, job.valid)
            recall = job.valid.recall(recommender)
        elif isinstance(recommender, ResumableRecommender):
            recommender.advance(job.train, job.valid, job.epochs)
    except StorageError:
        raise
    except LarpbenchError as error:
        failure = error.what
    except Exception as error:  # numerics, memory, or a plug-in: it may raise anything
        failure = f"{type(error).__name__}: {error}"
    selection = recommender.selection
    if job.epochs is not None and selection and selection.scores:
        recall = selection.best
    epoch = selection.epochs if selection else None
    return Outcome(recommender, epoch, recall, time.perf_counter() - began, failure)
