"""LARP's model: an audio tower, a text tower, one projection each into a common space (section 3.1).

While training, the fusion makes one vector of the tracks of a playlist (equations 6, 23 and 24).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.encoders.larp.fusion import AttentionFusion, MeanFusion
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings
from larpbench.encoders.towers.audio_tower import AudioTower, in_chunks
from larpbench.encoders.towers.inputs import TwoTowers
from larpbench.encoders.towers.settings import BertSettings
from larpbench.encoders.towers.text_tower import TextTower
from larpbench.encoders.towers.tokens import Tokenizer, load_tokenizer
from larpbench.encoders.towers.training import load_model
from larpbench.training.ranks import ALONE


class HeadTower(nn.Module):
    """In place of a tower: a two-layer network on the frozen embeddings of another encoder."""

    def __init__(self, settings: HeadSettings) -> None:
        super().__init__()
        self.width = settings.hidden
        self.chunk: int | None = None
        self.ranks = ALONE
        self.layers = nn.Sequential(
            nn.Linear(settings.inputs, settings.hidden),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, settings.hidden),
            nn.GELU(),
            nn.Dropout(settings.dropout),
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return (n, hidden) for (n, inputs) float32; rows are scaled to length sqrt(inputs) first."""
        length = embeddings.shape[1] ** 0.5
        return in_chunks(self.layers, None, functional.normalize(embeddings, dim=1) * length, ranks=self.ranks)


class Larp(TwoTowers):
    """Both towers, their projections (equation 10), the fusion of playlists, and the temperature.

    Args:
        settings: Shapes.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        audio, text = settings.audio, settings.text
        self.audio = HeadTower(audio) if isinstance(audio, HeadSettings) else AudioTower(audio)
        self.text = HeadTower(text) if isinstance(text, HeadSettings) else TextTower(text)
        self.audio_projection = nn.Linear(self.audio.width, settings.dim)
        self.text_projection = nn.Linear(self.text.width, settings.dim)
        self.fusion = AttentionFusion(settings.dim) if settings.fusion == "attention" else MeanFusion()
        temperature = torch.tensor(settings.temperature)
        if settings.learn_temperature:
            self.temperature = nn.Parameter(temperature)
        else:
            self.register_buffer("temperature", temperature)


def load_larp(folder: Path, with_text: bool = True) -> tuple[Larp, Tokenizer | None]:
    """Return the model in a folder, and its tokenizer if it has one.

    Args:
        folder: What `save_model` wrote.
        with_text: Whether a text tower's tokenizer is needed.

    Raises:
        DataError: If something is missing or damaged, or weights and settings are of different models.
    """
    model = load_model(folder, Larp, ModelSettings)
    text = model.settings.text
    tokens = load_tokenizer(folder, text.max_tokens) if with_text and isinstance(text, BertSettings) else None
    return model, tokens
