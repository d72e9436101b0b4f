"""What kind of lists these are: hubs, and how many hits are merely the same artist.

Coverage@K and unique-artist share@K (1 less it is artist repetition) are among the metrics of every record.
"""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.metrics import find_hits


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


def by_known_artists(lists: np.ndarray, known: Interactions, artists: np.ndarray) -> np.ndarray:
    """Return which list entries are by an artist of a visible track, (p, k) bool.

    Args:
        lists: (p, k) int rows of the candidates by rank, -1 for none.
        known: Artists of the visible tracks of the same p playlists: their numbers.
        artists: (n,) int, a number for each artist.
    """
    span = int(max(artists.max(), known.tracks.max(initial=0))) + 1
    return find_hits(np.where(lists >= 0, artists[lists], -1), known, span)


def same_artist_share(same: np.ndarray, chosen: np.ndarray) -> float:
    """Return the share of chosen list entries, such as the hits, whose artist is also that of a visible track.

    Args:
        same: (p, k) bool, see `by_known_artists`.
        chosen: (p, k) bool, the entries that count.

    Returns:
        The share; NaN if nothing is chosen.
    """
    return float(same[chosen].mean()) if chosen.any() else float("nan")
