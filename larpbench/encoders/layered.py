"""Encoders that read layers of one model: it is loaded once, and runs once a batch for all of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.layers import Readout
from larpbench.encoders.pooling import pooled


class Layered(Protocol):
    """A model whose hidden states can be read."""

    def windows(self, clip: np.ndarray) -> Iterable[torch.Tensor]:
        """Return the model's inputs for a clip, (samples,) float32: one, or one a window."""
        ...

    def states(self, window: torch.Tensor, last: int) -> Sequence[torch.Tensor]:
        """Return hidden states 0 to `last` of one input, (frames, width) each."""
        ...


class SharedModel:
    """A model, and what the encoders that read it make of the batch at hand.

    Args:
        model: The model.
    """

    def __init__(self, model: Layered) -> None:
        self._model = model
        self.readers: weakref.WeakSet[LayeredEncoder] = weakref.WeakSet()
        self._audio: np.ndarray | None = None
        self._found: dict[Readout, np.ndarray] = {}

    def vectors(self, audio: np.ndarray, readout: Readout) -> np.ndarray:
        """Return (n, dim) float32 of (n, samples) float32; all other readers have theirs from the same passes."""
        if audio is not self._audio or readout not in self._found:
            wanted = {readout, *(each.readout for each in self.readers)}
            self._found, self._audio = self._run(audio, wanted), audio
        return self._found.pop(readout)

    def _run(self, audio: np.ndarray, wanted: set[Readout]) -> dict[Readout, np.ndarray]:
        last = max(each.last for each in wanted)
        rows: dict[Readout, list[np.ndarray]] = {each: [] for each in wanted}
        with torch.inference_mode():
            for clip in audio:
                parts: dict[Readout, list[torch.Tensor]] = {each: [] for each in wanted}
                for window in self._model.windows(clip):
                    states = self._model.states(window, last)
                    for each in wanted:
                        parts[each].append(pooled(_mean_of(states[each.first : each.last + 1]), each.pooling))
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


_loaded: weakref.WeakValueDictionary[object, SharedModel] = weakref.WeakValueDictionary()


def shared_model(folder: Path, device: str, load: Callable[[], Layered]) -> SharedModel:
    """Return the model of a folder, loaded unless some encoder has it already.

    Args:
        folder: Holds its files; once they change, it is another model.
        device: Where it computes, as torch names it.
        load: Loads it.
    """
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir())
    key = (folder.resolve(), device, tuple(files))
    found = _loaded.get(key)
    if found is None:
        found = _loaded[key] = SharedModel(load())
    return found


def _mean_of(states: Sequence[torch.Tensor]) -> torch.Tensor:
    return states[0] if len(states) == 1 else torch.stack(list(states)).mean(dim=0)
