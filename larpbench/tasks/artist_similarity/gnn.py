"""Scorers such as ``gnn-sage-2``: graph networks, trained by triplets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from larpbench.datasets.schema import SPLITS, Dataset
from larpbench.errors import UsageError
from larpbench.runtime import measured
from larpbench.tasks.artist_similarity.queries import artist_queries, directed, visible_pairs
from larpbench.tasks.artist_similarity.scorers import ArtistScorer, ScoringInputs
from larpbench.tasks.artist_similarity.settings import LAYER_KINDS, LayerKind, TrainingSettings
from larpbench.tasks.result import Fit

MOST_LAYERS = 8
_LAYER_PAPERS: dict[LayerKind, str] = {
    "sage": "hamilton2017sage",
    "gatedgcn": "bresson2017residual",
    "gin": "xu2019gin",
    "gat": "velickovic2018gat",
}
_NAME = re.compile(rf"gnn-({'|'.join(LAYER_KINDS)})-(\d+)")
_SECONDS_PER_TRIPLET = 4e-6  # of one update, and so on: measured on one core
_SECONDS_PER_NUMBER = 2e-10
_SECONDS_PER_LAYER_OF_AN_EDGE = 3e-6


class GraphNetwork(ArtistScorer):
    """A network of graph layers, trained by triplets; with 0 layers it uses no edge at test time.

    Args:
        kind: Of the layers.
        n_layers: How many.
        training: Hyper-parameters.
        seed: Drives weights and triplets.
    """

    learns_from = SPLITS

    def __init__(self, kind: LayerKind, n_layers: int, training: TrainingSettings, seed: int = 0) -> None:
        self.kind, self.n_layers, self.training, self.seed = kind, n_layers, training, seed
        self.name = f"gnn-{kind}-{n_layers}"
        self.summary = f"network with {n_layers} {kind} layers, trained by triplets of artists"
        self.citation = ("groetschla2024clap", _LAYER_PAPERS[kind])

    @property
    def settings(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Hyper-parameters."""
        return {"layer": self.kind, "layers": self.n_layers, **self.training.as_json()}

    @property
    def stochastic(self) -> bool:
        """Weights and triplets are drawn."""
        return True

    def seeded(self, seed: int) -> Self:
        """Return the scorer for a run with a seed."""
        return type(self)(self.kind, self.n_layers, self.training, seed)

    def seconds(self, dataset: Dataset) -> float:
        """Return roughly how long training takes on one core, if it does not end early."""
        counts = dataset.manifest.counts
        edges, artists = counts["edges.train-train"], counts["train.artists"]
        triplets = 2 * edges if self.training.triplets is None else min(self.training.triplets, 2 * edges)
        layer = 3 * artists * self.training.width**2 * _SECONDS_PER_NUMBER
        step = triplets * _SECONDS_PER_TRIPLET + layer
        step += self.n_layers * (edges * _SECONDS_PER_LAYER_OF_AN_EDGE + layer)
        return self.training.epochs * self.training.steps_per_epoch * (0.003 + step)

    def test_vectors(self, inputs: ScoringInputs) -> tuple[np.ndarray, Fit | None]:
        """Train on the train artists, select on the valid ones, and return the vectors of the test ones."""
        from larpbench.tasks.artist_similarity.training import TrainGraph, ValidGraph, embed, train

        graph, features = inputs.graph, inputs.require_features()
        symmetric = self.training.symmetric
        n_train, n_valid = len(graph.rows("train")), len(graph.rows("valid"))
        pairs = visible_pairs(graph, "train")
        visible = {name: visible_pairs(graph, name, inputs.visible_edges) for name in SPLITS[1:]}
        messages = {name: directed(edges, symmetric) for name, edges in visible.items()}
        with measured() as cost:
            trained = train(
                TrainGraph(features[:n_train], pairs, directed(pairs, symmetric)),
                ValidGraph(
                    features[: n_train + n_valid],
                    messages["valid"],
                    artist_queries(graph, "valid", inputs.visible_edges),
                ),
                self.kind,
                self.n_layers,
                self.training,
                self.seed,
            )
        vectors = embed(trained.model, features, messages["test"])
        return vectors[graph.rows("test")], Fit(trained.summary(), cost)


def graph_network(name: str, training: TrainingSettings) -> GraphNetwork | None:
    """Return the network of a name such as ``gnn-sage-2``; None if it is no such name.

    Raises:
        UsageError: If it has too many layers.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind = next(each for each in LAYER_KINDS if each == match[1])
    if int(match[2]) > MOST_LAYERS:
        raise UsageError(f"{name!r} has {match[2]} layers", allowed=f"0 to {MOST_LAYERS}")
    return GraphNetwork(kind, int(match[2]), training)
