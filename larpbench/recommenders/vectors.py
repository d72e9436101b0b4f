"""Means of the tracks of playlists, which several recommenders share."""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.vectors import inverse_lengths

_GATHERED_ROWS = 16_384


def playlist_means(
    playlists: Interactions, vectors: np.ndarray, weights: np.ndarray | None = None, *, unit: bool = False
) -> np.ndarray:
    """Return the mean of each playlist's tracks (LARP, equation 12), summed in float64.

    Args:
        playlists: p playlists of at least one track each.
        vectors: (n, dim) float32, one row a track.
        weights: (entries,) float64, positive; None: all weigh the same.
        unit: Whether the vectors are scaled to length 1 first; no copy of them is made.

    Returns:
        (p, dim) float32.
    """
    means = np.empty((len(playlists), vectors.shape[1]), dtype=np.float32)
    scale = inverse_lengths(vectors) if unit else None
    starts = playlists.offsets[:-1]
    totals = playlists.lengths if weights is None else np.add.reduceat(weights, starts)
    start = 0
    while start < len(playlists):
        # Whole playlists whose tracks together are few enough rows to gather at once.
        fits = np.searchsorted(playlists.offsets, playlists.offsets[start] + _GATHERED_ROWS, side="right") - 1
        stop = max(start + 1, int(fits))
        low, high = playlists.offsets[start], playlists.offsets[stop]
        tracks = playlists.tracks[low:high]
        rows = vectors[tracks] if scale is None else vectors[tracks] * scale[tracks, None]
        if weights is not None:
            rows = rows * weights[low:high, None]
        sums = np.add.reduceat(rows, playlists.offsets[start:stop] - low, axis=0, dtype=np.float64)
        means[start:stop] = sums / totals[start:stop, None]
        start = stop
    return means
