"""Cold-start playlist continuation, protocol ``cold-start-v1``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.evaluation.metrics import CUTOFFS, METRICS
from larpbench.evaluation.queries import no_query, queries_of
from larpbench.recommenders.base import Recommender
from larpbench.tasks.base import Task
from larpbench.tasks.result import TaskResult
from larpbench.tasks.track_lists import score_lists


class ContinuationTask(Task[Recommender]):
    """Given half of a test playlist, rank all other test tracks; the other half should come first."""

    name = "continuation"
    version = 1
    summary = "continue playlists that nobody has seen with tracks that nobody has played"
    protocol = "cold-start-v1"
    citation = ("salganik2024larp",)
    metrics = METRICS
    splits: tuple[SplitName, ...] = ("test",)
    ranks_tracks = True
    shown = tuple(f"{name}@{k}" for name in ("recall", "ndcg") for k in CUTOFFS)

    def require_queries(self, dataset: Dataset) -> None:
        """Check that some test playlist has both a seed and a held-out track (protocol rule 8)."""
        roles = dataset.playlists.lazy().filter(pl.col("split") == "test").group_by("playlist_id")
        both = roles.agg((pl.col("role") == "seed").any() & (pl.col("role") == "heldout").any())
        if not both.select(pl.col("role").any()).collect().item():
            raise no_query("test")

    def execute(
        self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: Recommender
    ) -> TaskResult:
        """Score the test playlists."""
        queries = queries_of(dataset.split("test"))
        vectors = recommender.query_vectors(queries.seeds, embeddings["test"])
        items = recommender.item_vectors(embeddings["test"])
        return score_lists(dataset, queries, vectors, items, CUTOFFS, recommender.name, device=self.device)


CONTINUATION = ContinuationTask()
