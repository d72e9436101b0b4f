"""ItemKNN: a playlist is the mean of its seeds, a track is its embedding (LARP, section 3.3, equations 12 and 26).

The paper says cosine in one place and inner product in another, and on vectors of different norms these rank quite
differently; so the scorer is part of the name.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from larpbench.datasets.schema import Dataset, Interactions
from larpbench.errors import ProtocolError
from larpbench.recommenders.base import Recommender
from larpbench.recommenders.vectors import playlist_means
from larpbench.vectors import unit_rows

Scoring = Literal["normalised", "dot", "cosine"]


class ItemKNN(Recommender):
    """Mean of the seeds, inner product with each track.

    Args:
        name: Name in results.
        scorer: ``normalised``: track vectors are scaled to length 1, then averaged; ``dot``: raw vectors;
            ``cosine``: raw vectors are averaged, then both sides are scaled to length 1.
        summary: One line for lists.
    """

    version = 1
    citation = ("salganik2024larp", "sarwar2001item")

    def __init__(self, name: str, scorer: Scoring, summary: str) -> None:
        self.name, self.scorer, self.summary = name, scorer, summary

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return the (p, dim) float32 means of the seeds."""
        queries = playlist_means(seeds, embeddings, unit=self.scorer == "normalised")
        return unit_rows(queries) if self.scorer == "cosine" else queries

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32."""
        return embeddings if self.scorer == "dot" else unit_rows(embeddings)


class LogItemKNN(ItemKNN):
    """ItemKNN of listeners, whose tracks weigh log(1 + c), c being how often each was played."""

    def __init__(self) -> None:
        super().__init__("itemknn-log", "normalised", "itemknn with tracks weighed by log(1 + plays), if known")

    def lacks(self, dataset: Dataset) -> str | None:
        """Return why it cannot run: counts are not known."""
        known = dataset.split("train").interactions().counts is not None
        return None if known else f"nothing says how often tracks of {dataset.name!r} were played"

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return the (p, dim) float32 weighted means of the unit-length tracks.

        Raises:
            ProtocolError: If counts are not known.
        """
        if seeds.counts is None:
            raise ProtocolError(f"recommender {self.name!r} needs to know how often tracks were played")
        return playlist_means(seeds, embeddings, np.log1p(seeds.counts), unit=True)


ITEMKNN = ItemKNN("itemknn", "normalised", "mean of L2-normalised seeds, inner product (the default)")
ITEMKNN_DOT = ItemKNN("itemknn-dot", "dot", "mean of raw seeds, inner product with raw vectors")
ITEMKNN_COSINE = ItemKNN("itemknn-cosine", "cosine", "mean of raw seeds, then cosine")
ITEMKNN_LOG = LogItemKNN()
