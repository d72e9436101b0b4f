"""Pretrained models whose audio side and text side share a space: one side encodes, or the mean of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from larpbench.encoders.encoder import TrackBatch
from larpbench.runtime import torch_device

Side = Callable[[TrackBatch], Tensor]
"""Returns (n, dim) float32, in the space that the sides share."""


class MeanOfSides:
    """One side or both: then the mean of their vectors.

    Args:
        sides: At least one.
    """

    def __init__(self, sides: Sequence[Side]) -> None:
        self._sides = sides

    @torch.inference_mode()
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32, in the precision of the weights whatever autocast the caller has set."""
        with torch.autocast(torch_device(), enabled=False):
            return torch.stack([side(batch) for side in self._sides]).mean(dim=0).cpu().numpy()
