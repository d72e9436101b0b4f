"""Ridge: closed-form linear maps from content to the WMF space; the baseline that published comparisons leave out.

It is DropoutNet's content-only tower without hidden layers: playlists and tracks each have a map of their own, the
score is the inner product of the mapped vectors. There is nothing to descend and nothing to stop early.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import linalg

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import LearnedRecommender, SearchSpace, TrainData, ValidData, fitted
from larpbench.recommenders.vectors import playlist_means
from larpbench.recommenders.wmf import WMF_SPACE, factor_seconds, train_factors
from larpbench.vectors import unit_rows


@dataclass(frozen=True)
class LinearMap:
    """x -> (x - centre) weights + offset.

    Attributes:
        weights: (dim, k) float64.
        centre: (dim,) float64.
        offset: (k,) float64.
    """

    weights: np.ndarray
    centre: np.ndarray
    offset: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, k) float32."""
        return ((rows - self.centre) @ self.weights + self.offset).astype(np.float32)


def ridge_map(rows: np.ndarray, targets: np.ndarray, l2: float) -> LinearMap:
    """Return the map W that minimises |X W - Y|^2 + l2 |W|^2: (X'X + l2 I) W = X'Y.

    X and Y are the centred rows and targets, X over its root mean square length, so that one l2 means the same for
    embeddings of any scale. Solved in float64, in the smaller of the two dimensions of X.

    Args:
        rows: (n, dim).
        targets: (n, k).
        l2: Positive.
    """
    centre, offset = rows.mean(axis=0, dtype=np.float64), targets.mean(axis=0, dtype=np.float64)
    x, y = rows - centre, targets - offset
    scale = np.sqrt((x**2).sum(axis=1).mean()) or 1.0
    x /= scale
    n, dim = x.shape
    if dim <= n:
        weights = linalg.solve(x.T @ x + l2 * np.eye(dim), x.T @ y, assume_a="pos")
    else:
        weights = x.T @ linalg.solve(x @ x.T + l2 * np.eye(n), y, assume_a="pos")
    return LinearMap(weights / scale, centre, offset)


class Ridge(LearnedRecommender):
    """Content -> WMF factors, for playlists (mean of their tracks) and for tracks."""

    name = "ridge"
    version = 1
    citation = ("hu2008implicit",)
    summary = "closed-form ridge maps from content to the WMF space"
    search_space: ClassVar[SearchSpace] = {"ridge_l2": (10.0, 1.0, 100.0, 1_000.0), **WMF_SPACE}
    fits_in_threads = True
    shares_factors = True
    _playlists: LinearMap | None = None
    _tracks: LinearMap | None = None

    def fit_seconds(self, entries: int, rows: int, dim: int) -> float:
        """Return the time of the factorisation, by entries and rows, and of both maps."""
        return factor_seconds(entries, rows) + rows * 1.1e-10 * dim**2

    def fit(self, train: TrainData, valid: ValidData) -> None:
        """Solve for both maps; valid is not looked at."""
        vectors = unit_rows(train.embeddings)
        factors = train_factors(train, self.params, self.seed)
        means = playlist_means(train.interactions, vectors)
        self._playlists = ridge_map(means, factors.playlists, self.params["ridge_l2"])
        self._tracks = ridge_map(vectors, factors.tracks, self.params["ridge_l2"])

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return the (p, 64) float32 mapped means of the unit-length seeds."""
        return fitted(self._playlists, self.name)(playlist_means(seeds, unit_rows(embeddings)))

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the (n, 64) float32 mapped unit-length tracks."""
        return fitted(self._tracks, self.name)(unit_rows(embeddings))


RIDGE = Ridge()
