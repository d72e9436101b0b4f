"""The memory of LARP's training: a momentum copy of the model, a queue of keys, the latest features of all tracks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from larpbench.encoders.larp.model import Larp
from larpbench.encoders.towers.losses import Features

_EMPTY = -1


class TrackQueue(nn.Module):
    """Momentum features of the last tracks, first in, first out, with the tracks they are of (section 3.1).

    The tracks are kept so that no track is contrasted with one that shares a playlist with it.

    Args:
        length: How many tracks it holds.
        dim: Length of the features.
    """

    audio: Tensor
    text: Tensor
    tracks: Tensor
    next: Tensor

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("audio", torch.zeros(length, dim))
        self.register_buffer("text", torch.zeros(length, dim))
        self.register_buffer("tracks", torch.full((length,), _EMPTY))
        self.register_buffer("next", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, features: Features, tracks: Tensor) -> None:
        """Add a batch; the oldest rows are dropped.

        Args:
            features: (n, dim) each.
            tracks: (n,) int64.
        """
        length = len(self.tracks)
        kept = min(len(tracks), length)
        if not kept:
            return
        places = (self.next + torch.arange(kept, device=self.tracks.device)) % length
        self.audio[places] = features.audio[-kept:].to(self.audio.dtype)
        self.text[places] = features.text[-kept:].to(self.text.dtype)
        self.tracks[places] = tracks[-kept:]
        self.next.copy_((self.next + kept) % length)

    def held(self) -> tuple[Features, Tensor]:
        """Return the features and tracks of all filled places; (n, dim) each and (n,) int64."""
        filled = self.tracks != _EMPTY
        return Features(self.audio[filled], self.text[filled]), self.tracks[filled]


class LookupTable(nn.Module):
    """The latest features of all train tracks, without gradient: what playlists are fused from (section 3.2.3)."""

    audio: Tensor
    text: Tensor

    def __init__(self, n_tracks: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("audio", torch.zeros(n_tracks, dim))
        self.register_buffer("text", torch.zeros(n_tracks, dim))

    @torch.no_grad()
    def update(self, features: Features, tracks: Tensor) -> None:
        """Replace the features of some tracks: (n, dim) each, (n,) int64."""
        self.audio[tracks] = features.audio.detach().to(self.audio.dtype)
        self.text[tracks] = features.text.detach().to(self.text.dtype)


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
