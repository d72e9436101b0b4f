"""Encoders that read layers of one model: it is loaded once, and runs once a batch for all of them."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.layers import Readout
from larpbench.encoders.pooling import pooled

R = TypeVar("R", bound=Hashable)
S = TypeVar("S", bound="Shared[Any]")


class Shared(ABC, Generic[R]):
    """A model, and what the encoders that read it make of the batch at hand.

    Attributes:
        readers: Its encoders; `readout` of each is what it takes of the model.
    """

    def __init__(self) -> None:
        self.readers: weakref.WeakSet[Reader[R]] = weakref.WeakSet()
        self._batch: np.ndarray | None = None
        self._found: dict[R, np.ndarray] = {}

    def vectors(self, batch: np.ndarray, readout: R) -> np.ndarray:
        """Return (n, dim) float32 of n clips or captions; all other readers have theirs from the same passes."""
        if batch is not self._batch or readout not in self._found:
            wanted = {readout, *(each.readout for each in self.readers)}
            self._found, self._batch = dict(self.run(batch, wanted)), batch
        return self._found.pop(readout)

    @abstractmethod
    def run(self, batch: np.ndarray, wanted: AbstractSet[R]) -> Mapping[R, np.ndarray]:
        """Return what each of the encoders makes of a batch, (n, dim) float32 each."""


class Reader(Protocol[R]):
    """An encoder that shares its model."""

    readout: R


class Layered(Protocol):
    """A model whose hidden states can be read."""

    def windows(self, clip: np.ndarray) -> Iterable[torch.Tensor]:
        """Return the model's inputs for a clip, (samples,) float32: one, or one a window."""
        ...

    def states(self, window: torch.Tensor, last: int) -> Sequence[torch.Tensor]:
        """Return hidden states 0 to `last` of one input, (frames, width) each."""
        ...


class SharedModel(Shared[Readout]):
    """A model that reads clips.

    Args:
        model: The model.
    """

    def __init__(self, model: Layered) -> None:
        super().__init__()
        self._model = model

    def run(self, batch: np.ndarray, wanted: AbstractSet[Readout]) -> dict[Readout, np.ndarray]:
        """Return the vectors of clips, (n, samples) float32."""
        last = max(each.last for each in wanted)
        rows: dict[Readout, list[np.ndarray]] = {each: [] for each in wanted}
        with torch.inference_mode():
            for clip in batch:
                parts: dict[Readout, list[torch.Tensor]] = {each: [] for each in wanted}
                for window in self._model.windows(clip):
                    states = self._model.states(window, last)
                    for each in wanted:
                        parts[each].append(pooled(mean_of(states[each.first : each.last + 1]), each.pooling))
                for each, vectors in parts.items():
                    rows[each].append(torch.stack(vectors).mean(dim=0).float().cpu().numpy())
        return {each: np.stack(found) for each, found in rows.items()}


class LayeredEncoder:
    """A vector of the hidden states of one layer, or of the mean of several.

    Args:
        name: For messages.
        shared: The model, which others may read, too.
        readout: What is taken of it.
    """

    def __init__(self, name: str, shared: SharedModel, readout: Readout) -> None:
        self._name, self._shared, self.readout = name, shared, readout
        shared.readers.add(self)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32 of `batch.audio`, (n, samples) float32 at the model's rate.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        return self._shared.vectors(batch.require_audio(self._name), self.readout)


_loaded: weakref.WeakValueDictionary[object, Any] = weakref.WeakValueDictionary()


def shared_model(folder: Path, device: str, load: Callable[[], Layered]) -> SharedModel:
    """Return the model of a folder that reads clips, loaded unless some encoder has it already.

    Args:
        folder: Holds its files; once they change, it is another model.
        device: Where it computes, as torch names it.
        load: Loads it.
    """
    return shared(folder, device, lambda: SharedModel(load()))


def shared(folder: Path, way: Hashable, load: Callable[[], S]) -> S:
    """Return the model of a folder, loaded unless some encoder has it already.

    Args:
        folder: Holds its files; once they change, it is another model.
        way: Where and how it computes.
        load: Loads it; the same class for one way.
    """
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir())
    key = (folder.resolve(), way, tuple(files))
    found: S | None = _loaded.get(key)
    if found is None:
        found = _loaded[key] = load()
    return found


def mean_of(states: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the mean of hidden states of one shape; a single one as it is."""
    return states[0] if len(states) == 1 else torch.stack(list(states)).mean(dim=0)
