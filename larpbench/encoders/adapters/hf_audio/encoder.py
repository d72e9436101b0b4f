"""Mean over time of what a codec of the hub gives: EnCodec.

What the checkpoint says of itself decides. Only models that transformers brings itself: no code of a checkpoint runs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.towers.hub_audio import hub_input, load_hub_model
from larpbench.encoders.towers.hub_models import Place


class CodecEncoder:
    """Mean over time of what EnCodec's encoder gives, before quantisation.

    Args:
        folder: Holds the checkpoint.
        place: Where and how it computes.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self._model, self._extractor = load_hub_model(folder, place, (), ())
        self._device = place.device

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width) float32 of `batch.audio`, (n, samples) float32 at the checkpoint's rate.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        rows = []
        with torch.inference_mode():
            for clip in batch.require_audio("hf-audio"):
                wave = hub_input(clip, self._extractor).to(self._device)
                rows.append(self._model.encoder(wave)[0].mean(dim=-1).float().cpu().numpy())
        return np.stack(rows)
