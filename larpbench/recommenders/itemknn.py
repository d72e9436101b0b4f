"""ItemKNN: a playlist is the mean of its seeds, a track is its embedding (LARP, section 3.3, equations 12 and 26).

The paper says cosine in one place and inner product in another, and on vectors of different norms these rank quite
differently; so the scorer is part of the name.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import Recommender

Scorer = Literal["normalised", "dot", "cosine"]
_GATHERED_ROWS = 16_384


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
        """Return the (p, dim) float32 means of the seeds, summed in float64."""
        vectors = self.item_vectors(embeddings) if self.scorer == "normalised" else embeddings
        queries = np.empty((len(seeds), embeddings.shape[1]), dtype=np.float32)
        lengths, start = seeds.lengths, 0
        while start < len(seeds):
            # Whole playlists whose seeds together are few enough rows to gather at once.
            fits = np.searchsorted(seeds.offsets, seeds.offsets[start] + _GATHERED_ROWS, side="right") - 1
            stop = max(start + 1, int(fits))
            low, high = seeds.offsets[start], seeds.offsets[stop]
            rows = vectors[seeds.tracks[low:high]]
            sums = np.add.reduceat(rows, seeds.offsets[start:stop] - low, axis=0, dtype=np.float64)
            queries[start:stop] = sums / lengths[start:stop, None]
            start = stop
        return _unit(queries) if self.scorer == "cosine" else queries

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32."""
        return embeddings if self.scorer == "dot" else _unit(embeddings)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; a zero row (seeds that cancel out) stays zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1.0
    return vectors * (1.0 / lengths).astype(np.float32)[:, None]


ITEMKNN = ItemKNN("itemknn", "normalised", "mean of L2-normalised seeds, inner product (the default)")
ITEMKNN_DOT = ItemKNN("itemknn-dot", "dot", "mean of raw seeds, inner product with raw vectors")
ITEMKNN_COSINE = ItemKNN("itemknn-cosine", "cosine", "mean of raw seeds, then cosine")
