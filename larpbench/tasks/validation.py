"""What selects in the training of encoders: recall on the validation playlists, never on test (protocol rule 11)."""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.evaluation.bounds import chance
from larpbench.evaluation.queries import Queries, queries_of
from larpbench.evaluation.selection import SELECTION_CUTOFF, recalls_at
from larpbench.recommenders.itemknn import ITEMKNN


class ValidationRecall:
    """Recall@10 of the valid playlists with the default recommender.

    Args:
        queries: Of the valid split.
    """

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    @property
    def chance(self) -> float:
        """Expected recall@10 of a random ranking (protocol rule 9)."""
        lengths = self._queries.heldout.lengths
        expected = chance(self._queries.candidates, lengths, (SELECTION_CUTOFF,))
        return float(expected[f"recall@{SELECTION_CUTOFF}"].mean())

    def __call__(self, embeddings: np.ndarray) -> float:
        """Return the mean over the playlists, given the valid tracks' vectors, (n, dim) float32."""
        return float(self.per_playlist(embeddings).mean())

    def per_playlist(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the recall@10 of each playlist, (p,) float64."""
        queries = ITEMKNN.query_vectors(self._queries.seeds, embeddings)
        return recalls_at(queries, ITEMKNN.item_vectors(embeddings), self._queries)


def validation_recall(valid: Split) -> ValidationRecall:
    """Return what scores vectors of the valid tracks.

    Raises:
        DataError: If no valid playlist has both a seed and a held-out track.
        ValueError: If it is another split.
    """
    if valid.name != "valid":
        raise ValueError(f"selection sees the valid split only, not {valid.name}")
    return ValidationRecall(queries_of(valid))
