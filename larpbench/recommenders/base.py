"""Recommenders: they make query and item vectors. Ranking is exact inner product, the same for all of them.

A fixed recommender (`Recommender`) needs no training. A learned one (`LearnedRecommender`) is built from parameters and
a seed and learns from `TrainData`, watched by `ValidData`. Both can only be made of the split they are named after, and
`fit` takes nothing else: test data cannot be handed in (protocol rule 11).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import numpy as np

from larpbench.datasets.schema import Dataset, Interactions, Split, SplitName
from larpbench.errors import ProtocolError, UsageError
from larpbench.evaluation.queries import Queries, queries_of

if TYPE_CHECKING:
    from larpbench.training.loop import Selection

TUNING_VERSION = 3
"""Raised with every change of how trials are drawn, fitted or chosen. 2: the start of a fit is one of its epochs;
3: fits that can be continued are tuned by successive halving, the numbers of one whole fit are as before."""
TUNING_SEED = 0
DEFAULT_BUDGET = 6
"""Trials of a tuning."""
T = TypeVar("T")
Made = TypeVar("Made")
SearchSpace = Mapping[str, tuple[float, ...]]
"""Parameter -> its values; the first of each is the default, where there is a paper the paper's own."""


class Scorer(ABC):
    """What scores items for queries in a cell, whatever the task.

    Attributes:
        name: Name in results; the scorer is part of it (protocol rule 6).
        version: Raised with every change that changes scores.
        summary: One line for lists.
        learns_from: The splits whose embeddings it needs beside the tested one.
        settings: Hyper-parameters that nothing tunes, as JSON. Part of the key of its results.
        citation: Keys of larpbench's references (`larpbench.citations`), or whole BibTeX entries.
    """

    name: str
    version: int
    summary: str
    learns_from: ClassVar[tuple[SplitName, ...]] = ()
    settings: Mapping[str, Any] = MappingProxyType({})
    citation: tuple[str, ...] = ()

    @property
    def stochastic(self) -> bool:
        """Whether its scores depend on a seed: then it runs over several."""
        return bool(self.learns_from)

    def seeded(self, seed: int) -> Self:
        """Return the scorer for a run with a seed."""
        return self

    def lacks(self, dataset: Dataset) -> str | None:
        """Return what a data set lacks for it to run, as a sentence; None if nothing."""
        return None

    def seconds(self, dataset: Dataset) -> float:
        """Return roughly how long one run of it learns, for the plan's estimate."""
        return 0.0


class Recommender(Scorer):
    """Turns embeddings into vectors whose inner products are the scores."""

    @abstractmethod
    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return one vector a playlist, or listener.

        Args:
            seeds: What is known of p playlists, at least one track each: their seeds, or the profiles of listeners.
            embeddings: (n, dim) float32, the tracks that `seeds` are rows of: those of the split itself, or of train.

        Returns:
            (p, k) float32.
        """

    @abstractmethod
    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return one vector a track, (n, k) float32."""


class _Prepared:
    """Data of which several fits make the same things: each is made once, and goes with the data."""

    _making: ClassVar[threading.RLock] = threading.RLock()

    def once(self, make: Callable[[Self], Made]) -> Made:
        """Return what a function makes of these data: all fits share it, so that none may change it.

        Args:
            make: A function of the module level, or of a class: the same object at every call.
        """
        with self._making:  # fits run side by side, and wait for the first one
            things = self.__dict__.setdefault("_things", {})
            if make not in things:
                things[make] = make(self)
            found: Made = things[make]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_things"}


@dataclass(frozen=True)
class TrainData(_Prepared):
    """All that a recommender may learn from.

    Attributes:
        split: The train split, and no other.
        embeddings: (n, dim) float32, in the order of the split's tracks.

    Raises:
        ProtocolError: If it is another split, or has no playlists.
    """

    split: Split
    embeddings: np.ndarray

    def __post_init__(self) -> None:
        _require(self.split, self.embeddings, "train")
        if not len(self.interactions):
            raise ProtocolError(
                "the train split has no playlists to learn from",
                next_step="build the data set with a train split, or use recommenders that learn nothing (itemknn)",
            )

    @cached_property
    def interactions(self) -> Interactions:
        """The train playlists with all their tracks."""
        return self.split.interactions()


@dataclass(frozen=True)
class ValidData(_Prepared):
    """All that selection may look at.

    Attributes:
        split: The valid split, and no other.
        embeddings: (n, dim) float32, in the order of the split's tracks.

    Raises:
        ProtocolError: If it is another split, or no playlist of it has both seeds and held-out tracks.
    """

    split: Split
    embeddings: np.ndarray

    def __post_init__(self) -> None:
        _require(self.split, self.embeddings, "valid")
        len(self.queries.seeds)

    @cached_property
    def queries(self) -> Queries:
        """Seeds and held-out tracks of the valid playlists."""
        return queries_of(self.split)

    @property
    def known(self) -> np.ndarray:
        """(m, dim) float32, the vectors of the tracks that the queries' seeds are rows of."""
        return self.embeddings

    def recall(self, recommender: Recommender, items: np.ndarray | None = None) -> float:
        """Return recall@10 of the valid playlists, ranked exactly as test will be.

        Args:
            recommender: Makes the vectors.
            items: Its item vectors of valid, if they are there already.
        """
        vectors = recommender.query_vectors(self.queries.seeds, self.known)
        return self.recall_of(vectors, recommender.item_vectors(self.embeddings) if items is None else items)

    def recall_of(self, vectors: np.ndarray, items: np.ndarray) -> float:
        """Return the same of vectors that are there already.

        Args:
            vectors: (p, k) float32, of the queries.
            items: (n, k) float32, of the tracks of valid.
        """
        from larpbench.evaluation.selection import recall_at  # loads torch, which lists and plans need not

        return recall_at(vectors, items, self.queries)


class LearnedRecommender(Recommender):
    """A recommender that must be fitted. What the registry holds is an unfitted one with the default parameters.

    Args:
        params: Values of parameters; the others have their defaults.
        seed: Drives everything random.

    Attributes:
        search_space: What tuning may choose from, the same for every encoder; by default there is nothing to choose.
        fits_in_threads: Whether several may be fitted at once in threads of one process: only if a fit draws nothing
            from the global generators of torch and numpy.
        shares_factors: Whether `fit_seconds` counts a factorisation of train, which is remembered for other fits.
        seconds_per_entry: Rough time of one fit for each track of each train playlist, for the plan's estimate.
        params: Parameter -> value, all of them.
        seed: The seed.
        selection: The epochs of the fit, the first of them the start; None where it has none.
    """

    learns_from = ("train", "valid")
    search_space: ClassVar[SearchSpace] = MappingProxyType({})
    fits_in_threads: ClassVar[bool] = False
    shares_factors: ClassVar[bool] = False
    seconds_per_entry: ClassVar[float] = 1e-3
    selection: Selection | None = None

    def __init__(self, params: Mapping[str, float] | None = None, seed: int = 0) -> None:
        chosen = dict(params or {})
        if unknown := sorted(chosen.keys() - self.search_space.keys()):
            raise UsageError(
                f"recommender {self.name!r} has no parameter {', '.join(map(repr, unknown))}",
                allowed=", ".join(self.search_space) or "none",
            )
        self.params: dict[str, float] = {name: values[0] for name, values in self.search_space.items()} | chosen
        self.seed = seed

    def fit_seconds(self, entries: int, rows: int, dim: int) -> float:
        """Return roughly how many CPU seconds one fit takes, for the plan's estimate.

        Args:
            entries: Tracks of train playlists, each as often as it is in one.
            rows: Train playlists and train tracks.
            dim: Length of the embeddings.
        """
        return self.seconds_per_entry * entries

    def built(self, params: Mapping[str, float], seed: int) -> Self:
        """Return an unfitted recommender of the same kind with other parameters."""
        return type(self)(params, seed)

    @abstractmethod
    def fit(self, train: TrainData, valid: ValidData) -> None:
        """Learn from train; stop early by `ValidData.recall` and by nothing else.

        Raises:
            TrainingError: If training breaks down, such as a loss that is not finite.
        """


class ResumableRecommender(LearnedRecommender):
    """A learned recommender whose fit can stop after any epoch, and go on later as if it had not stopped.

    Tuning then gives most of the epochs to the trials that do best. `selection` holds the epochs so far. What the fit
    needs to go on is kept in the recommender itself, and nothing of the data is.

    Attributes:
        epochs: How many a whole fit has at most.
        usual_epochs: How many valid usually lets it have, for the plan's estimate.
    """

    epochs: ClassVar[int] = 20
    usual_epochs: ClassVar[float] = 7.0

    @abstractmethod
    def advance(self, train: TrainData, valid: ValidData, epochs: int) -> None:
        """Train until so many epochs are done in all, from where the last call ended; the first one starts the fit.

        A fit that has ended before, by patience or a collapse, does not go on.

        Raises:
            TrainingError: If training breaks down.
        """

    @abstractmethod
    def finish(self) -> None:
        """Take the weights of the best epoch, and give back what is needed to go on."""

    def fit(self, train: TrainData, valid: ValidData) -> None:
        """Train all epochs, and take the best one by valid."""
        try:
            self.advance(train, valid, self.epochs)
        finally:
            self.finish()


def fitted(part: T | None, name: str) -> T:
    """Return a part that `fit` makes.

    Raises:
        ProtocolError: If it is not there yet.
    """
    if part is None:
        raise ProtocolError(f"recommender {name!r} was used before it was fitted", next_step="call fit first")
    return part


def _require(split: Split, embeddings: np.ndarray, name: SplitName) -> None:
    if split.name != name:
        raise ProtocolError(
            f"the {split.name} split was handed in as {name} data",
            allowed=f"the {name} split only: nothing is learned or selected on any other (protocol rule 11)",
        )
    if len(embeddings) != len(split.track_ids):
        raise ProtocolError(
            f"{len(embeddings)} vectors were handed in with the {len(split.track_ids)} tracks of the {name} split",
            allowed="one vector a track, of that split",
        )
