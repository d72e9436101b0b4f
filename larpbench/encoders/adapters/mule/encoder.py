"""MULE (McCallum et al. 2022): an NFNet that was trained to tell which windows are of the same recording.

The package ``mule-torch`` ports the published network to torch. Its code is GPL-3.0, its weights are CC-BY-NC-4.0: an
optional import, nothing of it is part of larpbench.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from larpbench.encoders.encoder import TrackBatch

SAMPLE_RATE = 16_000
"""Hz."""
DIM = 1_728
_LEVEL = 0.5  # MULE was trained on 16-bit samples over 2**16, half of what a decoder gives
_SHORTEST = 2_048  # samples of one spectrum, of which both ends are mirrored


class MuleEncoder:
    """Mean over windows of 3 s, one every 2 s, of the network's 1,728 numbers.

    Args:
        folder: Holds ``config.json`` and ``model.safetensors``.
        device: Where to compute, as torch names it.
    """

    def __init__(self, folder: Path, device: str) -> None:
        from mule_torch import MuleModel

        self._model = MuleModel.from_pretrained(model_dir=folder, map_location=device)
        self._device = device

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 1728) float32 of `batch.audio`, (n, samples) float32 at 16 kHz.

        Clips that are shorter than one window are mirrored at their end by the package.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        import torch

        audio = batch.require_audio("mule")
        vectors = np.empty((len(batch), self._model.embedding_dim), dtype=np.float32)
        with torch.inference_mode():
            for row, clip in enumerate(audio):
                wave = np.resize(clip, max(len(clip), _SHORTEST)) * np.float32(_LEVEL)
                vectors[row] = self._model(torch.from_numpy(wave)[None].to(self._device))[0].cpu().numpy()
        return vectors
