"""Small worlds in memory in which content decides which tracks share a playlist, or has nothing to do with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.datasets.schema import Split, SplitName
from larpbench.evaluation.queries import Queries, queries_of
from larpbench.evaluation.selection import recall_at
from larpbench.recommenders.base import Recommender, TrainData, ValidData

GROUPS = 8
LENGTH = 10


@dataclass(frozen=True)
class World:
    """Train, valid and test of one world.

    Attributes:
        train: What to learn from.
        valid: What to select by.
        test: The question that nothing was learned on.
        test_split: Its split.
        test_embeddings: (n, dim) float32.
    """

    train: TrainData
    valid: ValidData
    test: Queries
    test_split: Split
    test_embeddings: np.ndarray

    def recall(self, recommender: Recommender) -> float:
        """Return recall@10 on test."""
        queries = recommender.query_vectors(self.test.seeds, self.test_embeddings)
        return recall_at(queries, recommender.item_vectors(self.test_embeddings), self.test)

    @property
    def chance(self) -> float:
        """Expected recall@10 of a random ranking on test."""
        return float((10 / self.test.candidates).mean())


def planted(
    seed: int = 0, *, tracks: int = 240, playlists: int = 240, dim: int = 24, useful: bool = True, noise: float = 0.7
) -> World:
    """Return a world of 8 groups: a playlist's tracks are of one group, a track's vector is that of its group, twisted.

    The groups differ in directions of small variance, beside directions of large variance that mean nothing: whoever
    learns from train finds that out, a plain inner product does not.

    Args:
        seed: Drives everything.
        tracks: Train tracks; half as many in valid and in test.
        playlists: Train playlists; half as many in valid and in test.
        dim: Length of the vectors.
        useful: Whether vectors know the group.
        noise: Spread within a group.
    """
    centres = np.random.default_rng(1_000).normal(size=(GROUPS, dim // 2))
    splits, vectors = {}, {}
    for number, (name, share) in enumerate((("train", 1), ("valid", 2), ("test", 2))):
        generator = np.random.default_rng([seed, number])
        group = generator.integers(GROUPS, size=tracks // share)
        seen = group if useful else generator.permutation(group)
        telling = centres[seen] + noise * generator.normal(size=(len(group), dim // 2))
        idle = 2.5 * generator.normal(size=(len(group), dim - dim // 2))
        vectors[name] = np.concatenate([telling, idle], axis=1).astype(np.float32)
        lists = []
        for _ in range(playlists // share):
            wanted = np.flatnonzero(group == generator.integers(GROUPS))
            lists.append(generator.permutation(wanted)[:LENGTH])
        splits[name] = split(name, len(group), lists)
    return World(
        TrainData(splits["train"], vectors["train"]),
        ValidData(splits["valid"], vectors["valid"]),
        queries_of(splits["test"]),
        splits["test"],
        vectors["test"],
    )


def split(name: SplitName, tracks: int, lists: list[np.ndarray]) -> Split:
    """Return a split of numbered tracks and playlists; every second track of a valid or test playlist is a seed."""
    ids = [f"{name}-t{track:05d}" for track in range(tracks)]
    rows = [
        (f"{name}-p{p:05d}", ids[t], name, "member" if name == "train" else ("seed", "heldout")[place % 2])
        for p, chosen in enumerate(lists)
        for place, t in enumerate(chosen)
    ]
    return Split(
        name,
        pl.DataFrame({"track_id": ids, "artist": [f"Artist {track % 11}" for track in range(tracks)]}),
        pl.DataFrame(rows, schema=["playlist_id", "track_id", "split", "role"], orient="row"),
    )
