"""Cold-start playlist continuation, protocol ``cold-start-v1``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from larpbench import progress
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.evaluation.arithmetic import check_scores
from larpbench.evaluation.beyond.measures import track_context
from larpbench.evaluation.bounds import ceiling, chance
from larpbench.evaluation.diagnostics import hubness, same_artist_share
from larpbench.evaluation.metrics import CUTOFFS, LIST_LENGTH, METRICS, find_hits, per_playlist
from larpbench.evaluation.queries import Queries, queries_of
from larpbench.recommenders.base import Recommender
from larpbench.tasks.base import Task, TaskResult


class ContinuationTask(Task[Recommender]):
    """Given half of a test playlist, rank all other test tracks; the other half should come first."""

    name = "continuation"
    version = 1
    summary = "continue playlists that nobody has seen with tracks that nobody has played"
    protocol = "cold-start-v1"
    metrics = METRICS
    splits: tuple[SplitName, ...] = ("test",)
    ranks_tracks = True
    shown = tuple(f"{name}@{k}" for name in ("recall", "ndcg") for k in CUTOFFS)

    def execute(
        self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: Recommender
    ) -> TaskResult:
        """Score the test playlists."""
        queries = queries_of(dataset.split("test"))
        lists, scores, tied = _ranked(queries, embeddings["test"], recommender)
        n_heldout, n_candidates = queries.heldout.lengths, queries.candidates
        hits = find_hits(lists, queries.heldout, len(queries.track_ids))
        artists = np.where(lists >= 0, queries.artists[lists], -1)
        values = per_playlist(hits, n_heldout, artists)
        best = ceiling(n_candidates, n_heldout)
        check_scores(values, best, n_heldout)
        return TaskResult(
            query_ids=queries.seeds.playlist_ids,
            values=values,
            totals={f"coverage@{k}": _coverage(lists[:, :k], len(queries.track_ids)) for k in CUTOFFS},
            chance=chance(n_candidates, n_heldout),
            ceiling=best,
            n_seeds=queries.seeds.lengths,
            n_heldout=n_heldout,
            n_candidates=n_candidates,
            lists=lists,
            list_scores=scores,
            item_ids=queries.track_ids,
            hits_at={k: int(hits[:, :k].sum()) for k in CUTOFFS},
            tie_share={k: float(tied[:, k - 1].mean()) for k in CUTOFFS},
            left_out=queries.left_out,
            diagnostics=_diagnostics(lists, hits, queries),
            heldout=queries.heldout,
            context=track_context(dataset, queries.seeds),
        )


def _ranked(
    queries: Queries, embeddings: np.ndarray, recommender: Recommender
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from larpbench.evaluation.ranking import rank, tie_order  # loads torch, which lists and tables need not

    vectors = recommender.query_vectors(queries.seeds, embeddings)
    items = recommender.item_vectors(embeddings)
    lists = np.empty((len(vectors), LIST_LENGTH), dtype=np.int32)
    scores = np.empty((len(vectors), LIST_LENGTH), dtype=np.float32)
    tied = np.empty((len(vectors), LIST_LENGTH), dtype=bool)
    blocks = rank(
        vectors,
        items,
        masked_offsets=queries.seeds.offsets,
        masked_items=queries.seeds.tracks,
        order=tie_order(queries.track_ids),
        k=LIST_LENGTH,
    )
    with progress.stage(f"rank {recommender.name}", len(vectors), "playlists") as advance:
        for block in blocks:
            rows = slice(block.start, block.start + len(block.items))
            lists[rows], scores[rows], tied[rows] = block.items, block.scores, block.tied_at
            advance(len(block.items))
    return lists, scores, tied


def _diagnostics(lists: np.ndarray, hits: np.ndarray, queries: Queries) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for k in CUTOFFS:
        cut, hit = lists[:, :k], hits[:, :k]
        shares = {
            name: same_artist_share(cut, chosen, queries.seeds, queries.artists)
            for name, chosen in (("hits", hit), ("listed", cut >= 0))
        }
        found[f"hubness@{k}"] = hubness(cut, len(queries.track_ids))
        found |= {f"same_artist_{name}@{k}": None if np.isnan(share) else share for name, share in shares.items()}
    return found


def _coverage(lists: np.ndarray, n_items: int) -> float:
    return len(np.unique(lists[lists >= 0])) / n_items


CONTINUATION = ContinuationTask()
