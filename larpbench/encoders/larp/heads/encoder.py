"""Heads as an encoder: [views side by side; w times the mean of the heads], or one side of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.encoders.card import VIEWS, View
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.frozen_views import beside, frozen_vectors
from larpbench.encoders.larp.heads.model import Heads, load_heads
from larpbench.encoders.larp.heads.training import train_heads
from larpbench.encoders.towers.encoder import TrainedEncoder
from larpbench.encoders.towers.tokens import Tokenizer
from larpbench.training.loop import TrainedModel


class HeadsEncoder(TrainedEncoder[Heads]):
    """Heads beside the views that they stand on.

    Args:
        views: Names of the views, which a checkpoint keeps.
        side: The side that it reads; None for all.
    """

    def __init__(self, views: tuple[str, ...], side: View | None = None) -> None:
        super().__init__(side)
        self._views = views

    def train(self, train: Split, valid: Split, context: FitContext) -> tuple[TrainedModel[Heads], Tokenizer | None]:
        """Train one stage; see `train_heads`."""
        return train_heads(train, valid, context, self._views), None

    def load(self, folder: Path) -> None:
        """Read weights and settings."""
        self._model = load_heads(folder)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32, see `beside`; of a side, its view and its head."""
        model, frozen = self.model, frozen_vectors(batch.inputs)
        weight = model.settings.weight
        if not weight:
            return frozen
        first = VIEWS.index(self._view) if self._view else 0
        return beside(frozen, model.learnt(batch.inputs, first), weight)
