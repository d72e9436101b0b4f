"""What the learned networks share: batches of entries, early stopping on valid, seeds, devices and threads."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, TypeVar, overload

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from larpbench.datasets.schema import Interactions
from larpbench.errors import TrainingError
from larpbench.recommenders.base import Recommender, ResumableRecommender, TrainData, ValidData
from larpbench.training.loop import InMemoryFit, Validation, spread_of

Network = TypeVar("Network", bound=nn.Module)
PATIENCE = 3
SMALLEST_BATCH = 64
LARGEST_BATCH = 1_024
SMALL_NUMBERS = 2**25
SMALL_ENTRIES = 2**18
_DIVERGED = (
    "where a trial says this, others go on; where the fit of a seed does, more trials (--budget) may find parameters "
    "that suit every seed"
)
_STEPS_AN_EPOCH = 128
_DENSE_PAIRS = 2**24  # of so few pairs all are looked up at once, in a sixth of the time
_ROWS_AT_ONCE = 8_192
INTERRUPTED = threading.Event()
"""Set while a run is being ended: fits in other threads stop at their next step."""
_GENERATOR = threading.Lock()


@dataclass(frozen=True)
class EntrySeconds:
    """CPU seconds that training takes for one entry, in an epoch; measured on one core of a 2-core AMD EPYC.

    Attributes:
        alone: For the entry itself.
        number: For each number of its vector.
        pair: For each pair of it and another entry of the batch.
        step: For a step, which the entries of the batch share.
    """

    alone: float = 8e-6
    number: float = 1.5e-8
    pair: float = 1.4e-8
    step: float = 5e-4

    def of(self, dim: int, batch: int) -> float:
        """Return the seconds of an entry, by the length of its vector and the entries of a batch."""
        return self.alone + self.number * dim + self.pair * batch + self.step / batch


def batch_size(entries: int) -> int:
    """Return how many of so many entries a batch has."""
    return int(np.clip(entries // _STEPS_AN_EPOCH, SMALLEST_BATCH, LARGEST_BATCH))


class Entries:
    """The (playlist, track) entries of the train playlists.

    Args:
        playlists: The train playlists.
        n_tracks: Number of train tracks.

    Attributes:
        playlists: (e,) int64, the playlist of each entry.
        tracks: (e,) int64, its track.
        batch_size: About 128 batches an epoch, between 64 and 1,024: a small data set needs steps, and a loss over all
            pairs of a batch would cost more than the networks in a larger one.
    """

    def __init__(self, playlists: Interactions, n_tracks: int) -> None:
        self.playlists = np.repeat(np.arange(len(playlists)), playlists.lengths)
        self.tracks = playlists.tracks
        self.batch_size = batch_size(len(self.tracks))
        ones = np.ones(len(self.tracks), dtype=bool)
        self._matrix = sparse.csr_matrix((ones, self.tracks, playlists.offsets), shape=(len(playlists), n_tracks))
        self._dense = self._matrix.toarray() if len(playlists) * n_tracks <= _DENSE_PAIRS else None

    def batches(self, generator: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield playlists and tracks of one epoch, in full batches only (unless there are too few for one)."""
        order = generator.permutation(len(self.tracks))
        for start in range(0, max(1, len(order) - self.batch_size + 1), self.batch_size):
            chosen = order[start : start + self.batch_size]
            yield self.playlists[chosen], self.tracks[chosen]

    def sample(self, most: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return playlists and tracks of at most so many entries."""
        chosen = generator.permutation(len(self.tracks))[:most]
        return self.playlists[chosen], self.tracks[chosen]

    def observed(self, playlists: np.ndarray, tracks: np.ndarray) -> np.ndarray:
        """Return (b, c) bool: whether the i-th playlist holds the j-th track."""
        if self._dense is not None:
            return self._dense[playlists[:, None], tracks]
        found: np.ndarray = self._matrix[playlists][:, tracks].toarray()
        return found


def entries_of(train: TrainData) -> Entries:
    """Return the entries of the train playlists."""
    return Entries(train.interactions, len(train.embeddings))


class GradientRecommender(ResumableRecommender):
    """Networks that are trained epoch by epoch and selected by valid.

    Training ends after 20 epochs, or after 3 in a row without a better score, or if the vectors collapse.

    Attributes:
        entry_seconds: What an entry costs in an epoch, for the plan's estimate.
    """

    entry_seconds: ClassVar[EntrySeconds] = EntrySeconds()
    _training: InMemoryFit | None = None

    def fit_seconds(self, entries: int, rows: int, dim: int) -> float:
        """Return the time of as many epochs as are usual."""
        return self.usual_epochs * entries * self.entry_seconds.of(dim, batch_size(entries))

    @abstractmethod
    def _begin(self, train: TrainData) -> tuple[nn.Module, Sequence[torch.optim.Optimizer]]:
        """Make the networks; return what is kept of the best epoch, and the optimisers, which step together."""

    @abstractmethod
    def _losses(self, train: TrainData) -> Iterator[Tensor]:
        """Yield the loss of each batch of the next epoch."""

    @abstractmethod
    def _validate(self, train: TrainData, valid: ValidData) -> Validation:
        """Validate the networks as they are, without gradients."""

    def advance(self, train: TrainData, valid: ValidData, epochs: int) -> None:
        """Train until so many epochs are done in all; see `ResumableRecommender`."""
        with one_thread_if_small(train):
            if self._training is None:
                self._training = InMemoryFit(self.name, *self._begin(train), PATIENCE, _DIVERGED)
                self.selection = self._training.selection

            def losses() -> Iterator[Tensor]:
                for loss in self._losses(train):
                    if INTERRUPTED.is_set():
                        raise TrainingError("training was interrupted")
                    yield loss

            self._training.advance(losses, lambda loss: self._validate(train, valid), epochs)

    def finish(self) -> None:
        """Take the weights of the best epoch; the optimisers and other weights are given back."""
        if self._training:
            self._training.finish()
            self._training = None


def validation_of(recommender: Recommender, valid: ValidData) -> Validation:
    """Return the recall@10 of valid, and the spread of its tracks' vectors."""
    items = recommender.item_vectors(valid.embeddings)
    return Validation(valid.recall(recommender, items), spread_of(items))


def forward_all(network: Callable[[Tensor], Tensor], rows: np.ndarray) -> np.ndarray:
    """Return the network's output for all rows, float32, computed in blocks of bounded memory."""
    with torch.no_grad():
        parts = [
            network(on_device(rows[start : start + _ROWS_AT_ONCE])).cpu().numpy()
            for start in range(0, len(rows), _ROWS_AT_ONCE)
        ]
    return np.concatenate(parts)


@overload
def on_device(thing: np.ndarray) -> Tensor: ...
@overload
def on_device(thing: Network) -> Network: ...
def on_device(thing: np.ndarray | nn.Module) -> Tensor | nn.Module:
    """Return an array or a network where networks are trained: on the GPU if there is one."""
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.from_numpy(thing).to(where) if isinstance(thing, np.ndarray) else thing.to(where)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's initial weights inside the block, and leave its generator as it was. One thread at a time."""
    with _GENERATOR, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def is_small(train: TrainData) -> bool:
    """Whether a step is too little work for several threads, and a few fits at once do not fill the memory."""
    return train.embeddings.size <= SMALL_NUMBERS and len(train.interactions.tracks) <= SMALL_ENTRIES


@contextmanager
def one_thread_if_small(train: TrainData) -> Iterator[None]:
    """Give torch one thread inside the block if the problem is small.

    More would wait for each other at every step, and if another program keeps a core busy, many times longer than they
    compute; and one thread gives the same numbers on any number of cores.
    """
    before = torch.get_num_threads()
    if before == 1 or not is_small(train):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
