"""What a recommender is. Ranking is never its business: it is exact inner product, the same for all."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from larpbench.datasets.schema import Interactions


class Recommender(ABC):
    """Turns embeddings into vectors whose inner products are the scores.

    Attributes:
        name: Name in results; the scorer is part of it (protocol rule 6).
        version: Raised with every change that changes scores.
        summary: One line for lists.
    """

    name: str
    version: int
    summary: str

    @abstractmethod
    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return one vector a playlist.

        Args:
            seeds: Visible tracks of p playlists, at least one each.
            embeddings: (n, dim) float32, the split's tracks.

        Returns:
            (p, k) float32.
        """

    @abstractmethod
    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return one vector a track, (n, k) float32."""
