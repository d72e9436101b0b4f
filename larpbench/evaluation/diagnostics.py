"""What kind of lists these are: hubs, and how many hits are merely the same artist.

Coverage@K and unique-artist share@K (1 less it is artist repetition) are among the metrics of every record.
"""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions

_PLAYLISTS_AT_ONCE = 8_192


def hubness(lists: np.ndarray, n_items: int) -> float:
    """Return the skewness of N_k, the number of lists that hold each track (Radovanovic et al. 2010).

    S = E[(N_k - mean)^3] / std^3 over all candidates: about 0 if each is listed about as often as any other, large if a
    few tracks are in everybody's list. k is the length of the lists.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none.
        n_items: Number of candidates.

    Returns:
        The skewness; 0 where all are listed equally often.
    """
    counts = np.bincount(lists[lists >= 0].ravel(), minlength=n_items).astype(np.float64)
    centred = counts - counts.mean()
    variance = float((centred**2).mean())
    return float((centred**3).mean() / variance**1.5) if variance > 0 else 0.0


def same_artist_share(lists: np.ndarray, chosen: np.ndarray, known: Interactions, artists: np.ndarray) -> float:
    """Return the share of chosen list entries, such as the hits, whose artist is also that of a visible track.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none.
        chosen: (p, k) bool, the entries that count; false where `lists` is -1.
        known: Artists of the visible tracks of the same p playlists: their numbers.
        artists: (n,) int, a number for each artist.

    Returns:
        The share; NaN if nothing is chosen.
    """
    count = int(chosen.sum())
    return int(of_known_artists(lists, chosen, known, artists).sum()) / count if count else float("nan")


def of_known_artists(lists: np.ndarray, chosen: np.ndarray, known: Interactions, artists: np.ndarray) -> np.ndarray:
    """Return which of the chosen list entries have an artist that is also that of a visible track, (p, k) bool.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none.
        chosen: (p, k) bool; false where `lists` is -1.
        known: Artists of the visible tracks of the same p playlists: their numbers.
        artists: (n,) int, a number for each artist.
    """
    span = int(max(artists.max(), known.tracks.max(initial=0))) + 1
    found = np.zeros(lists.shape, dtype=bool)
    for start in range(0, len(lists), _PLAYLISTS_AT_ONCE):
        block = slice(start, start + _PLAYLISTS_AT_ONCE)
        bounds = known.offsets[start : start + _PLAYLISTS_AT_ONCE + 1]
        visible = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)) * span + known.tracks[bounds[0] : bounds[-1]]
        rows, _ = np.nonzero(chosen[block])
        found[block][chosen[block]] = np.isin(rows * span + artists[lists[block][chosen[block]]], visible)
    return found
