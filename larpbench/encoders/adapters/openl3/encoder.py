"""OpenL3 (Cramer et al. 2019): what sound and picture of a video have in common, seen from the sound; music weights.

The package ``torchopenl3`` ports the published network to torch: mel spectrogram of 256 bands, 512 numbers a second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from larpbench.encoders.encoder import TrackBatch
from larpbench.errors import DataError

SAMPLE_RATE = 48_000
"""Hz."""
DIM = 512
WEIGHTS_FILE = "torchopenl3_mel256_music_512.pth.tar"
_HOP_S = 1.0  # windows of 1 s side by side


class OpenL3Encoder:
    """Mean over windows of 1 s, side by side, of the network's 512 numbers.

    Args:
        path: The weights.

    Raises:
        DataError: If the file holds no weights of this network.
    """

    def __init__(self, path: Path) -> None:
        import torch
        from torchopenl3.models import PytorchOpenl3

        self._model = PytorchOpenl3(input_repr="mel256", content_type="music", embedding_size=DIM)
        try:
            self._model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except OSError:
            raise
        except Exception as error:  # torch raises of all kinds
            raise DataError("this file holds no weights of OpenL3 (mel256, 512)", where=str(path)) from error
        self._model.eval()

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 512) float32 of `batch.audio`, (n, samples) float32 at 48 kHz.

        A last window that is not full, and a clip of less than 1 s, are filled up with zeros, as the package does.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        from torchopenl3 import get_audio_embedding

        audio = batch.require_audio("openl3")
        vectors = np.empty((len(batch), DIM), dtype=np.float32)
        for row, clip in enumerate(audio):
            windows, _ = get_audio_embedding(clip, SAMPLE_RATE, model=self._model, center=False, hop_size=_HOP_S)
            vectors[row] = windows[0].mean(dim=0).cpu().numpy()
        return vectors
