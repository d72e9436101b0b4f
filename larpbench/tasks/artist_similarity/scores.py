"""From vectors to scores: the ranking, the metrics and the bounds of the other task, over artists.

With q hidden edges of an artist, NDCG@200 = (sum over r <= 200 of hit_r / log2(r + 1)) / D(min(q, 200)), and the
published code (Groetschla et al. 2024) divides by D(q + 1) instead: one ideal term too many, so that a perfect ranking
scores 0.613 for q = 1. Both are kept; ``ndcg_paper@200`` is theirs.
"""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.evaluation import bounds
from larpbench.evaluation.arithmetic import check_scores
from larpbench.evaluation.beyond.measures import ListContext
from larpbench.evaluation.metrics import MetricSpec, find_hits, ideal_gain, list_quality
from larpbench.tasks.artist_similarity.queries import ArtistQueries
from larpbench.tasks.result import Fit, TaskResult
from larpbench.vectors import unit_rows

CUTOFFS = (10, 50, 200)
LIST_LENGTH = 200
SELECTED_BY = f"ndcg@{LIST_LENGTH}"
PAPER_NDCG = f"ndcg_paper@{LIST_LENGTH}"
METRICS: tuple[MetricSpec, ...] = (
    *(MetricSpec("ndcg", k, whole_list=k == LIST_LENGTH) for k in CUTOFFS),
    MetricSpec("ndcg_paper", LIST_LENGTH, whole_list=True),
    *(MetricSpec(name, k) for name in ("recall", "hit_rate") for k in CUTOFFS),
    MetricSpec("mrr", LIST_LENGTH, whole_list=True),
    MetricSpec("map", LIST_LENGTH, whole_list=True),
)
SHOWN = ("ndcg@200", "hit_rate@10", "recall@200", "mrr@200", PAPER_NDCG)


def ranked(queries: ArtistQueries, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rank all other artists of the split for each query, by inner product.

    Args:
        queries: Of the split.
        vectors: (c, k) float32, one row a candidate. For vectors of length 1 the order is that of Euclidean distance.

    Returns:
        Lists (p, 200) int64 places of candidates, -1 for none; their scores (p, 200) float32; and (p, 200) bool, where
        a cut falls between equal scores.
    """
    from larpbench.evaluation.ranking import rank, tie_order  # loads torch, which lists and tables need not

    blocks = list(
        rank(
            vectors[queries.places],
            vectors,
            masked_offsets=np.arange(len(queries.places) + 1),
            masked_items=queries.places,
            order=tie_order(queries.ids),
            k=LIST_LENGTH,
        )
    )
    return tuple(np.concatenate([getattr(block, part) for block in blocks]) for part in ("items", "scores", "tied_at"))  # type: ignore[return-value]


def selection_ndcg(queries: ArtistQueries, vectors: np.ndarray) -> float:
    """Return the mean NDCG@200: what training is selected by, on valid."""
    lists, _, _ = ranked(queries, vectors)
    hits = find_hits(lists, queries.hidden, len(queries.rows))
    return float(list_quality(hits, queries.hidden.lengths, CUTOFFS)[SELECTED_BY].mean())


def compared_with(queries: ArtistQueries, features: np.ndarray) -> dict[str, float]:
    """Return the mean NDCG@200 on valid that a training is to be compared with: of chance, and of the bare features.

    Args:
        queries: Of the valid split.
        features: (n, dim) float32 of the artists of all splits up to it.
    """
    n_candidates = np.full(len(queries.places), len(queries.rows) - 1)
    expected = bounds.chance(n_candidates, queries.hidden.lengths, CUTOFFS)[SELECTED_BY]
    frozen = selection_ndcg(queries, unit_rows(features[queries.rows], double=False))
    return {"chance": float(expected.mean()), "frozen": frozen}


def score(queries: ArtistQueries, vectors: np.ndarray, fit: Fit | None = None) -> TaskResult:
    """Rank and score a split.

    Args:
        queries: Of the split.
        vectors: (c, k) float32, one row a candidate.
        fit: What learning the vectors took.

    Raises:
        ProtocolError: If a score is not finite, or contradicts arithmetic.
    """
    lists, scores, tied = ranked(queries, vectors)
    n_hidden = queries.hidden.lengths
    n_candidates = np.full(len(queries.places), len(queries.rows) - 1)
    hits = find_hits(lists, queries.hidden, len(queries.rows))
    values = with_paper_ndcg(list_quality(hits, n_hidden, CUTOFFS), n_hidden)
    best = with_paper_ndcg(bounds.ceiling(n_candidates, n_hidden, CUTOFFS), n_hidden)
    check_scores(values, best, n_hidden, CUTOFFS)
    return TaskResult(
        query_ids=queries.hidden.playlist_ids,
        values=values,
        totals={},
        chance=with_paper_ndcg(bounds.chance(n_candidates, n_hidden, CUTOFFS), n_hidden),
        ceiling=best,
        n_seeds=queries.visible,
        n_heldout=n_hidden,
        n_candidates=n_candidates,
        lists=lists,
        list_scores=scores,
        item_ids=queries.ids,
        hits_at={k: int(hits[:, :k].sum()) for k in CUTOFFS},
        tie_share={k: float(tied[:, k - 1].mean()) for k in CUTOFFS},
        left_out=queries.left_out,
        fit=fit,
        heldout=queries.hidden,
        context=ListContext(
            Interactions(queries.hidden.playlist_ids, np.arange(len(queries.places) + 1), queries.places)
        ),
        query="artist",
    )


def with_paper_ndcg(columns: dict[str, np.ndarray], n_hidden: np.ndarray) -> dict[str, np.ndarray]:
    """Add the published formula's NDCG@200: the same gain over an ideal of one more hit."""
    ideal = ideal_gain(LIST_LENGTH)
    right, published = ideal[np.minimum(n_hidden, LIST_LENGTH)], ideal[np.minimum(n_hidden + 1, LIST_LENGTH)]
    return columns | {PAPER_NDCG: columns[SELECTED_BY] * right / published}
