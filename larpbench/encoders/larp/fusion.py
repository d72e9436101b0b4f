"""Fusion of the tracks of a playlist into one vector (equations 6, 23 and 24)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


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
