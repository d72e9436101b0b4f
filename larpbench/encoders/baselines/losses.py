"""The losses of the baselines as pure functions. Rows have length 1, so an inner product is their cosine."""

from __future__ import annotations

import torch
from torch import Tensor

from larpbench.encoders.towers.losses import Features, contrast, cross_modal


def nt_xent(vectors: Tensor, positive: Tensor, temperature: Tensor | float, ignored: Tensor | None = None) -> Tensor:
    """Return the normalised temperature-scaled cross entropy of finding each row's positive (Chen et al. 2020, eq. 1).

    All other rows of the batch are negatives, but for those that are ignored.

    Args:
        vectors: (n, dim) float32.
        positive: (n,) int64, another row for each row.
        temperature: tau.
        ignored: (n, n) bool, rows that are neither positive nor negative; a positive is never ignored.

    Returns:
        0-d float32.
    """
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    return contrast(vectors, vectors, positive, temperature, itself if ignored is None else itself | ignored)


def info_nce(audio: Tensor, text: Tensor, temperature: Tensor | float) -> Tensor:
    """Return the symmetric contrastive loss of CLAP: each row's text among all texts, and the other way around.

    Args:
        audio: (n, dim) float32.
        text: (n, dim) float32, row by row of the same tracks.
        temperature: tau.

    Returns:
        0-d float32.
    """
    both = Features(audio, text)
    return cross_modal(both, both, torch.arange(len(audio), device=audio.device), temperature)
