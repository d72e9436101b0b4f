"""The three losses as pure functions (LARP, section 3.2 and appendix A).

All rows have length 1, so an inner product is the cosine similarity sim() of the paper. Keys that are no true negatives
(the same track again, a track that shares a playlist) are marked in a mask and leave the denominator.
"""

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


def track_playlist(
    tracks: Features,
    playlists: Features,
    queue: Features,
    temperature: Tensor | float,
    batch_holds: Tensor,
    queue_holds: Tensor,
) -> Tensor:
    """Return TPC, the mean of its four terms (equations 5, 20, 21 and 22).

    Row i is a track and a playlist that holds it. A playlist is contrasted with the other tracks of the batch and the
    queue's, a track with the other playlists of the batch and the queue's tracks.

    Args:
        tracks: (n, dim) each, features that learn.
        playlists: (n, dim) each, fused from the playlists' other tracks.
        queue: (k, dim) each, momentum features of earlier tracks.
        temperature: tau.
        batch_holds: (n, n) bool, whether playlist i holds track j of the batch.
        queue_holds: (n, k) bool, whether playlist i holds track j of the queue.
    """
    positive = torch.arange(len(tracks.audio), device=tracks.audio.device)
    held = torch.cat([batch_holds, queue_holds], dim=1)
    holders = torch.cat([batch_holds.T, queue_holds], dim=1)
    terms = []
    for fused, other, queued in (
        (playlists.audio, tracks.text, queue),
        (playlists.text, tracks.audio, Features(queue.text, queue.audio)),
    ):
        terms.append(contrast(fused, torch.cat([other, queued.text]), positive, temperature, held))
        terms.append(contrast(other, torch.cat([fused, queued.audio]), positive, temperature, holders))
    return torch.stack(terms).mean()
