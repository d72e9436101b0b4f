"""What training and tuning are selected by: recall on the validation playlists, never on test (protocol rule 11)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.evaluation.continuation import continuation
from larpbench.evaluation.metrics import find_hits
from larpbench.evaluation.ranking import rank, tie_order
from larpbench.recommenders.itemknn import ITEMKNN

CUTOFF = 10


def validation_recall(valid: Split) -> Callable[[np.ndarray], float]:
    """Return a function from the valid tracks' vectors, (n, dim) float32, to recall@10 with the default recommender.

    Raises:
        ProtocolError: If no valid playlist has both a seed and a held-out track.
        ValueError: If it is another split.
    """
    if valid.name != "valid":
        raise ValueError(f"selection sees the valid split only, not {valid.name}")
    question = continuation(valid)
    order = tie_order(question.track_ids)

    def score(embeddings: np.ndarray) -> float:
        blocks = rank(
            ITEMKNN.query_vectors(question.seeds, embeddings),
            ITEMKNN.item_vectors(embeddings),
            masked_offsets=question.seeds.offsets,
            masked_items=question.seeds.tracks,
            order=order,
            k=CUTOFF,
        )
        hits = find_hits(np.concatenate([block.items for block in blocks]), question.heldout, len(question.track_ids))
        return float((hits.sum(axis=1) / question.heldout.lengths).mean())

    return score
