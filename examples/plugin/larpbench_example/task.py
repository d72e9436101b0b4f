"""A task: given a track of the test split, find the other tracks of its artist."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from larpbench.datasets.schema import Dataset, Interactions, SplitName
from larpbench.evaluation.bounds import ceiling, chance
from larpbench.evaluation.metrics import MetricSpec, find_hits, list_quality
from larpbench.evaluation.ranking import rank, tie_order
from larpbench.recommenders.base import Recommender
from larpbench.tasks.base import Task
from larpbench.tasks.result import TaskResult

K = 10


class SameArtist(Task[Recommender]):
    """Queries are tracks whose artist has other tracks in the test split; candidates are all other test tracks."""

    name = "same-artist-tracks"
    version = 1
    summary = "find the other tracks of a track's artist"
    protocol = "same-artist-tracks-v1"  # the rules; results of two protocols never stand in one table
    metrics = tuple(MetricSpec(name, K) for name in ("ndcg", "recall", "hit_rate", "mrr", "map"))
    splits: tuple[SplitName, ...] = ("test",)
    query = "track"

    def execute(
        self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: Recommender
    ) -> TaskResult:
        """Rank the candidates of each query, and score the lists."""
        split = dataset.split("test")
        artists = split.tracks["artist"].fill_null("").to_numpy().astype(str)
        same = (artists[:, None] == artists) & (artists != "")  # of n x n pairs: for some ten thousand tracks
        np.fill_diagonal(same, val=False)
        counted = np.flatnonzero(same.any(axis=1))
        names, n_heldout = split.track_ids[counted], same[counted].sum(axis=1)
        seeds = Interactions(names, np.arange(len(counted) + 1), counted)  # a query is like a playlist of one seed
        heldout = Interactions(names, np.concatenate([[0], np.cumsum(n_heldout)]), np.nonzero(same[counted])[1])
        blocks = list(
            rank(
                recommender.query_vectors(seeds, embeddings["test"]),
                recommender.item_vectors(embeddings["test"]),
                masked_offsets=seeds.offsets,
                masked_items=seeds.tracks,
                order=tie_order(split.track_ids),
                k=K,
            )
        )
        lists = np.concatenate([block.items for block in blocks])
        hits = find_hits(lists, heldout, len(split.track_ids))
        n_candidates = np.full(len(counted), len(split.track_ids) - 1)
        return TaskResult(
            query_ids=names,
            values=list_quality(hits, n_heldout, (K,)),
            totals={},
            chance=chance(n_candidates, n_heldout, (K,)),
            ceiling=ceiling(n_candidates, n_heldout, (K,)),
            n_seeds=seeds.lengths,
            n_heldout=n_heldout,
            n_candidates=n_candidates,
            lists=lists,
            list_scores=np.concatenate([block.scores for block in blocks]),
            item_ids=split.track_ids,
            hits_at={K: int(hits.sum())},
            tie_share={K: float(np.concatenate([block.tied_at for block in blocks])[:, K - 1].mean())},
            left_out={"no other track of the artist": len(artists) - len(counted)},
            heldout=heldout,
            query="track",
        )


SAME_ARTIST = SameArtist()
