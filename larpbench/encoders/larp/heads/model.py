"""The model: a map of each frozen view into a common space (equation 10), and the fusion of playlists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.encoders.larp.fusion import AttentionFusion, MeanFusion
from larpbench.encoders.larp.heads.settings import HeadsSettings
from larpbench.encoders.towers.training import load_model

_ROWS = 8_192


class Heads(nn.Module):
    """One head a view. There is no bias: the views are centred, and a common vector would only hide their differences.

    Args:
        settings: Shapes.
    """

    def __init__(self, settings: HeadsSettings) -> None:
        super().__init__()
        self.settings = settings
        self.heads = nn.ModuleList(_head(dim, settings) for dim in settings.dims)
        self.dropout = nn.Dropout(settings.dropout)
        self.fusion = AttentionFusion(settings.width) if settings.fusion == "attention" else MeanFusion()
        if isinstance(self.fusion, AttentionFusion):
            nn.init.eye_(self.fusion.value.weight)  # so that a fused playlist lies among its tracks from the start

    def side(self, number: int, rows: Tensor) -> Tensor:
        """Return (n, width) rows of length 1: what the head of a view makes of its vectors, (n, dim) float32."""
        return functional.normalize(self.heads[number](self.dropout(rows)), dim=1)

    def features(self, views: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return both sides of tracks, (n, width) each, rows of length 1.

        Where there is one view, the sides are the same head twice: they differ by what is dropped while training.

        Args:
            views: (n, dim) float32 each.
        """
        return self.side(0, views[0]), self.side(len(views) - 1, views[-1])

    @torch.inference_mode()
    def learnt(self, views: Sequence[np.ndarray], first: int = 0) -> np.ndarray:
        """Return mean(f_a, f_t) of tracks in eval mode, (n, width) float32 (equation 11).

        Args:
            views: (n, dim) float32 each.
            first: Number of the first of them; of one side, its number.
        """
        self.eval()
        device = next(self.parameters()).device
        parts = [np.empty((0, self.settings.width), dtype=np.float32)]
        for start in range(0, len(views[0]), _ROWS):
            rows = [torch.as_tensor(view[start : start + _ROWS]).to(device) for view in views]
            sides = [self.side(number, each) for number, each in enumerate(rows, first)]
            parts.append(torch.stack(sides).mean(dim=0).cpu().numpy())
        return np.concatenate(parts)


def _head(dim: int, settings: HeadsSettings) -> nn.Module:
    if not settings.hidden:
        return nn.Linear(dim, settings.width, bias=False)
    return nn.Sequential(
        nn.Linear(dim, settings.hidden), nn.GELU(), nn.Linear(settings.hidden, settings.width, bias=False)
    )


def load_heads(folder: Path) -> Heads:
    """Return the model in a folder, in eval mode.

    Raises:
        DataError: If something is missing or damaged, or weights and settings are of different models.
    """
    return load_model(folder, Heads, HeadsSettings)
