"""Scorers of artists: each gives the test artists vectors. Here, those that learn nothing: by graph or features alone.

All scores are inner products of artist vectors, so these are ranked exactly as the vectors of trained networks are.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.datasets.schema import SPLITS
from larpbench.recommenders.base import Scorer
from larpbench.tasks.artist_similarity.queries import visible_pairs
from larpbench.tasks.artist_similarity.settings import VisibleEdges
from larpbench.tasks.result import Fit
from larpbench.vectors import unit_rows


@dataclass(frozen=True)
class ScoringInputs:
    """All that a scorer may look at. The graph holds the hidden edges too: scorers see edges through `queries` only.

    Attributes:
        graph: The artists and edges.
        visible_edges: Whether edges of the tested artists are seen.
        features: (artists, dim) float32, scaled; None for scorers that read none.
    """

    graph: ArtistGraph
    visible_edges: VisibleEdges
    features: np.ndarray | None = None

    def require_features(self) -> np.ndarray:
        """Return the features.

        Raises:
            ValueError: If there are none.
        """
        if self.features is None:
            raise ValueError("this scorer reads features, and there are none")
        return self.features


class ArtistScorer(Scorer):
    """Turns features and visible edges into artist vectors whose inner products are the scores."""

    version = 1

    @property
    def reads_features(self) -> bool:
        """Whether it reads an encoder's vectors; others are run once, for no encoder."""
        return bool(self.learns_from)

    @property
    def stochastic(self) -> bool:
        """Whether its scores depend on a seed."""
        return False

    @abstractmethod
    def test_vectors(self, inputs: ScoringInputs) -> tuple[np.ndarray, Fit | None]:
        """Return (c, k) float32, one row per test artist, and what learning took."""


class FeatureCosine(ArtistScorer):
    """Cosine of the scaled features."""

    name = "feature-cosine"
    summary = "cosine of the artists' features; nothing is learnt, no edge is seen"
    learns_from = SPLITS

    def test_vectors(self, inputs: ScoringInputs) -> tuple[np.ndarray, Fit | None]:
        """Return the features, each scaled to length 1."""
        return unit_rows(inputs.require_features()[inputs.graph.rows("test")], double=False), None


class CommonNeighbours(ArtistScorer):
    """Number of artists that both are visibly similar to."""

    name = "common-neighbours"
    summary = "number of visible neighbours that two artists share; no features, nothing is learnt"

    def test_vectors(self, inputs: ScoringInputs) -> tuple[np.ndarray, Fit | None]:
        """Return the rows of the visible adjacency matrix."""
        return _dense(_adjacency(inputs)[inputs.graph.rows("test")]), None


class AdamicAdar(ArtistScorer):
    """Common neighbours, each worth 1 / log(its degree) (Adamic & Adar 2003)."""

    name = "adamic-adar"
    citation = ("adamic2003friends",)
    summary = "common neighbours, each over the logarithm of its degree; no features, nothing is learnt"

    def test_vectors(self, inputs: ScoringInputs) -> tuple[np.ndarray, Fit | None]:
        """Return the rows of the visible adjacency matrix, columns weighted so that inner products are the scores."""
        adjacency = _adjacency(inputs)
        degree = np.asarray(adjacency.sum(axis=0)).ravel()
        weight = 1.0 / np.sqrt(np.log(np.maximum(degree, 2.0)))
        return _dense(adjacency[inputs.graph.rows("test")] @ sparse.diags(weight)), None


class WalkCosine(ArtistScorer):
    """Cosine of where random walks of one, two and three steps lead."""

    name = "walk-cosine"
    summary = "cosine of where random walks of 1, 2 and 3 visible steps lead; no features, nothing is learnt"

    def test_vectors(self, inputs: ScoringInputs) -> tuple[np.ndarray, Fit | None]:
        """Return summed walk probabilities, each row scaled to length 1."""
        adjacency = _adjacency(inputs)
        degree = np.asarray(adjacency.sum(axis=1)).ravel()
        step = sparse.diags(1.0 / np.maximum(degree, 1.0)) @ adjacency
        reached = step.tocsr()[inputs.graph.rows("test")]
        total = reached
        for _ in range(2):
            reached = reached @ step
            total = total + reached
        return unit_rows(_dense(total), double=False), None


def _adjacency(inputs: ScoringInputs) -> sparse.csr_array:
    """Return the symmetric adjacency matrix of all edges that are visible when test is tested."""
    pairs = visible_pairs(inputs.graph, "test", inputs.visible_edges)
    n = len(inputs.graph.ids)
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    return sparse.csr_array((np.ones(len(ends), dtype=np.float64), (ends[:, 0], ends[:, 1])), shape=(n, n))


def _dense(matrix: sparse.csr_array) -> np.ndarray:
    return np.asarray(matrix.todense(), dtype=np.float32)


BASELINES: tuple[ArtistScorer, ...] = (FeatureCosine(), CommonNeighbours(), AdamicAdar(), WalkCosine())
