"""musicnn as encoders of clips: one for each set of published weights."""

from __future__ import annotations

import numpy as np
import torch

from larpbench.encoders.adapters.musicnn.frontend import log_mel, patches
from larpbench.encoders.adapters.musicnn.model import PENULTIMATE, Musicnn
from larpbench.encoders.encoder import TrackBatch

_PATCHES_AT_ONCE = 2  # the largest activation is then 18 MB; more at once is slower, and needs more memory


class MusicnnEncoder:
    """The penultimate layer (200 numbers) of musicnn, mean over the patches of a clip.

    Args:
        model: The network; it is put into evaluation mode and used where its parameters are.
    """

    def __init__(self, model: Musicnn) -> None:
        self._model = model.eval()

    @torch.inference_mode()
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 200) float32 of `batch.audio`, (n, samples) float32 at 16 kHz.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        audio = batch.require_audio("musicnn")
        device = self._model.tags.weight.device
        vectors = np.empty((len(batch.track_ids), PENULTIMATE), dtype=np.float32)
        for row, clip in enumerate(audio):
            cut = patches(log_mel(torch.tensor(clip[None], dtype=torch.float32, device=device)))[0]
            parts = [self._model(part).penultimate for part in torch.split(cut, _PATCHES_AT_ONCE)]
            vectors[row] = torch.cat(parts).mean(dim=0).cpu().numpy()
        return vectors
