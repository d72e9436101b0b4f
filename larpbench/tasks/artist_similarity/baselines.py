"""Methods that learn nothing: how far the graph alone, or the features alone, lead.

All are inner products of artist vectors, so they are ranked exactly as what is learnt is.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from larpbench.datasets.schema import SPLITS
from larpbench.tasks.artist_similarity.queries import visible_pairs
from larpbench.tasks.artist_similarity.scorers import ArtistScorer, Problem
from larpbench.tasks.base import Fit


class FeatureCosine(ArtistScorer):
    """Cosine of the scaled features."""

    name = "feature-cosine"
    summary = "cosine of the artists' features; nothing is learnt, no edge is seen"
    learns_from = SPLITS

    def test_vectors(self, problem: Problem) -> tuple[np.ndarray, Fit | None]:
        """Return the features, each scaled to length 1."""
        return _unit(problem.given_features()[problem.graph.rows("test")]), None


class CommonNeighbours(ArtistScorer):
    """How many artists two are both known to be similar to."""

    name = "common-neighbours"
    summary = "number of visible neighbours that two artists share; no features, nothing is learnt"

    def test_vectors(self, problem: Problem) -> tuple[np.ndarray, Fit | None]:
        """Return the rows of the visible adjacency matrix."""
        return _dense(_adjacency(problem)[problem.graph.rows("test")]), None


class AdamicAdar(ArtistScorer):
    """Common neighbours, each worth 1 / log(its degree) (Adamic & Adar 2003)."""

    name = "adamic-adar"
    summary = "common neighbours, each over the logarithm of its degree; no features, nothing is learnt"

    def test_vectors(self, problem: Problem) -> tuple[np.ndarray, Fit | None]:
        """Return the rows of the visible adjacency matrix, columns weighted so that inner products are the scores."""
        adjacency = _adjacency(problem)
        degree = np.asarray(adjacency.sum(axis=0)).ravel()
        weight = 1.0 / np.sqrt(np.log(np.maximum(degree, 2.0)))
        return _dense(adjacency[problem.graph.rows("test")] @ sparse.diags(weight)), None


class WalkCosine(ArtistScorer):
    """Cosine of where random walks of one, two and three steps lead."""

    name = "walk-cosine"
    summary = "cosine of where random walks of 1, 2 and 3 visible steps lead; no features, nothing is learnt"

    def test_vectors(self, problem: Problem) -> tuple[np.ndarray, Fit | None]:
        """Return summed walk probabilities, each row scaled to length 1."""
        adjacency = _adjacency(problem)
        degree = np.asarray(adjacency.sum(axis=1)).ravel()
        step = sparse.diags(1.0 / np.maximum(degree, 1.0)) @ adjacency
        reached = step.tocsr()[problem.graph.rows("test")]
        total = reached
        for _ in range(2):
            reached = reached @ step
            total = total + reached
        return _unit(_dense(total)), None


def _adjacency(problem: Problem) -> sparse.csr_array:
    """Return the symmetric adjacency matrix of all that may be seen when test is asked about."""
    pairs = visible_pairs(problem.graph, "test", problem.visible_edges)
    n = len(problem.graph.ids)
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    return sparse.csr_array((np.ones(len(ends), dtype=np.float64), (ends[:, 0], ends[:, 1])), shape=(n, n))


def _dense(matrix: sparse.csr_array) -> np.ndarray:
    return np.asarray(matrix.todense(), dtype=np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)


BASELINES: tuple[ArtistScorer, ...] = (FeatureCosine(), CommonNeighbours(), AdamicAdar(), WalkCosine())
