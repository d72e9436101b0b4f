"""LARP's model: an audio tower, a text tower, one projection each into a common space (section 3.1).

While training, the fusion makes one vector of the tracks of a playlist (equations 6, 23 and 24).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.encoders.larp.settings import HeadSettings, ModelSettings
from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.settings import BertSettings
from larpbench.encoders.towers.text_tower import TextTower
from larpbench.encoders.towers.tokens import Tokenizer, load_tokenizer
from larpbench.encoders.towers.training import load_model


class HeadTower(nn.Module):
    """In place of a tower: a two-layer network on the frozen embeddings of another encoder."""

    def __init__(self, settings: HeadSettings) -> None:
        super().__init__()
        self.width = settings.hidden
        self.chunk: int | None = None
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
        return self.layers(functional.normalize(embeddings, dim=1) * length)


class MeanFusion(nn.Module):
    """Plain mean of the tracks: the paper's row "w/o fusion"."""

    def forward(self, tracks: Tensor, present: Tensor) -> Tensor:
        """Return (n, dim): the mean over the present rows.

        Args:
            tracks: (n, J, dim) float32.
            present: (n, J) bool, at least one true in each row.
        """
        return _mean_of_present(tracks, present)


class AttentionFusion(nn.Module):
    """One layer of single-head self-attention, then the mean of its rows; shared by audio and text (equation 24).

    Padded rows neither attend nor are attended to, so a playlist's vector depends on its own tracks only.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, tracks: Tensor, present: Tensor) -> Tensor:
        """Return (n, dim); arguments as of `MeanFusion.forward`."""
        similarity = self.query(tracks) @ self.key(tracks).transpose(1, 2) / math.sqrt(tracks.shape[-1])
        weights = similarity.masked_fill(~present[:, None, :], -torch.inf).softmax(dim=-1)
        return _mean_of_present(weights @ self.value(tracks), present)


def _mean_of_present(rows: Tensor, present: Tensor) -> Tensor:
    kept = present.unsqueeze(-1).to(rows.dtype)
    return (rows * kept).sum(dim=1) / kept.sum(dim=1)


class Larp(nn.Module):
    """Both towers, their projections, the fusion of playlists, and the temperature.

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

    def audio_features(self, *inputs: Tensor) -> Tensor:
        """Return (n, dim) float32 rows of length 1: the audio side of tracks (equation 10)."""
        return functional.normalize(self.audio_projection(self.audio(*inputs)).float(), dim=1)

    def text_features(self, *inputs: Tensor) -> Tensor:
        """Return (n, dim) float32 rows of length 1: the text side of tracks (equation 10)."""
        return functional.normalize(self.text_projection(self.text(*inputs)).float(), dim=1)


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
