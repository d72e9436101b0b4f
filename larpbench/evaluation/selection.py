"""The one number that selection, early stopping and tuning look at (protocol rule 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larpbench.evaluation.metrics import find_hits
from larpbench.evaluation.queries import Queries
from larpbench.evaluation.ranking import rank, tie_order

SELECTION_CUTOFF = 10


def recall_at(
    query_vectors: np.ndarray, item_vectors: np.ndarray, queries: Queries, k: int = SELECTION_CUTOFF
) -> float:
    """Return the mean of `recalls_at`."""
    return float(recalls_at(query_vectors, item_vectors, queries, k).mean())


def recalls_at(
    query_vectors: np.ndarray, item_vectors: np.ndarray, queries: Queries, k: int = SELECTION_CUTOFF
) -> np.ndarray:
    """Return the recall@k of each playlist, (p,) float64, by the ranking and the ties of the protocol itself.

    Args:
        query_vectors: (p, d) float32, one vector for each playlist of `queries`.
        item_vectors: (n, d) float32, one vector for each candidate.
        queries: Held-out tracks, and what is not ranked.
        k: Cut-off.

    Raises:
        ProtocolError: If a score is not finite.
    """
    blocks = rank(
        query_vectors,
        item_vectors,
        masked_offsets=queries.masked.offsets,
        masked_items=queries.masked.tracks,
        order=tie_order(queries.track_ids),
        k=k,
    )
    hits = find_hits(np.concatenate([block.items for block in blocks]), queries.heldout, len(queries.track_ids))
    recalls: np.ndarray = hits.sum(axis=1) / queries.heldout.lengths
    return recalls


@dataclass(frozen=True)
class Choice:
    """One of several candidates, chosen by the recall of the same playlists.

    Attributes:
        index: Place of the one that is chosen.
        best: Place of the one with the highest mean recall, the first of several.
        means: Mean recall of each candidate.
        below_best: How much lower than that of the best it is.
        errors: Paired standard error of that difference.
    """

    index: int
    best: int
    means: tuple[float, ...]
    below_best: tuple[float, ...]
    errors: tuple[float, ...]


def first_within_one_error(recalls: Sequence[np.ndarray] | np.ndarray) -> Choice:
    """Choose the first candidate whose mean recall is within one paired standard error of the best.

    The best of several noisy means is chosen too often for its noise. A candidate that cannot be told from it, and that
    claims less, is the safer choice: the one-standard-error rule (Breiman et al. 1984, section 3.4.3), with the error
    of the differences playlist by playlist.

    Args:
        recalls: (candidates, playlists), the candidates in order of preference: the one that claims least first.
    """
    table = np.asarray(recalls, dtype=np.float64)
    means = table.mean(axis=1)
    best = int(means.argmax())
    differences = table[best] - table
    below = differences.mean(axis=1)
    playlists = table.shape[1]
    errors = differences.std(axis=1, ddof=1) / np.sqrt(playlists) if playlists > 1 else np.zeros(len(table))
    within = below <= errors * (1 + 1e-9)  # equal, but for rounding, where one playlist alone makes the difference
    return Choice(int(within.argmax()), best, tuple(means.tolist()), tuple(below.tolist()), tuple(errors.tolist()))
