"""What a task is: it asks questions (queries) and scores the answers one by one; statistics are the same for all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.evaluation.metrics import MetricSpec
from larpbench.recommenders.base import Recommender


@dataclass(frozen=True)
class Cell:
    """One result: who is tested, on what, how, with which seed.

    Attributes:
        task: Name of the task.
        dataset: Name of the data set.
        encoder: Encoder identity.
        recommender: Name of the recommender.
        seed: Drives encoder and recommender; 0 where nothing is random.
    """

    task: str
    dataset: str
    encoder: str
    recommender: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset} x {self.encoder} x {self.recommender} (seed {self.seed})"


@dataclass(frozen=True)
class TaskResult:
    """The scores of one cell, one row a counted query.

    Attributes:
        query_ids: (p,) str.
        values: Metric column -> (p,) float64.
        totals: Column -> value, of metrics that only all queries together have.
        chance: Column -> (p,) float64, quality metrics only.
        ceiling: The same of a perfect ranking.
        n_seeds: (p,) int.
        n_heldout: (p,) int.
        n_candidates: (p,) int.
        lists: (p, k) int64 rows of `item_ids` by rank, -1 for none.
        list_scores: (p, k) float32.
        item_ids: (n,) str.
        hits_at: K -> number of hits in all lists cut at K.
        tie_share: K -> share of the lists whose cut at K falls between equal scores.
        left_out: Reason -> number of queries that are not counted.
        diagnostics: What kind of lists these are, column -> value; None where it is not defined.
    """

    query_ids: np.ndarray
    values: Mapping[str, np.ndarray]
    totals: Mapping[str, float]
    chance: Mapping[str, np.ndarray]
    ceiling: Mapping[str, np.ndarray]
    n_seeds: np.ndarray
    n_heldout: np.ndarray
    n_candidates: np.ndarray
    lists: np.ndarray
    list_scores: np.ndarray
    item_ids: np.ndarray
    hits_at: Mapping[int, int]
    tie_share: Mapping[int, float]
    left_out: Mapping[str, int]
    diagnostics: Mapping[str, float | None] = field(default_factory=dict)


class Task(ABC):
    """A kind of question about embeddings.

    Attributes:
        name: Name in results.
        version: Raised with every change that changes scores.
        summary: One line for lists.
        protocol: The rules that it follows.
        metrics: What it measures.
        splits: The splits whose embeddings it needs.
    """

    name: str
    version: int
    summary: str
    protocol: str
    metrics: tuple[MetricSpec, ...]
    splits: tuple[SplitName, ...]

    @abstractmethod
    def execute(
        self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: Recommender
    ) -> TaskResult:
        """Score one cell.

        Args:
            dataset: The data set.
            embeddings: Split -> (n, dim) float32, in the order of the split's tracks.
            recommender: How embeddings become scores.

        Raises:
            ProtocolError: If the data set cannot answer the question, or a result contradicts arithmetic.
        """
