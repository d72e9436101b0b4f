"""What a uniformly random ranking of the same candidates is expected to hold, in closed form.

With n items, S_p of them masked for playlist p (its seeds), C_p = n - S_p candidates and L_p = min(K, C_p) places, a
random list is a uniform sample of L_p candidates, independent between playlists.
"""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.beyond.lists import pair_means, unit_weights


def expected_list_means(values: np.ndarray, masked: Interactions) -> np.ndarray:
    """Return the expected mean of a value over each list: its mean over the candidates, whatever K.

    Args:
        values: (n,) float64.
        masked: Items that are no candidates of each playlist.

    Returns:
        (p,) float64.
    """
    return (values.sum() - _sums(values[masked.tracks], masked)) / (len(values) - masked.lengths)


def expected_new_artist_share(known: Interactions, masked: Interactions, artists: np.ndarray) -> np.ndarray:
    """Return the expected share of entries whose artist is not known: that share of the candidates.

    Args:
        known: Artists of the visible tracks of each playlist: their numbers.
        masked: Items that are no candidates of each playlist; their artists are known.
        artists: (n,) int in 0 .. m - 1.

    Returns:
        (p,) float64.
    """
    span = int(max(artists.max(), known.tracks.max(initial=0))) + 1
    rows, numbers, _ = _pairs(known, np.arange(span))
    of_known = np.bincount(rows, np.bincount(artists, minlength=span)[numbers], minlength=len(known))
    return 1.0 - (of_known - masked.lengths) / (len(artists) - masked.lengths)


def expected_coverage(groups: np.ndarray, masked: Interactions, k: int) -> float:
    """Return the expected share of groups (artists, or single tracks) that have an entry in any list.

    A group with m candidates of playlist p is in none of its L_p places with probability
    binom(C_p - m, L_p) / binom(C_p, L_p); the lists are independent, so that these multiply over playlists.

    Args:
        groups: (n,) int in 0 .. m - 1, each group at least once.
        masked: Items that are no candidates of each playlist.
        k: Cut-off.
    """
    n, sizes = len(groups), np.bincount(groups)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])

    def absent(candidates: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return the log probability that a group of some candidates has no entry; 1 where that is impossible."""
        listed = np.minimum(k, candidates)
        left = candidates - own
        terms = log_factorial[left] - log_factorial[np.maximum(left - listed, 0)]
        terms = terms - log_factorial[candidates] + log_factorial[candidates - listed]
        return np.where(left >= listed, np.minimum(terms, 0.0), 1.0)

    # As if nothing of the group were masked, by distinct sizes and numbers of candidates; then the pairs that differ.
    counts, playlists = np.unique(n - masked.lengths, return_counts=True)
    distinct, which = np.unique(sizes, return_inverse=True)
    usual = absent(counts[None, :], np.minimum(distinct[:, None], counts[None, :]))
    logs = (np.minimum(usual, 0.0) @ playlists)[which]
    certain = ((usual > 0) @ playlists)[which]
    rows, numbers, seeds = _pairs(masked, groups)
    candidates = n - masked.lengths[rows]
    for sign, own in ((-1, np.minimum(sizes[numbers], candidates)), (1, sizes[numbers] - seeds)):
        terms = absent(candidates, own)
        logs += sign * np.bincount(numbers, np.minimum(terms, 0.0), minlength=len(sizes))
        certain = certain + sign * np.bincount(numbers, terms > 0, minlength=len(sizes))
    return float(1.0 - np.where(certain > 0.5, 0.0, np.exp(np.minimum(logs, 0.0))).mean())


def expected_similarity(vectors: np.ndarray, masked: Interactions) -> np.ndarray:
    """Return the expected mean cosine similarity of the pairs of a list: that of all pairs of candidates, whatever K.

    Args:
        vectors: (n, dim) float32.
        masked: Items that are no candidates of each playlist.

    Returns:
        (p,) float64; 0 where there are fewer than two candidates.
    """
    weights = unit_weights(vectors)
    whole, own = np.einsum("n,nd->d", weights, vectors), int((weights > 0).sum())
    squared = np.empty(len(masked))
    for row, (start, stop) in enumerate(zip(masked.offsets[:-1], masked.offsets[1:], strict=True)):
        items = masked.tracks[start:stop]
        rest = whole - weights[items] @ vectors[items]
        squared[row] = rest @ rest
    return pair_means(squared, own - _sums(weights[masked.tracks] > 0, masked), len(vectors) - masked.lengths)


def _sums(values: np.ndarray, sets: Interactions) -> np.ndarray:
    """Return the sum of one value an entry over each set, (p,) float64; sets may be empty."""
    rows = np.repeat(np.arange(len(sets)), sets.lengths)
    return np.bincount(rows, values, minlength=len(sets))


def _pairs(sets: Interactions, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of a set and a group that it holds items of, and how many: three (e,) int arrays."""
    span = int(groups.max()) + 1
    keys = np.repeat(np.arange(len(sets)), sets.lengths) * span + groups[sets.tracks]
    found, counts = np.unique(keys, return_counts=True)
    return found // span, found % span, counts
