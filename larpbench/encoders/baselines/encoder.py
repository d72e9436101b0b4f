"""The baselines as encoders: trained, kept, and asked for vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench import storage
from larpbench.datasets.schema import Split
from larpbench.encoders.baselines.clap import Clap
from larpbench.encoders.baselines.cnn import AudioCnn
from larpbench.encoders.baselines.saving import load_clap, load_cnn, save_clap, save_cnn
from larpbench.encoders.baselines.training import train_clap, train_cnn
from larpbench.encoders.card import View
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.towers.fitting import LOG, log_text
from larpbench.encoders.towers.inputs import log_mels
from larpbench.encoders.towers.tokens import Tokenizer
from larpbench.errors import MissingPartError
from larpbench.runtime import torch_device

Part = TypeVar("Part")


class CnnEncoder:
    """A convolutional network that hears audio.

    Args:
        view: Audio, which is all that it has.
    """

    def __init__(self, view: View | None = None) -> None:
        self._device = torch_device()
        self._model: AudioCnn | None = None
        self._log = ""

    def fit(self, train: Split, valid: Split, context: FitContext) -> Mapping[str, Any]:
        """Train; see `train_cnn`."""
        trained = train_cnn(train, context)
        self._model, self._log = trained.model, log_text(trained.history)
        return trained.summary()

    def save(self, folder: Path) -> None:
        """Write weights, settings and the log of the training."""
        save_cnn(folder, _ready(self._model))
        storage.write_text(folder / LOG, self._log)

    def load(self, folder: Path) -> None:
        """Read weights and settings."""
        self._model = load_cnn(folder)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width) float32 rows of length 1."""
        model = _ready(self._model).to(self._device).eval()
        with torch.inference_mode():
            return model.encoded(log_mels(batch, model.recipe.mel).to(self._device)).cpu().numpy()


class ClapEncoder:
    """CLAP, or one side of it.

    Args:
        view: Which side; None for the mean of both.
    """

    def __init__(self, view: View | None) -> None:
        self._view = view
        self._device = torch_device()
        self._model: Clap | None = None
        self._tokenizer: Tokenizer | None = None
        self._log = ""

    def fit(self, train: Split, valid: Split, context: FitContext) -> Mapping[str, Any]:
        """Train; see `train_clap`."""
        trained = train_clap(train, valid, context)
        self._model, self._tokenizer = trained.model, trained.tokenizer
        self._log = log_text(trained.history)
        return trained.summary()

    def save(self, folder: Path) -> None:
        """Write weights, settings, tokenizer and the log of the training."""
        save_clap(folder, _ready(self._model), _ready(self._tokenizer))
        storage.write_text(folder / LOG, self._log)

    def load(self, folder: Path) -> None:
        """Read weights, settings and tokenizer."""
        self._model, self._tokenizer = load_clap(folder)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32: the mean of both sides, or one of them, each of length 1."""
        model = _ready(self._model).to(self._device).eval()
        with torch.inference_mode():
            sides = []
            if self._view != "text":
                sides.append(self._audio(model, batch))
            if self._view != "audio":
                tokens = _ready(self._tokenizer)(batch.captions.tolist())
                sides.append(model.text_features(*(each.to(self._device) for each in tokens)))
            return torch.stack(sides).mean(dim=0).cpu().numpy()

    def _audio(self, model: Clap, batch: TrackBatch) -> Tensor:
        mels = log_mels(batch, model.settings.audio.mel).to(self._device)
        windows = [model.audio_features(mels[:, number]) for number in range(mels.shape[1])]
        return functional.normalize(torch.stack(windows).mean(dim=0), dim=1)


def _ready(part: Part | None) -> Part:
    if part is None:
        raise MissingPartError("this encoder has no weights yet: neither fit nor load was called")
    return part
