"""What stands in the recommender slot: something that gives each test artist a vector."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.recommenders.base import Scorer
from larpbench.tasks.artist_similarity.queries import VisibleEdges
from larpbench.tasks.base import Fit


@dataclass(frozen=True)
class Problem:
    """All that a method may look at. Its graph holds the hidden edges too: methods see edges through `questions` only.

    Attributes:
        graph: The artists and edges.
        visible_edges: Whether edges of the asked artists are seen.
        features: (artists, dim) float32, scaled; None for methods that read none.
    """

    graph: ArtistGraph
    visible_edges: VisibleEdges
    features: np.ndarray | None = None

    def given_features(self) -> np.ndarray:
        """Return the features.

        Raises:
            ValueError: If there are none.
        """
        if self.features is None:
            raise ValueError("this method reads features, and none were given")
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
    def test_vectors(self, problem: Problem) -> tuple[np.ndarray, Fit | None]:
        """Return (c, k) float32, one row a test artist, and what learning took."""
