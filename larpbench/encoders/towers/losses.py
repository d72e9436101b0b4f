"""Contrastive losses between two towers (LARP, section 3.2; MoCo and ALBEF before it)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_NOT_COMPARED = -1e9  # a logit whose exponential is 0; minus infinity would make soft targets NaN


class Features(NamedTuple):
    """Both sides of tracks or playlists, each (n, dim) float32 rows of length 1."""

    audio: Tensor
    text: Tensor


def contrast(
    queries: Tensor,
    keys: Tensor,
    positive: Tensor,
    temperature: Tensor | float,
    ignored: Tensor | None = None,
    momentum_queries: Tensor | None = None,
    alpha: float = 0.0,
) -> Tensor:
    """Return the mean cross entropy of finding each query's positive among the keys (equations 2, 3, 14, 15).

    Args:
        queries: (n, dim) float32.
        keys: (k, dim) float32.
        positive: (n,) int64, the key that belongs to each query.
        temperature: tau.
        ignored: (n, k) bool, keys that are neither positive nor negative; a positive is never ignored.
        momentum_queries: (n, dim) momentum features of the queries, needed if `alpha` is not 0.
        alpha: Share of the soft target: what the momentum features find similar. 0 is the paper's one-hot target.

    Returns:
        0-d float32.
    """
    hidden = None
    if ignored is not None:
        hidden = ignored.scatter(1, positive[:, None], False)
    logits = _logits(queries, keys, temperature, hidden)
    if not alpha or momentum_queries is None:
        return functional.cross_entropy(logits, positive)
    with torch.no_grad():
        targets = alpha * _logits(momentum_queries, keys, temperature, hidden).softmax(dim=1)
        targets.scatter_add_(1, positive[:, None], torch.full_like(targets[:, :1], 1 - alpha))
    return functional.cross_entropy(logits, targets)


def _logits(queries: Tensor, keys: Tensor, temperature: Tensor | float, hidden: Tensor | None) -> Tensor:
    logits = queries @ keys.T / temperature
    return logits if hidden is None else logits.masked_fill(hidden, _NOT_COMPARED)


def cross_modal(
    tracks: Features,
    keys: Features,
    positive: Tensor,
    temperature: Tensor | float,
    ignored: Tensor | None = None,
    momentum: Features | None = None,
    alpha: float = 0.0,
) -> Tensor:
    """Return Contrast(audio, text), both directions averaged (equations 3 and 14).

    This is WTC (equations 1 and 13) where each row's positive is its own track, and TTC (equations 4, 16 and 17) where
    it is a track that shares a playlist with it, each pair standing in the batch in both orders.

    Args:
        tracks: (n, dim) each, the features that learn.
        keys: (k, dim) each, momentum features of the batch, then of the queue.
        positive: (n,) int64, the key that belongs to each row.
        temperature: tau.
        ignored: (n, k) bool, as of `contrast`.
        momentum: (n, dim) each, the rows' own momentum features, needed if `alpha` is not 0.
        alpha: As of `contrast`.
    """
    own = momentum or Features(None, None)  # type: ignore[arg-type]
    to_text = contrast(tracks.audio, keys.text, positive, temperature, ignored, own.audio, alpha)
    to_audio = contrast(tracks.text, keys.audio, positive, temperature, ignored, own.text, alpha)
    return (to_text + to_audio) / 2
