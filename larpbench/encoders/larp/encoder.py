"""LARP as an encoder: e = mean(a, t) of every track, or one of the two (section 3.3, equations 10 and 11)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench import storage
from larpbench.datasets.schema import Split
from larpbench.encoders.card import View
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.larp.checkpoint import load_model, save_model
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.settings import HeadSettings
from larpbench.encoders.larp.training import train_stage
from larpbench.encoders.towers.fitting import LOG, log_text
from larpbench.encoders.towers.inputs import log_mels
from larpbench.encoders.towers.settings import SwinSettings
from larpbench.encoders.towers.tokens import Tokenizer
from larpbench.errors import MissingPartError
from larpbench.runtime import torch_device


class LarpEncoder:
    """A LARP model, or one side of it.

    Args:
        view: Which side; None for the mean of both.
    """

    def __init__(self, view: View | None) -> None:
        self._view = view
        self._device = torch_device()
        self._model: Larp | None = None
        self._tokenizer: Tokenizer | None = None
        self._log = ""

    def fit(self, train: Split, valid: Split, context: FitContext) -> Mapping[str, Any]:
        """Train one stage; see `train_stage`."""
        trained = train_stage(train, valid, context)
        self._model, self._tokenizer = trained.model, trained.tokenizer
        self._log = log_text(trained.history)
        return trained.summary()

    def save(self, folder: Path) -> None:
        """Write weights, settings, tokenizer and the log of the training."""
        save_model(folder, self._ready(), self._tokenizer)
        storage.write_text(folder / LOG, self._log)

    def load(self, folder: Path) -> None:
        """Read weights, settings and tokenizer."""
        self._model, self._tokenizer = load_model(folder, with_text=self._view != "audio")

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32."""
        model = self._ready().to(self._device).eval()
        with torch.inference_mode():
            sides = []
            if self._view != "text":
                sides.append(self._audio(model, batch))
            if self._view != "audio":
                sides.append(self._text(model, batch))
            return torch.stack(sides).mean(dim=0).cpu().numpy()

    def _audio(self, model: Larp, batch: TrackBatch) -> Tensor:
        settings = model.settings.audio
        if not isinstance(settings, SwinSettings):
            return model.audio_features(torch.from_numpy(batch.inputs[0]).to(self._device))
        mels = log_mels(batch, settings.mel).to(self._device)
        features = [model.audio_features(mels[:, number]) for number in range(mels.shape[1])]
        return functional.normalize(torch.stack(features).mean(dim=0), dim=1)

    def _text(self, model: Larp, batch: TrackBatch) -> Tensor:
        if isinstance(model.settings.text, HeadSettings):
            return model.text_features(torch.from_numpy(batch.inputs[-1]).to(self._device))
        if self._tokenizer is None:
            raise MissingPartError("this LARP model has no tokenizer", next_step="use its :audio view")
        return model.text_features(*(each.to(self._device) for each in self._tokenizer(batch.captions.tolist())))

    def _ready(self) -> Larp:
        if self._model is None:
            raise MissingPartError("this LARP encoder has no weights yet: neither fit nor load was called")
        return self._model
