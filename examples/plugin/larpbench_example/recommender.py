"""A recommender: a playlist is the maximum of its seeds, dimension by dimension."""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import Recommender


class MaxPooling(Recommender):
    """Two methods: a vector for each playlist, and one for each track; the score is their inner product."""

    name = "max-pooling"  # as it is registered in pyproject.toml
    version = 1  # raise it with every change that changes scores
    summary = "maximum of the L2-normalised seeds in each dimension"

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return (playlists, dim) float32. Seeds are a set, listed by track id: they have no order."""
        items = self.item_vectors(embeddings)
        return np.maximum.reduceat(items[seeds.tracks], seeds.offsets[:-1])

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (tracks, dim) float32, of length 1."""
        return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), np.float32(1e-9))


MAX_POOLING = MaxPooling()
