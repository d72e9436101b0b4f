"""The one number that selection, early stopping and tuning look at (protocol rule 11)."""

from __future__ import annotations

import numpy as np

from larpbench.evaluation.metrics import find_hits
from larpbench.evaluation.queries import Queries
from larpbench.evaluation.ranking import rank, tie_order

SELECTION_CUTOFF = 10


def recall_at(
    query_vectors: np.ndarray, item_vectors: np.ndarray, queries: Queries, k: int = SELECTION_CUTOFF
) -> float:
    """Return the mean recall@k, by the ranking and the ties of the protocol itself.

    Args:
        query_vectors: (p, d) float32, one vector for each playlist of `queries`.
        item_vectors: (n, d) float32, one vector for each candidate.
        queries: Seeds and held-out tracks.
        k: Cut-off.

    Raises:
        ProtocolError: If a score is not finite.
    """
    blocks = rank(
        query_vectors,
        item_vectors,
        masked_offsets=queries.seeds.offsets,
        masked_items=queries.seeds.tracks,
        order=tie_order(queries.track_ids),
        k=k,
    )
    hits = find_hits(np.concatenate([block.items for block in blocks]), queries.heldout, len(queries.track_ids))
    return float((hits.sum(axis=1) / queries.heldout.lengths).mean())
