"""MuQ (Zhu et al. 2025) and MusicFM (Won et al. 2024) at a layer: one network, other weights and statistics."""

from __future__ import annotations

import numpy as np
import torch

from larpbench.encoders.adapters.muq.checkpoint import Checkpoint
from larpbench.encoders.adapters.muq.front_end import SAMPLE_RATE, log_mel
from larpbench.encoders.encoder import TrackBatch

WINDOW_S = 30.0
"""The length of the clips in training; what is longer is cut."""
_SHORTEST_S = 1.0  # a shorter clip is repeated


class ConformerEncoder:
    """Mean over time of the hidden states of one layer, then over windows of 30 s.

    Everything is computed in float32, also where the caller has asked for a lower precision: in bfloat16 the vectors
    differ in the second digit.

    Args:
        name: Of the encoder, for messages.
        checkpoint: Network and statistics.
        layer: 0 is what enters the first layer of the conformer, 12 what the last one gives.
        device: Where to compute, as torch names it.
    """

    def __init__(self, name: str, checkpoint: Checkpoint, layer: int, device: str) -> None:
        self._name, self._layer, self._device = name, layer, torch.device(device)
        self._network = checkpoint.network.to(self._device)
        self._mean, self._deviation = checkpoint.mean, checkpoint.deviation

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 1024) float32 of `batch.audio`, (n, samples) float32 at 24 kHz.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        audio = batch.require_audio(self._name)
        with torch.inference_mode(), torch.autocast(self._device.type, enabled=False):
            return np.stack([self._vector(clip) for clip in audio])

    def _vector(self, clip: np.ndarray) -> np.ndarray:
        wave = np.resize(clip, max(len(clip), round(_SHORTEST_S * SAMPLE_RATE))).astype(np.float32, copy=False)
        means = [self._states(torch.from_numpy(part)[None]).mean(dim=1)[0] for part in _windows(wave)]
        return torch.stack(means).mean(dim=0).cpu().numpy()

    def _states(self, wave: torch.Tensor) -> torch.Tensor:
        """Return (1, frames, 1024), 25 frames a second."""
        mel = log_mel(wave.to(self._device))
        return self._network((mel - self._mean) / self._deviation, self._layer)


def _windows(wave: np.ndarray) -> list[np.ndarray]:
    """Cut a clip, (samples,), into windows of 30 s; the last one ends with the clip, and a shorter clip stays whole."""
    length = round(WINDOW_S * SAMPLE_RATE)
    starts = [*range(0, len(wave) - length, length), max(0, len(wave) - length)]
    return [wave[start : start + length] for start in starts]
