"""MuQ (Zhu et al. 2025) and MusicFM (Won et al. 2024): one network, other weights and statistics."""

from __future__ import annotations

import numpy as np
import torch

from larpbench.encoders.adapters.muq.checkpoint import Checkpoint
from larpbench.encoders.adapters.muq.front_end import SAMPLE_RATE, log_mel

WINDOW_S = 30.0
"""The length of the clips in training; what is longer is cut."""
_SHORTEST_S = 1.0  # a shorter clip is repeated


class Conformer:
    """A network and the statistics of its input; clips are cut into windows of 30 s.

    Everything is computed in float32, also where the caller has asked for a lower precision: in bfloat16 the vectors
    differ in the second digit.

    Args:
        checkpoint: Network and statistics.
        device: Where to compute, as torch names it.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        self._device = torch.device(device)
        self._network = checkpoint.network.to(self._device)
        self._mean, self._deviation = checkpoint.mean, checkpoint.deviation

    def windows(self, clip: np.ndarray) -> list[torch.Tensor]:
        """Return the windows of a clip, (samples,) float32 at 24 kHz."""
        wave = np.resize(clip, max(len(clip), round(_SHORTEST_S * SAMPLE_RATE))).astype(np.float32, copy=False)
        return [torch.from_numpy(part) for part in _windows(wave)]

    def states(self, window: torch.Tensor, last: int) -> list[torch.Tensor]:
        """Return hidden states 0 to `last` of one window, (frames, 1024) each, 25 frames a second.

        State 12 is what the last layer gives after the final normalisation.
        """
        with torch.autocast(self._device.type, enabled=False):
            mel = log_mel(window[None].to(self._device))
            return [each[0] for each in self._network((mel - self._mean) / self._deviation, last)]


def _windows(wave: np.ndarray) -> list[np.ndarray]:
    """Cut a clip, (samples,), into windows of 30 s; the last one ends with the clip, and a shorter clip stays whole."""
    length = round(WINDOW_S * SAMPLE_RATE)
    starts = [*range(0, len(wave) - length, length), max(0, len(wave) - length)]
    return [wave[start : start + length] for start in starts]
