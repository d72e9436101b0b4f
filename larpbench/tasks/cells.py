"""What a table is made of: cells, each an encoder with a recommender on a data set."""

from __future__ import annotations

from dataclasses import dataclass

from larpbench.encoders.spec import EncoderSpec
from larpbench.recommenders.base import Scorer


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
class BoundCell:
    """A cell with what it is made of.

    Attributes:
        cell: Which.
        key: Digest of all that its scores depend on.
        row_key: What its key depends on, apart from the seed: the same of all cells of one row.
        spec: Its encoder.
        recommender: Its recommender.
        embedding_key: Key of the vectors that it needs.
    """

    cell: Cell
    key: str
    row_key: str
    spec: EncoderSpec
    recommender: Scorer
    embedding_key: str
