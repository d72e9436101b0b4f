"""Popularity, novelty, concentration, coverage, new artists and similarity of ranked lists: one pure function each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.diagnostics import by_known_artists

_BLOCK_NUMBERS = 4_000_000


def popularity_percentiles(popularity: np.ndarray) -> np.ndarray:
    """Return the share of tracks that are less popular than each track; tracks as popular as it count half.

    p_i = (|{j: n_j < n_i}| + |{j: n_j = n_i}| / 2) / n: the percentile rank with ties in the middle. Its mean over all
    tracks is 0.5. Popularity as a quantile: Ekstrand & Mahant 2017 ("Sturgeon and the cool kids", FLAIRS).

    Args:
        popularity: (n,) int.

    Returns:
        (n,) float64, above 0 and below 1.
    """
    _, inverse, counts = np.unique(popularity, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return ((below + counts / 2) / len(popularity))[inverse]


def self_information(popularity: np.ndarray, playlists: int) -> np.ndarray:
    """Return -log2 of the share of playlists that hold each track, in bits.

    The discovery model of Castells, Vargas & Wang 2011 ("Novelty and diversity metrics for recommender systems", DDR);
    its mean over a list is the novelty of Zhou et al. 2010 (PNAS 107). A track in no playlist counts as one in one.

    Args:
        popularity: (n,) int, playlists that hold each track.
        playlists: Number of playlists, at least 1.

    Returns:
        (n,) float64 in [0, log2(playlists)].
    """
    return np.log2(playlists) - np.log2(np.maximum(popularity, 1))


def list_means(lists: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean over each list of a value of its items.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none; each holds one at least.
        values: (n,) float64.

    Returns:
        (p,) float64.
    """
    listed = lists >= 0
    return np.where(listed, values[lists], 0.0).sum(axis=1) / listed.sum(axis=1)


def set_means(sets: Interactions, values: np.ndarray) -> np.ndarray:
    """Return the mean over each set of a value of its items, (p,) float64; each set holds one at least."""
    return np.add.reduceat(values[sets.tracks], sets.offsets[:-1]) / sets.lengths


def new_artist_share(lists: np.ndarray, known: Interactions, artists: np.ndarray) -> np.ndarray:
    """Return the share of the entries of each list whose artist is not known of the playlist, from what is visible.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none; each holds one at least.
        known: Artists of the visible tracks of the same playlists: their numbers.
        artists: (n,) int, a number for each artist.

    Returns:
        (p,) float64 in [0, 1].
    """
    listed = lists >= 0
    new = listed & ~by_known_artists(lists, known, artists)
    return new.sum(axis=1) / listed.sum(axis=1)


def entry_counts(lists: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return how many list entries each group of items has, (m,) int64.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none.
        groups: (n,) int in 0 .. m - 1: the number of each track's artist, or of the track itself.
    """
    return np.bincount(groups[lists[lists >= 0]], minlength=int(groups.max()) + 1)


def gini(counts: np.ndarray) -> np.ndarray:
    """Return the Gini coefficient of counts: 0 if all are equal, close to 1 if one has everything.

    G = sum over i of (2 i - n - 1) x_(i) / (n sum x), with x_(1) <= .. <= x_(n): twice the area between the Lorenz
    curve and the diagonal (Fleder & Hosanagar 2009, Management Science 55). Shani & Gunawardana 2011 divide by n - 1
    in place of n, so that their value is n / (n - 1) times this one.

    Args:
        counts: (.., n) int, at least one above 0 in each row.

    Returns:
        (..) float64 in [0, 1 - 1 / n].
    """
    n = counts.shape[-1]
    weights = 2.0 * np.arange(1, n + 1) - n - 1
    return np.sort(counts, axis=-1) @ weights / (n * counts.sum(axis=-1, dtype=np.float64))


def coverage(counts: np.ndarray) -> float:
    """Return the share of the counts above 0: items, or artists, that are in any list (Ge et al. 2010, RecSys)."""
    return float((counts > 0).mean())


def intra_list_similarity(lists: np.ndarray, vectors: np.ndarray, cutoffs: Sequence[int]) -> dict[int, np.ndarray]:
    """Return the mean cosine similarity of all pairs of tracks in each list (Ziegler et al. 2005, WWW).

    With u_r the unit vector at rank r and L entries: (|sum of u_r|^2 - sum of |u_r|^2) / (L (L - 1)). 1 less this is
    the diversity of Zhang & Hurley 2008 (RecSys) for the cosine distance. A list of one track has no pair and counts 0.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none.
        vectors: (n, dim) float32; an all-zero row is similar to nothing.
        cutoffs: The Ks, ascending, at most k.

    Returns:
        K -> (p,) float64 in [-1, 1].
    """
    weights = unit_weights(vectors)
    found = {k: np.empty(len(lists)) for k in cutoffs}
    size = max(1, _BLOCK_NUMBERS // (lists.shape[1] * vectors.shape[1]))
    for start in range(0, len(lists), size):
        block = lists[start : start + size]
        scale = np.where(block >= 0, weights[block], 0.0)
        gathered = vectors[block]
        total = np.zeros((len(block), vectors.shape[1]))
        done = 0
        for k in cutoffs:
            total += np.einsum("pk,pkd->pd", scale[:, done:k], gathered[:, done:k])
            done = k
            own = (scale[:, :k] > 0).sum(axis=1)
            listed = (block[:, :k] >= 0).sum(axis=1)
            found[k][start : start + size] = pair_means((total**2).sum(axis=1), own, listed)
    return found


def unit_weights(vectors: np.ndarray) -> np.ndarray:
    """Return (n,) float64: 1 over the length of each row, 0 for an all-zero row."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def pair_means(squared: np.ndarray, own: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the mean over all pairs of some unit vectors, from the squared length of their sum.

    Args:
        squared: (..) float64, that squared length.
        own: (..) int, how many of them are not zero: the pairs of a vector with itself.
        size: (..) int, how many there are; fewer than two have no pair, and a mean of 0.
    """
    pairs = size * (size - 1.0)
    return np.divide(squared - own, pairs, out=np.zeros_like(squared), where=pairs > 0).clip(-1, 1)
