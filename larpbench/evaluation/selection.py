"""The one number that selection, early stopping and tuning look at (protocol rule 11)."""

from __future__ import annotations

import numpy as np

from larpbench.evaluation.continuation import Continuation
from larpbench.evaluation.metrics import find_hits
from larpbench.evaluation.ranking import rank, tie_order

SELECTION_CUTOFF = 10


def recall_at(queries: np.ndarray, items: np.ndarray, question: Continuation, k: int = SELECTION_CUTOFF) -> float:
    """Return the mean recall@k, by the ranking and the ties of the protocol itself.

    Args:
        queries: (p, d) float32, one vector a playlist of `question`.
        items: (n, d) float32, one vector a candidate.
        question: Seeds and held-out tracks.
        k: Cut-off.

    Raises:
        ProtocolError: If a score is not finite.
    """
    blocks = rank(
        queries,
        items,
        masked_offsets=question.seeds.offsets,
        masked_items=question.seeds.tracks,
        order=tie_order(question.track_ids),
        k=k,
    )
    hits = find_hits(np.concatenate([block.items for block in blocks]), question.heldout, len(question.track_ids))
    return float((hits.sum(axis=1) / question.heldout.lengths).mean())
