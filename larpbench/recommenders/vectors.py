"""Plain arithmetic on track vectors that several recommenders share."""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions

LARGEST = 5.0
_GATHERED_ROWS = 16_384
_NEVER_VARIES = 1e-6


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; a zero row (seeds that cancel out) stays zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1.0
    return vectors * (1.0 / lengths).astype(np.float32)[:, None]


def playlist_means(playlists: Interactions, vectors: np.ndarray) -> np.ndarray:
    """Return the mean of each playlist's tracks (LARP, equation 12), summed in float64.

    Args:
        playlists: p playlists of at least one track each.
        vectors: (n, dim) float32, one row a track.

    Returns:
        (p, dim) float32.
    """
    means = np.empty((len(playlists), vectors.shape[1]), dtype=np.float32)
    lengths, start = playlists.lengths, 0
    while start < len(playlists):
        # Whole playlists whose tracks together are few enough rows to gather at once.
        fits = np.searchsorted(playlists.offsets, playlists.offsets[start] + _GATHERED_ROWS, side="right") - 1
        stop = max(start + 1, int(fits))
        low, high = playlists.offsets[start], playlists.offsets[stop]
        rows = vectors[playlists.tracks[low:high]]
        sums = np.add.reduceat(rows, playlists.offsets[start:stop] - low, axis=0, dtype=np.float64)
        means[start:stop] = sums / lengths[start:stop, None]
        start = stop
    return means


class Standardised:
    """Each column less its mean, over its standard deviation, cut at +-5 as DropoutNet does; the mean row becomes 0.

    Args:
        rows: (n, dim) float32, train rows. A column that never varies becomes 0.
    """

    def __init__(self, rows: np.ndarray) -> None:
        exact = rows.astype(np.float64)
        self.mean, deviation = exact.mean(axis=0), exact.std(axis=0)
        varies = deviation > _NEVER_VARIES * np.abs(self.mean)
        self.scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32 in [-5, 5]."""
        return np.clip((rows - self.mean) * self.scale, -LARGEST, LARGEST).astype(np.float32)
