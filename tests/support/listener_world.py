"""An invented world of listeners, in memory: who plays what follows from planted factors, which content tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from support.small_listeners import build_listeners

from larpbench.datasets.listeners.split import given_split
from larpbench.datasets.schema import Dataset
from larpbench.evaluation.queries import Queries, listener_queries
from larpbench.evaluation.selection import recalls_at
from larpbench.recommenders.base import Recommender, TrainData
from larpbench.recommenders.listeners.data import ListenerValidData

FACTORS = 6
PLAYED = 30


@dataclass(frozen=True)
class ListenerWorld:
    """A data set of listeners and the content of its tracks."""

    dataset: Dataset
    vectors: dict[str, np.ndarray]

    @property
    def train(self) -> TrainData:
        return TrainData(self.dataset.split("train"), self.vectors["train"])

    @property
    def valid(self) -> ListenerValidData:
        return ListenerValidData(self.dataset.split("valid"), self.vectors["valid"], self.train)

    @property
    def test(self) -> Queries:
        return listener_queries(self.dataset.split("train"), self.dataset.split("test"))

    def recall(self, recommender: Recommender) -> float:
        """Return the mean recall@10 of test."""
        queries = self.test
        vectors = recommender.query_vectors(queries.seeds, self.vectors["train"])
        return float(recalls_at(vectors, recommender.item_vectors(self.vectors["test"]), queries).mean())

    @property
    def chance(self) -> float:
        return 10 / len(self.test.track_ids)


def planted_listeners(folder: Path, listeners: int = 100, tracks: int = 300, seed: int = 0) -> ListenerWorld:
    """Draw listeners who play the tracks nearest to their taste; content is a mixture of the tracks' factors."""
    generator = np.random.default_rng(seed)
    tastes, factors = (generator.normal(size=(n, FACTORS)) for n in (listeners, tracks))
    utilities = tastes @ factors.T + 0.7 * generator.gumbel(size=(listeners, tracks))
    played = np.argsort(-utilities, axis=1)[:, :PLAYED]
    ids = [f"t{number:03d}" for number in range(tracks)]
    listens = pl.DataFrame(
        {
            "listener_id": np.repeat([f"u{number:03d}" for number in range(listeners)], PLAYED),
            "track_id": [ids[track] for track in played.ravel()],
        }
    )
    split = np.array(["train"] * 6 + ["valid", "valid", "test", "test"])[np.arange(tracks) % 10]
    table = pl.DataFrame({"track_id": ids, "artist": [f"a{number % 40}" for number in range(tracks)], "split": split})
    dataset = build_listeners(folder, given_split(), listens, table)
    content = np.tanh(factors @ generator.normal(size=(FACTORS, 16))) + 0.3  # a constant, as real vectors have
    content = (content + 0.1 * generator.normal(size=content.shape)).astype(np.float32)
    rows = {name: dataset.tracks["track_id"].is_in(dataset.split(name).tracks["track_id"].implode()).to_numpy()
            for name in ("train", "valid", "test")}  # fmt: skip
    return ListenerWorld(dataset, {name: content[mask] for name, mask in rows.items()})
