"""What a random ranking and a perfect one score on the very same playlists (protocol rule 9).

With C candidates, G of them held out, and n = min(K, C) places, a random order puts each held-out track at each rank
with probability 1 / C. D(k) as in `larpbench.evaluation.metrics`.
"""

from __future__ import annotations

import numpy as np

from larpbench.evaluation.metrics import CUTOFFS, ideal_gain


def chance(candidates: np.ndarray, n_heldout: np.ndarray, cutoffs: tuple[int, ...] = CUTOFFS) -> dict[str, np.ndarray]:
    """Return the expected value of every quality metric under a uniformly random order.

    Args:
        candidates: (p,) int, C of each playlist.
        n_heldout: (p,) int, G of each playlist, 1 <= G <= C.
        cutoffs: The Ks, ascending; the largest is the length of the lists.

    Returns:
        Column name -> (p,) float64.
    """
    c, g = candidates.astype(np.float64), n_heldout.astype(np.float64)
    columns = {}
    length = cutoffs[-1]
    ideal = ideal_gain(length)
    none_before = _probability_of_no_hit(c, g, length)
    for k in cutoffs:
        listed = np.minimum(k, candidates)
        columns[f"recall@{k}"] = listed / c
        columns[f"ndcg@{k}"] = g / c * ideal[listed] / ideal[np.minimum(n_heldout, k)]
        columns[f"hit_rate@{k}"] = 1.0 - none_before[:, k]
    ranks = np.arange(1, length + 1)
    columns[f"mrr@{length}"] = ((none_before[:, :-1] - none_before[:, 1:]) / ranks).sum(axis=1)
    # A hit at rank r is worth precision@r = (1 + the hits among the r - 1 others before it) / r.
    others = np.divide(g - 1, c - 1, out=np.zeros_like(c), where=c > 1)[:, None]
    expected = (g / c)[:, None] * (1 + (ranks - 1) * others) / ranks * (ranks <= c[:, None])
    columns[f"map@{length}"] = expected.sum(axis=1) / np.minimum(g, length)
    return columns


def ceiling(candidates: np.ndarray, n_heldout: np.ndarray, cutoffs: tuple[int, ...] = CUTOFFS) -> dict[str, np.ndarray]:
    """Return the value of every quality metric for a perfect ranking.

    Args:
        candidates: (p,) int, C of each playlist.
        n_heldout: (p,) int, G of each playlist, 1 <= G <= C.
        cutoffs: The Ks, ascending; the largest is the length of the lists.

    Returns:
        Column name -> (p,) float64.
    """
    ones = np.ones(len(candidates))
    columns = {f"recall@{k}": np.minimum(n_heldout, k) / n_heldout for k in cutoffs}
    for k in cutoffs:
        columns[f"ndcg@{k}"] = columns[f"hit_rate@{k}"] = ones
    columns[f"mrr@{cutoffs[-1]}"] = columns[f"map@{cutoffs[-1]}"] = ones
    return columns


def _probability_of_no_hit(c: np.ndarray, g: np.ndarray, length: int) -> np.ndarray:
    """Return (p, length + 1) probabilities that none of the first r is held out, r = 0 .. length (hypergeometric)."""
    drawn = np.arange(length)
    left, misses = c[:, None] - drawn, c[:, None] - g[:, None] - drawn
    factors = np.divide(misses.clip(0), left, out=np.zeros_like(left), where=left > 0)
    return np.concatenate([np.ones((len(c), 1)), np.cumprod(factors, axis=1)], axis=1)
