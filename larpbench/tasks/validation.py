"""What selects in the training of encoders: recall on the validation playlists, never on test (protocol rule 11)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.evaluation.queries import queries_of
from larpbench.evaluation.selection import recall_at
from larpbench.recommenders.itemknn import ITEMKNN


def validation_recall(valid: Split) -> Callable[[np.ndarray], float]:
    """Return a function from the valid tracks' vectors, (n, dim) float32, to recall@10 with the default recommender.

    Raises:
        ProtocolError: If no valid playlist has both a seed and a held-out track.
        ValueError: If it is another split.
    """
    if valid.name != "valid":
        raise ValueError(f"selection sees the valid split only, not {valid.name}")
    queries = queries_of(valid)
    return lambda embeddings: recall_at(
        ITEMKNN.query_vectors(queries.seeds, embeddings), ITEMKNN.item_vectors(embeddings), queries
    )
