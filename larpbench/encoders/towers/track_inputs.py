"""What both towers of a model read of the tracks of a split, and their features of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from larpbench.encoders.towers.losses import Features

EVALUATED_AT_ONCE = 64


class SideInputs(Protocol):
    """What one tower reads of the tracks of a split."""

    def __len__(self) -> int:
        """Return the number of tracks."""
        ...

    def take(self, rows: np.ndarray, training: bool) -> tuple[Tensor, ...]:
        """Return the tower's arguments for some tracks, (n,) int64; `training` allows random crops."""
        ...


class TwoTowers(Protocol):
    """A model with an audio and a text side, such as LARP's."""

    training: bool

    def eval(self) -> Any:  # noqa: ANN401, itself
        """Go into eval mode."""
        ...

    def audio_features(self, *inputs: Tensor) -> Tensor:
        """Return (n, dim) float32 rows of length 1."""
        ...

    def text_features(self, *inputs: Tensor) -> Tensor:
        """Return (n, dim) float32 rows of length 1."""
        ...


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
