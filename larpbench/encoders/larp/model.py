"""LARP's model: an audio tower, a text tower, one projection each into a common space (section 3.1)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.encoders.larp.fusion import AttentionFusion, MeanFusion
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings
from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.text_tower import TextTower


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


class MomentumCopy(nn.Module):
    """A second model whose weights follow the first: its features are the keys of the contrastive losses.

    Args:
        model: The model that learns.
        momentum: m; each update sets its weights to m times themselves plus (1 - m) times the model's.
    """

    def __init__(self, model: Larp, momentum: float) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def follow(self, model: Larp) -> None:
        """Move the weights towards the model's; running statistics are taken as they are."""
        ours, theirs = ([each.detach() for each in one.parameters()] for one in (self.model, model))
        torch._foreach_lerp_(ours, theirs, 1.0 - self.momentum)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
