"""The three losses as pure functions (LARP, section 3.2 and appendix A).

All rows have length 1, so an inner product is the cosine similarity sim() of the paper. Keys that are no true negatives
(the same track again, a track that shares a playlist) are marked in a mask and left out of the denominator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from larpbench.encoders.towers.losses import Features, contrast


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
