"""From the vectors of queries and of tracks to the scores of a task that ranks the test tracks, whichever it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larpbench import progress
from larpbench.datasets.schema import Dataset
from larpbench.evaluation.arithmetic import check_scores
from larpbench.evaluation.beyond.measures import track_context
from larpbench.evaluation.bounds import ceiling, chance
from larpbench.evaluation.diagnostics import by_known_artists, hubness, same_artist_share
from larpbench.evaluation.metrics import find_hits, per_playlist
from larpbench.evaluation.queries import Queries
from larpbench.tasks.result import TaskResult

_QUERIES_AT_ONCE = 65_536

Ranked = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Lists (p, k) int32 rows of tracks, -1 for none; their scores (p, k) float32; (p, k) bool, cuts between equal ones."""


def score_lists(
    dataset: Dataset,
    queries: Queries,
    query_vectors: np.ndarray,
    item_vectors: np.ndarray,
    cutoffs: tuple[int, ...],
    recommender: str,
    query: str = "playlist",
    device: str = "cpu",
) -> TaskResult:
    """Rank the test tracks for every query, and score the lists.

    Args:
        dataset: What is tested.
        queries: Of its test split.
        query_vectors: (p, k) float32, one row a query.
        item_vectors: (n, k) float32, one row a test track.
        cutoffs: The Ks, ascending; the largest is the length of the lists.
        recommender: What made the vectors, for the progress bar.
        query: What the queries are, in the singular.
        device: See `larpbench.evaluation.ranking.rank`.

    Raises:
        ProtocolError: If a score is not finite, or contradicts arithmetic.
    """
    with progress.stage(f"rank {recommender}", len(query_vectors), f"{query}s") as advance:
        lists, scores, tied = _ranked(queries, query_vectors, item_vectors, cutoffs[-1], device, advance)
    n_heldout, n_candidates, n_items = queries.heldout.lengths, queries.candidates, len(queries.track_ids)
    hits = find_hits(lists, queries.heldout, n_items)
    artists = np.where(lists >= 0, queries.artists[lists], -1)
    values = _in_blocks(per_playlist, hits, n_heldout, artists, cutoffs=cutoffs)
    best = ceiling(n_candidates, n_heldout, cutoffs)
    check_scores(values, best, n_heldout, cutoffs)
    return TaskResult(
        query_ids=queries.seeds.playlist_ids,
        values=values,
        totals={f"coverage@{k}": _coverage(lists[:, :k], n_items) for k in cutoffs},
        chance=_in_blocks(chance, n_candidates, n_heldout, cutoffs=cutoffs),
        ceiling=best,
        n_seeds=queries.seeds.lengths,
        n_heldout=n_heldout,
        n_candidates=n_candidates,
        lists=lists,
        list_scores=scores,
        item_ids=queries.track_ids,
        hits_at={k: int(hits[:, :k].sum()) for k in cutoffs},
        tie_share={k: float(tied[:, k - 1].mean()) for k in cutoffs},
        left_out=queries.left_out,
        diagnostics=_diagnostics(lists, hits, queries, cutoffs),
        heldout=queries.heldout,
        context=track_context(dataset, queries),
        query=query,
    )


def _ranked(
    queries: Queries,
    vectors: np.ndarray,
    items: np.ndarray,
    length: int,
    device: str,
    advance: Callable[[int], None],
) -> Ranked:
    from larpbench.evaluation.ranking import tie_order  # loads torch, which lists and tables need not
    from larpbench.evaluation.ranking_tasks import rank_in_pieces

    lists = np.empty((len(vectors), length), dtype=np.int32)
    scores = np.empty((len(vectors), length), dtype=np.float32)
    tied = np.empty((len(vectors), length), dtype=bool)
    blocks = rank_in_pieces(
        vectors,
        items,
        masked_offsets=queries.masked.offsets,
        masked_items=queries.masked.tracks,
        order=tie_order(queries.track_ids),
        k=length,
        device=device,
    )
    for block in blocks:
        rows = slice(block.start, block.start + len(block.items))
        lists[rows], scores[rows], tied[rows] = block.items, block.scores, block.tied_at
        advance(len(block.items))
    return lists, scores, tied


def _in_blocks(
    columns_of: Callable[..., dict[str, np.ndarray]], *arrays: np.ndarray, cutoffs: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return columns of all queries, computed for some thousand at a time: the steps between take more memory."""
    parts = [
        columns_of(*(each[start : start + _QUERIES_AT_ONCE] for each in arrays), cutoffs)
        for start in range(0, len(arrays[0]), _QUERIES_AT_ONCE)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _diagnostics(
    lists: np.ndarray, hits: np.ndarray, queries: Queries, cutoffs: tuple[int, ...]
) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    same = by_known_artists(lists, queries.known_artists, queries.artists)
    for k in cutoffs:
        cut, hit = lists[:, :k], hits[:, :k]
        shares = {
            name: same_artist_share(same[:, :k], chosen) for name, chosen in (("hits", hit), ("listed", cut >= 0))
        }
        found[f"hubness@{k}"] = hubness(cut, len(queries.track_ids))
        found |= {f"same_artist_{name}@{k}": None if np.isnan(share) else share for name, share in shares.items()}
    return found


def _coverage(lists: np.ndarray, n_items: int) -> float:
    listed = np.zeros(n_items, dtype=bool)
    listed[lists[lists >= 0]] = True
    return int(listed.sum()) / n_items
