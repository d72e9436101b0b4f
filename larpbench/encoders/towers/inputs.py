"""Inputs of the towers: vectors, spectrograms or tokens of the tracks of a split; and the features of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.encoders.encoder import Rows, TrackBatch
from larpbench.encoders.towers.losses import Features
from larpbench.encoders.towers.settings import MelSettings
from larpbench.encoders.towers.tokens import Tokenizer
from larpbench.errors import DataError
from larpbench.training.ranks import Ranks

EVALUATED_AT_ONCE = 64
_ROWS_AT_ONCE = 256


class VectorInputs:
    """Frozen embeddings.

    Args:
        rows: (n, dim) float32.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, rows: np.ndarray, training: bool) -> tuple[Tensor, ...]:
        """Return (n, dim) float32."""
        return (torch.from_numpy(self._rows[rows]),)


class MelInputs:
    """Log-mel spectrograms, one window each: a random one while training, else the first.

    Args:
        rows: (n, windows * frames * n_mels) float32, what `LogMelEncoder` gives.
        settings: Of the spectrograms.
    """

    def __init__(self, rows: Rows, settings: MelSettings) -> None:
        self._rows, self._settings = rows, settings

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, rows: np.ndarray, training: bool) -> tuple[Tensor, ...]:
        """Return (n, frames, n_mels) float32."""
        settings = self._settings
        flat = torch.from_numpy(self._rows[rows])
        longest = 1 + round(settings.window_s * settings.sample_rate) // settings.hop
        frames = min(longest, flat.shape[1] // settings.n_mels)
        mels = flat.view(len(rows), -1, frames, settings.n_mels)
        if not training or mels.shape[1] == 1:
            return (mels[:, 0],)
        return (mels[torch.arange(len(rows)), torch.randint(mels.shape[1], (len(rows),))],)


@torch.no_grad()
def band_statistics(mels: MelInputs) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each mel band over all tracks and frames, (n_mels,) float64 in dB."""
    total, squares, count = torch.zeros(()), torch.zeros(()), 0
    for start in range(0, len(mels), _ROWS_AT_ONCE):
        (block,) = mels.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(mels))), training=False)
        values = block.double().flatten(0, 1)
        count, total, squares = count + len(values), total + values.sum(0), squares + values.square().sum(0)
    return total / count, squares / count - (total / count).square()


class TokenInputs:
    """Captions as token ids.

    Args:
        captions: One a track.
        tokenizer: Cuts them.

    Raises:
        DataError: If all captions are the same: there is nothing to learn from.
    """

    def __init__(self, captions: Sequence[str], tokenizer: Tokenizer) -> None:
        if len(captions) > 1 and len(set(captions)) == 1:
            raise DataError(
                f"all {len(captions)} tracks have the caption {captions[0]!r}: a text tower has nothing to read",
                next_step="build the data set with titles, artists or albums",
            )
        self._ids, self._mask = tokenizer(captions)

    def __len__(self) -> int:
        return len(self._ids)

    def take(self, rows: np.ndarray, training: bool) -> tuple[Tensor, ...]:
        """Return ids and mask, (n, tokens) int64 each."""
        chosen = torch.from_numpy(rows)
        return self._ids[chosen], self._mask[chosen]


def log_mels(batch: TrackBatch, settings: MelSettings) -> Tensor:
    """Return the spectrograms of a batch's clips, (n, windows, frames, n_mels) float32."""
    from larpbench.encoders.towers.front_end import log_mel, windows

    if batch.audio is None:
        raise DataError("the audio tower got no audio")
    cut = windows(torch.from_numpy(batch.audio), settings)
    mels = log_mel(cut.flatten(0, 1), settings)
    return mels.view(*cut.shape[:2], *mels.shape[1:])


class SideInputs(Protocol):
    """What one tower reads of the tracks of a split."""

    def __len__(self) -> int:
        """Return the number of tracks."""
        ...

    def take(self, rows: np.ndarray, training: bool) -> tuple[Tensor, ...]:
        """Return the tower's arguments for some tracks, (n,) int64; `training` allows random crops."""
        ...


class TwoTowers(nn.Module):
    """A model with an audio and a text tower, and a projection of each into a common space."""

    audio: Any
    text: Any
    audio_projection: nn.Module
    text_projection: nn.Module

    def share_rows(self, chunk: int | None, ranks: Ranks) -> None:
        """Let both towers compute so many rows at once, and the processes share the rows of every batch."""
        for tower in (self.audio, self.text):
            tower.chunk, tower.ranks = chunk, ranks

    def audio_features(self, *inputs: Tensor) -> Tensor:
        """Return (n, dim) float32 rows of length 1: the audio side of tracks."""
        return functional.normalize(self.audio_projection(self.audio(*inputs)).float(), dim=1)

    def text_features(self, *inputs: Tensor) -> Tensor:
        """Return (n, dim) float32 rows of length 1: the text side of tracks."""
        return functional.normalize(self.text_projection(self.text(*inputs)).float(), dim=1)


@dataclass(frozen=True)
class TrackInputs:
    """What both towers read of the tracks of a split."""

    audio: SideInputs
    text: SideInputs

    def __len__(self) -> int:
        return len(self.audio)


def features(model: TwoTowers, tracks: TrackInputs, rows: np.ndarray, device: str, bfloat16: bool) -> Features:
    """Return the features of some tracks, in the mode that the model is in."""
    audio = tuple(each.to(device) for each in tracks.audio.take(rows, model.training))
    text = tuple(each.to(device) for each in tracks.text.take(rows, model.training))
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=bfloat16):
        return Features(model.audio_features(*audio), model.text_features(*text))


@torch.inference_mode()
def embed(model: TwoTowers, tracks: TrackInputs, device: str) -> np.ndarray:
    """Return e = mean(a, t) of all tracks in eval mode, (n, dim) float32 (equation 11)."""
    model.eval()
    parts = []
    for start in range(0, len(tracks), EVALUATED_AT_ONCE):
        rows = np.arange(start, min(start + EVALUATED_AT_ONCE, len(tracks)))
        audio, text = features(model, tracks, rows, device, bfloat16=False)
        parts.append(((audio + text) / 2).cpu().numpy())
    return np.concatenate(parts)
