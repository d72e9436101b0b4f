"""Learned recommenders in a plan: what a cell of theirs reads, what its key holds, how long it may take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
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
    return fits * recommender.fit_seconds(*_sizes(dataset), dim)


def remembered_seconds(cells: Iterable[tuple[Scorer, int]], dataset: Dataset, budget: int) -> float:
    """Return what `fit_seconds` of some cells counts too much: factors of train that another fit has made are taken.

    They do not depend on the encoder. Where there is no room for all of one seed, nothing is counted as remembered.

    Args:
        cells: The recommender and the seed of each.
        dataset: What is learned from.
        budget: Trials of each tuning.
    """
    from larpbench.recommenders.halving import work_of
    from larpbench.recommenders.wmf import different_factors, factor_seconds, kept_factors

    fits: dict[tuple[str, int], list[float]] = defaultdict(list)
    needed: dict[tuple[str, int], float] = {}
    for recommender, seed in cells:
        if isinstance(recommender, LearnedRecommender) and recommender.shares_factors:
            tunes, which = seed == TUNING_SEED, (recommender.name, seed)
            fits[which].append(work_of(recommender, budget) if tunes else 1.0)
            needed[which] = different_factors(budget if tunes else len(fits[which]))
    if not fits:
        return 0.0
    entries, rows = _sizes(dataset)
    if max(needed.values()) > kept_factors(rows):
        return 0.0
    return factor_seconds(entries, rows) * sum(max(sum(done) - needed[which], 0.0) for which, done in fits.items())


def _sizes(dataset: Dataset) -> tuple[int, int]:
    """Return the entries of the train playlists, and the number of train playlists and tracks."""
    train = dataset.split("train")
    return train.entries.height, len(train.track_ids) + train.entries["playlist_id"].n_unique()
