"""The baselines as encoders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from larpbench.datasets.schema import Split
from larpbench.encoders.baselines.clap import Clap
from larpbench.encoders.baselines.cnn import AudioCnn
from larpbench.encoders.baselines.settings import ClapSettings, CnnRecipe
from larpbench.encoders.baselines.training import train_clap, train_cnn
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.towers.encoder import TrainedEncoder, TwoTowerEncoder
from larpbench.encoders.towers.inputs import log_mels
from larpbench.encoders.towers.tokens import Tokenizer, load_tokenizer
from larpbench.encoders.towers.training import load_model
from larpbench.training.loop import TrainedModel


class CnnEncoder(TrainedEncoder[AudioCnn]):
    """A convolutional network on log-mel spectrograms."""

    def train(self, train: Split, valid: Split, context: FitContext) -> tuple[TrainedModel[AudioCnn], None]:
        """Train; see `train_cnn`."""
        return train_cnn(train, context), None

    def load(self, folder: Path) -> None:
        """Read weights and settings."""
        self._model = load_model(folder, AudioCnn, CnnRecipe)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width) float32 rows of length 1."""
        model = self.model
        with torch.inference_mode():
            return model.encoded(log_mels(batch, model.settings.mel).to(self._device)).cpu().numpy()


class ClapEncoder(TwoTowerEncoder[Clap]):
    """CLAP, or one side of it."""

    def train(self, train: Split, valid: Split, context: FitContext) -> tuple[TrainedModel[Clap], Tokenizer]:
        """Train; see `train_clap`."""
        return train_clap(train, valid, context)

    def load(self, folder: Path) -> None:
        """Read weights, settings and tokenizer."""
        self._model = model = load_model(folder, Clap, ClapSettings)
        self._tokenizer = load_tokenizer(folder, model.settings.text.max_tokens)
