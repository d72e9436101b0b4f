"""The scores of a cell, query by query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.beyond.measures import ListContext
from larpbench.runtime import Cost


@dataclass(frozen=True)
class Fit:
    """What learning took, where a task does it and not `LearnedRecommender.fit`.

    Attributes:
        facts: What the record should say of it, as JSON.
        cost: Its seconds.
    """

    facts: Mapping[str, Any]
    cost: Cost


@dataclass(frozen=True)
class TaskResult:
    """The scores of one cell, one row a counted query (a playlist, or an artist).

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
        fit: What learning took, if the task learnt something.
        heldout: For each query the rows of `item_ids` that are to be found, so that a record can be recomputed.
        context: What the items are, for measures beyond accuracy; None: there are none.
        query: What the queries are, in the singular.
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
    fit: Fit | None = None
    heldout: Interactions | None = None
    context: ListContext | None = None
    query: str = "playlist"
