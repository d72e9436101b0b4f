"""Encoders that are trained here: what all have in common, and those with an audio and a text side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench import storage
from larpbench.datasets.schema import Split
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.towers.inputs import log_mels
from larpbench.encoders.towers.settings import SwinSettings
from larpbench.encoders.towers.tokens import Tokenizer
from larpbench.encoders.towers.training import save_model
from larpbench.errors import MissingPartError
from larpbench.runtime import torch_device
from larpbench.training.loop import TrainedModel
from larpbench.training.resumable import LOG, log_text

AnyModel = TypeVar("AnyModel", bound=Any)


class TrainedEncoder(ABC, Generic[AnyModel]):
    """An encoder without weights until `fit` or `load`.

    Args:
        view: The side that it reads; None for all that it has.
    """

    def __init__(self, view: Literal["audio", "text"] | None = None) -> None:
        self._view = view
        self._device = torch_device()
        self._model: AnyModel | None = None
        self._tokenizer: Tokenizer | None = None
        self._log = ""

    @abstractmethod
    def train(self, train: Split, valid: Split, context: FitContext) -> tuple[TrainedModel[AnyModel], Tokenizer | None]:
        """Train a model; return it with its tokenizer, if it has one."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""

    @abstractmethod
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32."""

    def fit(self, train: Split, valid: Split, context: FitContext) -> Mapping[str, Any]:
        """Train, and return what a record should say of it, as JSON."""
        trained, self._tokenizer = self.train(train, valid, context)
        self._model, self._log = trained.model, log_text(trained.history)
        return trained.summary()

    def save(self, folder: Path) -> None:
        """Write weights, settings, tokenizer and the log of the training."""
        save_model(folder, self.model, self._tokenizer)
        storage.write_text(folder / LOG, self._log)

    @property
    def model(self) -> AnyModel:
        """The model, on the encoder's device and in eval mode.

        Raises:
            MissingPartError: If there are no weights yet.
        """
        if self._model is None:
            raise MissingPartError("this encoder has no weights yet: neither fit nor load was called")
        return self._model.to(self._device).eval()


class TwoTowerEncoder(TrainedEncoder[AnyModel]):
    """A model with an audio and a text side: e = mean(a, t) of every track, or one of the two."""

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32: the mean of both sides, or one of them, each of length 1."""
        with torch.inference_mode():
            sides = []
            if self._view != "text":
                sides.append(self.audio(batch))
            if self._view != "audio":
                sides.append(self.text(batch))
            return torch.stack(sides).mean(dim=0).cpu().numpy()

    def audio(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) rows of length 1: the mean over the windows of a clip."""
        model = self.model
        settings = model.settings.audio
        if not isinstance(settings, SwinSettings):
            return model.audio_features(torch.from_numpy(batch.inputs[0]).to(self._device))
        mels = log_mels(batch, settings.mel).to(self._device)
        windows = [model.audio_features(mels[:, number]) for number in range(mels.shape[1])]
        return functional.normalize(torch.stack(windows).mean(dim=0), dim=1)

    def text(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) rows of length 1: the side of the captions.

        Raises:
            MissingPartError: If the model has no tokenizer.
        """
        if self._tokenizer is None:
            raise MissingPartError("this model has no tokenizer", next_step="use its :audio view")
        return self.model.text_features(*(each.to(self._device) for each in self._tokenizer(batch.captions.tolist())))
