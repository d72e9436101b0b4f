"""ItemKNN: a playlist is the mean of its seeds, a track is its embedding (LARP, section 3.3, equations 12 and 26).

The paper says cosine in one place and inner product in another, and on vectors of different norms these rank quite
differently; so the scorer is part of the name.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import Recommender
from larpbench.recommenders.vectors import playlist_means
from larpbench.vectors import unit_rows

Scorer = Literal["normalised", "dot", "cosine"]


class ItemKNN(Recommender):
    """Mean of the seeds, inner product with each track.

    Args:
        name: Name in results.
        scorer: ``normalised``: track vectors are scaled to length 1, then averaged; ``dot``: raw vectors;
            ``cosine``: raw vectors are averaged, then both sides are scaled to length 1.
        summary: One line for lists.
    """

    version = 1

    def __init__(self, name: str, scorer: Scorer, summary: str) -> None:
        self.name, self.scorer, self.summary = name, scorer, summary

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return the (p, dim) float32 means of the seeds."""
        queries = playlist_means(seeds, unit_rows(embeddings) if self.scorer == "normalised" else embeddings)
        return unit_rows(queries) if self.scorer == "cosine" else queries

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32."""
        return embeddings if self.scorer == "dot" else unit_rows(embeddings)


ITEMKNN = ItemKNN("itemknn", "normalised", "mean of L2-normalised seeds, inner product (the default)")
ITEMKNN_DOT = ItemKNN("itemknn-dot", "dot", "mean of raw seeds, inner product with raw vectors")
ITEMKNN_COSINE = ItemKNN("itemknn-cosine", "cosine", "mean of raw seeds, then cosine")
