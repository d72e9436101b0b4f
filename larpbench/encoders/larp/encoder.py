"""LARP as an encoder: e = mean(a, t) of every track, or one of the two (section 3.3, equations 10 and 11)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from larpbench.datasets.schema import Split
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.larp.model import Larp, load_larp
from larpbench.encoders.larp.settings import HeadSettings
from larpbench.encoders.larp.training import train_stage
from larpbench.encoders.towers.encoder import TwoTowerEncoder
from larpbench.encoders.towers.tokens import Tokenizer
from larpbench.training.loop import TrainedModel


class LarpEncoder(TwoTowerEncoder[Larp]):
    """A LARP model, or one side of it."""

    def train(self, train: Split, valid: Split, context: FitContext) -> tuple[TrainedModel[Larp], Tokenizer | None]:
        """Train one stage; see `train_stage`."""
        return train_stage(train, valid, context)

    def load(self, folder: Path) -> None:
        """Read weights, settings and, for the text side, the tokenizer."""
        self._model, self._tokenizer = load_larp(folder, with_text=self._view != "audio")

    def text(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) rows of length 1: the side of the captions, or of the frozen encoder of captions."""
        if isinstance(self.model.settings.text, HeadSettings):
            return self.model.text_features(torch.from_numpy(batch.inputs[-1]).to(self._device))
        return super().text(batch)
