"""Intervals: how far a mean over these playlists could have come out otherwise."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95
INTERVAL = "score-bootstrap-1"
"""Name and version of the method of `bootstrap_interval`; raised with every change that moves an interval."""
_QUANTILE = 1.959963984540054
_RESAMPLING_SEED = 20_240_825
_CHUNK_NUMBERS = 4_000_000
_NO_SPREAD = 1e-12


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
    """Return score intervals of means over playlists, their standard errors bootstrapped (protocol rule 12).

    Near chance most playlists score 0 and a few score high: the percentile bootstrap of 100 of them then covers the
    truth in 81 to 94 of 100 cases and not in 95 (docs/statistics.md), as its ends are too low. So the bootstrap gives
    only the standard error se, and the interval is Wilson's (1927) for the effective number of trials
    n = m (1 - m) / se^2 (Dean & Pagano 2015, "Evaluating confidence interval methods for binomial proportions in
    clustered surveys"):

        (m + z^2 / 2n -+ z sqrt(m (1 - m) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    Where every playlist scores 0, or every one scores 1, n is the number of playlists.

    Args:
        values: (seeds, playlists, metrics) float64 in [0, 1].

    Returns:
        Lower and upper end, each (metrics,) float64.
    """
    mean = values.mean(axis=(0, 1)).clip(0, 1)
    error = resampled_means(values).std(axis=0)
    spread, variance = error > _NO_SPREAD, mean * (1 - mean)
    n = np.where(variance > _NO_SPREAD, np.inf, float(values.shape[1]))
    np.divide(variance, error**2, out=n, where=spread)
    z = _QUANTILE
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(variance / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return np.clip(centre - half, 0, mean), np.clip(centre + half, mean, 1)


def normal_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return normal intervals, m -+ z se, of means over playlists that are no shares, such as bits or cosines.

    Args:
        values: (seeds, playlists, metrics) float64.

    Returns:
        Lower and upper end, each (metrics,) float64.
    """
    mean, half = values.mean(axis=(0, 1)), _QUANTILE * resampled_means(values).std(axis=0)
    return mean - half, mean + half


def difference_interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean of paired differences.

    Differences of two encoders are about symmetric, so that the percentiles need no correction.

    Args:
        differences: (playlists,) float64, each already a mean over seeds.

    Returns:
        Lower and upper end.
    """
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled_means(differences[None, :, None])[:, 0], [tail, 1 - tail])
    return float(low), float(high)


def difference_intervals(values: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what `difference_interval` does, of many pairs at once: all resample the same playlists.

    Args:
        values: (m, playlists) float64.
        pairs: (comparisons, 2) int, which two rows of `values` differ.

    Returns:
        Lower and upper ends, each (comparisons,) float64.
    """
    tail = (1 - LEVEL) / 2
    means = resampled_means(values.T[None])
    ends = [np.quantile(means[:, one] - means[:, other], [tail, 1 - tail]) for one, other in pairs]
    lows, highs = np.array(ends).T
    return lows, highs


def resampled_means(values: np.ndarray) -> np.ndarray:
    """Return bootstrap means over playlists, nested in seeds (Efron & Tibshirani 1993, ch. 8).

    A resample draws seeds with replacement, then playlists with replacement; the same playlists for every seed and
    metric, since a playlist that is hard under one seed is hard under the others. The draws are seeded: the same values
    always have the same means.

    Args:
        values: (seeds, playlists, metrics) float64.

    Returns:
        (2000, metrics) float64.
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
    return means
