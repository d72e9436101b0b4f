"""What playlists say of their tracks in closed form, and the linear map to it from the tracks' content."""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse

from larpbench.datasets.schema import Interactions
from larpbench.errors import DataError
from larpbench.vectors import unit_rows

_OVERSAMPLED, _POWER_ITERATIONS, _START = 16, 4, 0
_ROWS = 8_192


def track_factors(playlists: Interactions, n_tracks: int, factors: int) -> np.ndarray:
    """Return the right singular vectors of Dp^-1/2 M Dt^-1/2, times singular values, in rows of length 1.

    M is the matrix of playlists and tracks, Dp and Dt its row and column sums. The first singular vector, the square
    root of Dt, says how many playlists hold a track and is left out. The rest is a spectral embedding of the graph of
    playlists and tracks (Dhillon 2001, Co-clustering documents and words using bipartite spectral graph partitioning).
    Randomised (Halko, Martinsson & Tropp 2011), always from the same start.

    Args:
        playlists: Playlists of the train split.
        n_tracks: Number of its tracks.
        factors: Vectors at most; there are no more than the rank less one.

    Returns:
        (n_tracks, k) float32, k = min(factors, rank - 1); a track without a playlist is a zero row.

    Raises:
        DataError: If the rank is below two.
    """
    from sklearn.utils.extmath import randomized_svd

    lengths, degrees = playlists.lengths, np.bincount(playlists.tracks, minlength=n_tracks)
    rows = np.repeat(np.arange(len(playlists)), lengths)
    values = 1.0 / np.sqrt(lengths[rows] * degrees[playlists.tracks])
    held, wanted = degrees > 0, min(factors + 1, int((lengths > 0).sum()), int((degrees > 0).sum()))
    found = np.zeros((n_tracks, 0), dtype=np.float32)
    if wanted > 1:
        matrix = sparse.csr_matrix(
            (values.astype(np.float32), playlists.tracks, playlists.offsets), shape=(len(playlists), n_tracks)
        )[:, held]
        _, singular, right = randomized_svd(
            matrix,
            wanted,
            n_oversamples=_OVERSAMPLED,
            n_iter=_POWER_ITERATIONS,
            power_iteration_normalizer="LU",
            random_state=_START,
        )
        kept = singular > singular[0] * 1e-4  # smaller ones are rounding errors of float32: beyond the rank
        kept[0] = False
        found = np.zeros((n_tracks, int(kept.sum())), dtype=np.float32)
        found[held] = unit_rows((right[kept] * singular[kept, None]).T)
    if not found.shape[1]:
        raise DataError(
            "the train playlists all hold the same tracks: there is nothing to learn from them",
            allowed="train playlists that differ",
        )
    return found


class Ridge:
    """The maps W that minimise |X W - Y|^2 + l2 |W|^2, for any l2.

    Rows of Y that are all zero are not looked at.

    Args:
        rows: X, (n, dim) float32.
        targets: Y, (n, k) float32.
    """

    def __init__(self, rows: np.ndarray, targets: np.ndarray) -> None:
        dim, known = rows.shape[1], np.flatnonzero(targets.any(axis=1))
        self._gram, self._cross = np.zeros((dim, dim)), np.zeros((dim, targets.shape[1]))
        for start in range(0, len(known), _ROWS):  # products in float32, sums in float64
            chosen = known[start : start + _ROWS]
            x = rows[chosen]
            self._gram += x.T @ x
            self._cross += x.T @ targets[chosen]

    def solve(self, l2: float) -> np.ndarray:
        """Return W, (dim, k) float32: (X'X + l2 I) W = X'Y."""
        penalised = self._gram + l2 * np.eye(len(self._gram))
        return linalg.solve(penalised, self._cross, assume_a="pos").astype(np.float32)
