"""Ridge for known listeners: the listener's own WMF factor, and a linear map from content to the factors of tracks."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import LearnedRecommender, SearchSpace, TrainData, ValidData, fitted
from larpbench.recommenders.listeners.data import KnownListeners
from larpbench.recommenders.ridge import LinearMap, ridge_map
from larpbench.recommenders.wmf import WMF_SPACE, factor_seconds, train_factors
from larpbench.vectors import unit_rows


class ListenerRidge(LearnedRecommender):
    """score = x_u . W(e): W is fitted from the content of the train tracks to their factors."""

    name = "ridge"
    version = 1
    citation = ("hu2008implicit",)
    summary = "the listener's WMF factor, and a closed-form ridge map from content to the factors of tracks"
    search_space: ClassVar[SearchSpace] = {"ridge_l2": (10.0, 1.0, 100.0, 1_000.0), **WMF_SPACE}
    fits_in_threads = True
    shares_factors = True
    _listeners: KnownListeners | None = None
    _tracks: LinearMap | None = None

    def fit_seconds(self, entries: int, rows: int, dim: int) -> float:
        """Return the time of the factorisation, by entries and rows, and of the map."""
        return factor_seconds(entries, rows) + rows * 5e-11 * dim**2

    def fit(self, train: TrainData, valid: ValidData) -> None:
        """Factorise train and solve for the map; valid is not looked at."""
        factors = train_factors(train, self.params, self.seed)
        self._listeners = KnownListeners(train.interactions, factors.playlists)
        self._tracks = ridge_map(unit_rows(train.embeddings), factors.tracks, self.params["ridge_l2"])

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return the (p, 64) float32 factors of the listeners; the vectors of their tracks are not looked at."""
        return fitted(self._listeners, self.name).of(seeds)

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the (n, 64) float32 mapped unit-length tracks."""
        return fitted(self._tracks, self.name)(unit_rows(embeddings))


RIDGE = ListenerRidge()
