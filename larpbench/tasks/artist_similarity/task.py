"""Artist similarity, protocol ``artist-similarity-v1`` (Groetschla et al. 2024, Korzeniowski et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UnknownNameError, UsageError
from larpbench.recommenders.base import Scorer
from larpbench.tasks.artist_similarity.encoders import NO_ENCODER, artist_encoder
from larpbench.tasks.artist_similarity.features import artist_features, with_songs
from larpbench.tasks.artist_similarity.gnn import graph_network
from larpbench.tasks.artist_similarity.queries import artist_queries
from larpbench.tasks.artist_similarity.scorers import BASELINES, ArtistScorer, ScoringInputs
from larpbench.tasks.artist_similarity.scores import METRICS, SHOWN, score
from larpbench.tasks.artist_similarity.settings import (
    INSTALL,
    LAYER_KINDS,
    LAYERS,
    ArtistOptions,
    graph_layers_installed,
)
from larpbench.tasks.base import Task, VisibleGroup
from larpbench.tasks.result import TaskResult


class ArtistSimilarityTask(Task[ArtistScorer]):
    """Given an artist unseen in training, rank all other such artists; the similar ones should come first."""

    name = "artist-similarity"
    version = 1
    summary = "find artists who are similar to an artist unseen in training (data sets of kind artist-graph)"
    protocol = "artist-similarity-v1"
    citation = ("groetschla2024clap", "korzeniowski2021artist")
    Options = ArtistOptions
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
    metrics = METRICS
    shown = SHOWN
    options: ArtistOptions = ArtistOptions()

    @property
    def default_recommenders(self) -> tuple[str, ...]:  # type: ignore[override]
        """Networks of SAGE layers, as many as the options say."""
        return tuple(f"gnn-sage-{layers}" for layers in self.options.layers)

    def view(self, dataset: Dataset) -> Dataset:
        """Return the data set with as many songs per artist as the options say."""
        seen = super().view(dataset)
        return with_songs(seen, _graph(seen), self.options.songs)

    def check_protocol(self, draws: int, removes: bool) -> None:
        """Refuse draws, since hidden edges are not drawn, and encoders that were trained on tested songs."""
        if draws > 1:
            raise UsageError(f"--draws is {draws}", allowed="1: which edges are hidden follows from the split")
        if removes:
            raise UsageError(
                "an encoder was trained on songs of tested artists (protocol rule 13)",
                next_step="leave that encoder out, or build the data set without these artists",
            )

    def encoders(self, names: Sequence[str], load: Callable[[], Dataset]) -> dict[str, EncoderSpec | MissingPartError]:
        """Return encoders, features of the data set, and both joined with ``+``; and always none, for the baselines."""
        dataset = load()
        chosen = [each for name in names for each in self._defaults(dataset) if name == "default"]
        chosen += [name for name in names if name != "default"]
        specs: dict[str, EncoderSpec | MissingPartError] = {}
        for name in self.expanded(chosen):
            try:
                specs[name] = artist_encoder(name, dataset, paper=self.options.protocol == "paper")
            except MissingPartError as error:
                specs[name] = error
        return {**specs, NO_ENCODER.card.name: NO_ENCODER}

    def recommenders(self, names: Sequence[str]) -> dict[str, Scorer | MissingPartError]:
        """Return graph networks by name, ``gnn-KIND-LAYERS``; and always the baselines."""
        if self.options.layers != LAYERS and list(names) != ["default"]:
            raise UsageError(
                "the option layers and --recommenders say the same thing twice",
                allowed="-O layers=0,1,2, or --recommenders gnn-sage-0,gnn-gat-2",
            )
        untrained = {scorer.name: scorer for scorer in BASELINES}
        lists = {"default": self.default_recommenders, "all": _all_networks()}
        networks: dict[str, Scorer | MissingPartError] = {}
        for name in dict.fromkeys(each for listed in names for each in lists.get(listed, (listed,))):
            network = graph_network(name, self.options.training)
            if network is None and name not in untrained:
                raise UnknownNameError("recommender", name, [*_all_networks(), *untrained])
            if network is not None and network.n_layers and not graph_layers_installed():
                networks[name] = MissingPartError("graph layers need torch_geometric", next_step=INSTALL)
            elif network is not None:
                networks[name] = network
        return {**untrained, **networks}

    def pairs(self, spec: EncoderSpec, recommender: ArtistScorer) -> bool:
        """Return whether both read features, or neither does."""
        return (spec is not NO_ENCODER) == recommender.reads_features

    def execute(
        self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: ArtistScorer
    ) -> TaskResult:
        """Score the test artists."""
        graph = _graph(dataset)
        queries = artist_queries(graph, "test", self.options.visible_edges)
        features = None
        if recommender.reads_features:
            features = artist_features(dataset, graph, embeddings, self.options.scaled_on)
        vectors, fit = recommender.test_vectors(ScoringInputs(graph, self.options.visible_edges, features))
        return score(queries, vectors, fit)

    def _defaults(self, dataset: Dataset) -> list[str]:
        return [*self.default_encoders, *_graph(dataset).features]


def _graph(dataset: Dataset) -> ArtistGraph:
    if dataset.graph is None:
        raise UsageError(f"{dataset.name!r} has no artist graph", allowed="a data set of kind artist-graph")
    return dataset.graph


def _all_networks() -> tuple[str, ...]:
    return tuple(f"gnn-{kind}-{layers}" for kind in LAYER_KINDS for layers in LAYERS)


ARTIST_SIMILARITY = ArtistSimilarityTask()
