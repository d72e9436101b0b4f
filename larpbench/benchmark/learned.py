"""Learned recommenders in a plan: what a cell of theirs reads, what its key holds, how long it may take."""

from __future__ import annotations

from typing import Any

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.recommenders.base import TUNING_SEED, TUNING_VERSION, LearnedRecommender, Scorer
from larpbench.tasks.base import Task


def splits_read(task: Task[Any], recommender: Scorer) -> tuple[SplitName, ...]:
    """Return the splits whose vectors a cell needs."""
    return tuple(dict.fromkeys((*recommender.learns_from, *task.splits)))


def tuning_key(recommender: Scorer, budget: int) -> list[object]:
    """Return what the key of a cell holds of hyper-parameters and their tuning; nothing where there are none."""
    if not isinstance(recommender, LearnedRecommender):
        return [dict(recommender.settings)] if recommender.settings else []
    return [TUNING_VERSION, budget, {name: list(values) for name, values in recommender.search_space.items()}]


def lacking(recommender: Scorer, dataset: Dataset) -> SplitName | None:
    """Return the split that a recommender would learn from and that has no playlists."""
    return next((name for name in recommender.learns_from if not dataset.split(name).entries.height), None)


def scored_dim(recommender: Scorer, dim: int) -> int:
    """Return the length of the vectors whose products are the scores, given that of the embeddings."""
    from larpbench.recommenders.wmf import FACTORS

    return FACTORS if isinstance(recommender, LearnedRecommender) else dim


def fit_seconds(recommender: Scorer, dataset: Dataset, seed: int, budget: int, dim: int) -> float:
    """Return a rough time of learning for one cell: the trials for the seed that tunes, one fit for the others."""
    if not isinstance(recommender, LearnedRecommender):
        return recommender.seconds(dataset)
    from larpbench.recommenders.halving import work_of

    fits = work_of(recommender, budget) if seed == TUNING_SEED else 1.0
    train = dataset.split("train")
    rows = len(train.track_ids) + train.entries["playlist_id"].n_unique()
    return fits * recommender.fit_seconds(train.entries.height, rows, dim)
