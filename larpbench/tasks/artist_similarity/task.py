"""Artist similarity, protocol ``artist-similarity-v1`` (Groetschla et al. 2024, Korzeniowski et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UnknownNameError, UsageError
from larpbench.recommenders.base import Scorer
from larpbench.tasks.artist_similarity.baselines import BASELINES
from larpbench.tasks.artist_similarity.encoders import NO_ENCODER, artist_encoder
from larpbench.tasks.artist_similarity.features import artist_features, with_songs
from larpbench.tasks.artist_similarity.gnn import graph_network, shortened
from larpbench.tasks.artist_similarity.options import ArtistOptions
from larpbench.tasks.artist_similarity.queries import question
from larpbench.tasks.artist_similarity.scorers import ArtistScorer, Problem
from larpbench.tasks.artist_similarity.scores import METRICS, SHOWN, score
from larpbench.tasks.artist_similarity.settings import (
    INSTALL,
    LAYER_KINDS,
    TRAINING,
    graph_layers_installed,
)
from larpbench.tasks.base import Task, TaskResult, VisibleGroup

LAYERS = (0, 1, 2, 3, 4)


class ArtistSimilarityTask(Task[ArtistScorer]):
    """Given an artist unseen in training, rank all other such artists; the similar ones should come first."""

    name = "artist-similarity"
    version = 1
    summary = "find artists who are similar to an artist unseen in training (data sets of kind artist-graph)"
    splits: tuple[SplitName, ...] = ()
    kind = "artist-graph"
    query = "artist"
    item = "artist"
    visible_groups = (
        VisibleGroup("isolated", 0, 0),
        VisibleGroup("1-2 edges", 1, 2),
        VisibleGroup("3-9 edges", 3, 9),
        VisibleGroup("10+ edges", 10, 2**31),
    )
    default_encoders = ("random",)
    default_recommenders = tuple(f"gnn-sage-{layers}" for layers in LAYERS)

    metrics = METRICS
    shown = SHOWN
    protocol = "artist-similarity-v1"
    Options = ArtistOptions
    options: ArtistOptions = ArtistOptions()

    def view(self, dataset: Dataset) -> Dataset:
        """Return the data set with as many songs an artist as asked for."""
        seen = super().view(dataset)
        return with_songs(seen, _graph(seen), None if self.options.songs == "all" else self.options.songs)

    def check_protocol(self, draws: int, removes: bool) -> None:
        """Refuse draws, since hidden edges are not drawn, and encoders that were trained on tested songs."""
        if draws > 1:
            raise UsageError(f"--draws is {draws}", allowed="1: which edges are hidden follows from the split")
        if removes:
            raise UsageError(
                "an encoder was trained on songs of tested artists (protocol rule 13)",
                next_step="leave that encoder out, or build the data set without these artists",
            )

    def check_names(self, encoders: Sequence[str], recommenders: Sequence[str]) -> None:
        """Check the recommenders; which encoders there are depends on the data set."""
        self.recommenders(recommenders)

    def encoders(self, names: Sequence[str], dataset: Dataset) -> dict[str, EncoderSpec | MissingPartError]:
        """Return encoders, features of the data set, and both joined with ``+``; and always none, for the baselines."""
        chosen = [each for name in names for each in self._defaults(dataset) if name == "default"]
        chosen += [name for name in names if name != "default"]
        found: dict[str, EncoderSpec | MissingPartError] = {}
        for name in self.expanded(chosen):
            try:
                found[name] = artist_encoder(name, dataset, paper=self.options.protocol == "paper")
            except MissingPartError as error:
                found[name] = error
        return {**found, NO_ENCODER.card.name: NO_ENCODER}

    def recommenders(self, names: Sequence[str]) -> dict[str, Scorer | MissingPartError]:
        """Return graph networks by name, ``gnn-KIND-LAYERS``; and always the baselines."""
        if self.options.layers is not None:
            if list(names) != ["default"]:
                raise UsageError(
                    "the option layers and --recommenders say the same thing twice",
                    allowed="-O layers=0,1,2, or --recommenders gnn-sage-0,gnn-gat-2",
                )
            names = [f"gnn-sage-{layers}" for layers in self.options.layers]
        training = shortened(TRAINING[self.options.protocol], self.options.epochs, self.options.triplets)
        untrained = {method.name: method for method in BASELINES}
        lists = {"default": self.default_recommenders, "all": _all_networks()}
        found: dict[str, Scorer | MissingPartError] = {}
        for name in dict.fromkeys(each for asked in names for each in lists.get(asked, (asked,))):
            network = graph_network(name, training)
            if network is None and name not in untrained:
                raise UnknownNameError("recommender", name, [*_all_networks(), *untrained])
            if network is not None and network.n_layers and not graph_layers_installed():
                found[name] = MissingPartError("graph layers need torch_geometric", next_step=INSTALL)
            elif network is not None:
                found[name] = network
        return {**untrained, **found}

    def pairs(self, spec: EncoderSpec, recommender: ArtistScorer) -> bool:
        """Return whether both read features, or neither does."""
        return (spec is not NO_ENCODER) == recommender.reads_features

    def execute(
        self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: ArtistScorer
    ) -> TaskResult:
        """Score the test artists."""
        graph = _graph(dataset)
        asked = question(graph, "test", self.options.visible_edges)
        features = None
        if recommender.reads_features:
            scaling = self.options.scaling or ("all" if self.options.protocol == "paper" else "train")
            features = artist_features(dataset, graph, embeddings, scaling)
        vectors, fit = recommender.test_vectors(Problem(graph, self.options.visible_edges, features))
        return score(asked, vectors, fit)

    def _defaults(self, dataset: Dataset) -> list[str]:
        return [*self.default_encoders, *_graph(dataset).features]


def _graph(dataset: Dataset) -> ArtistGraph:
    if dataset.graph is None:
        raise UsageError(f"{dataset.name!r} has no artist graph", allowed="a data set of kind artist-graph")
    return dataset.graph


def _all_networks() -> tuple[str, ...]:
    return tuple(f"gnn-{kind}-{layers}" for kind in LAYER_KINDS for layers in LAYERS)


ARTIST_SIMILARITY = ArtistSimilarityTask()
