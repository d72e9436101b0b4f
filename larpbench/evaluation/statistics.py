"""Intervals: how far a mean over these playlists could have come out otherwise."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95
_RESAMPLING_SEED = 20_240_825
_CHUNK_NUMBERS = 4_000_000


def least_recall_width(n_heldout: np.ndarray, recall: float) -> float:
    """Return how wide the interval of a mean recall is at least, before anything has been ranked.

    It is the normal interval of hits that fall independently of each other; real hits of a playlist come together,
    which makes it wider.

    Args:
        n_heldout: (p,) int held-out tracks of each playlist, at least 1.
        recall: The mean recall that is looked at.
    """
    deviation = float(np.sqrt((recall * (1 - recall) / n_heldout).sum()) / len(n_heldout))
    return 2 * NormalDist().inv_cdf((1 + LEVEL) / 2) * deviation


def bootstrap_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return percentile bootstrap intervals of means over playlists, nested in seeds (protocol rule 12).

    A resample draws seeds with replacement, then playlists with replacement; the same playlists for every seed and
    metric, since a playlist that is hard under one seed is hard under the others (Efron & Tibshirani 1993, ch. 8).
    The draws are seeded: the same values always have the same interval.

    Args:
        values: (seeds, playlists, metrics) float64.

    Returns:
        Lower and upper end, each (metrics,) float64.
    """
    n_seeds, n_playlists, n_metrics = values.shape
    generator = np.random.default_rng(_RESAMPLING_SEED)
    means = np.empty((RESAMPLES, n_metrics))
    flat = np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(n_playlists, n_seeds * n_metrics)
    chunk = max(1, _CHUNK_NUMBERS // n_playlists)
    for start in range(0, RESAMPLES, chunk):
        rows = min(chunk, RESAMPLES - start)
        drawn = generator.integers(n_playlists, size=(rows, n_playlists))
        drawn += np.arange(rows)[:, None] * n_playlists
        weights = np.bincount(drawn.ravel(), minlength=rows * n_playlists).reshape(rows, n_playlists)
        by_seed = (weights.astype(np.float64) @ flat / n_playlists).reshape(rows, n_seeds, n_metrics)
        picked = generator.integers(n_seeds, size=(rows, n_seeds))
        means[start : start + rows] = np.take_along_axis(by_seed, picked[:, :, None], axis=1).mean(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
