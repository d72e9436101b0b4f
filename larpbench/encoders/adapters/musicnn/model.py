"""The network of Pons & Serra (2019), "musicnn: pre-trained convolutional neural networks for music audio tagging".

A front-end whose filters have musical shapes (Pons et al. 2016), a densely connected mid-end, temporal pooling and two
dense layers. Batch normalisation follows the ReLU everywhere, as in the published TensorFlow code.

Shapes: b patches, t frames (187 when trained, 3 s), 96 mel bands.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.checkpoint_tensors import facts_of, require_tensors, say_casts
from larpbench.training.tensors import read_tensors

MEL_BANDS = 96
PENULTIMATE = 200
N_TAGS = 50
_TIMBRAL = 204  # int(1.6 * 128) filters of either timbral shape
_TEMPORAL = 51  # int(1.6 * 32) filters of each temporal length
_MID = 64
FRONT_CHANNELS = 2 * _TIMBRAL + 3 * _TEMPORAL
"""561 channels leave the front-end."""
CHANNELS = FRONT_CHANNELS + 3 * _MID
"""753 channels are pooled."""
_EPSILON, _MOMENTUM = 1e-3, 0.01  # TensorFlow's defaults, the momentum in torch's counting


class MusicnnOutput(NamedTuple):
    """What the network computes of b patches.

    Attributes:
        logits: (b, 50); their sigmoid is the likelihood of the tags.
        penultimate: (b, 200).
        max_pool: (b, 753) maximum over the frames.
        mean_pool: (b, 753) mean over the frames.
    """

    logits: Tensor
    penultimate: Tensor
    max_pool: Tensor
    mean_pool: Tensor


class _FrontBlock(nn.Module):
    """Filters over time and frequency, then the maximum over frequency: (b, 1, t, 96) -> (b, filters, t).

    Tall filters (7 frames by a share of the bands) see timbre wherever in frequency it lies, long ones (up to 128
    frames of one band) see rhythm. An even length is padded one frame more after than before.
    """

    def __init__(self, filters: int, frames: int, bands: int) -> None:
        super().__init__()
        self._padding = (0, 0, (frames - 1) // 2, frames // 2)
        self.conv = nn.Conv2d(1, filters, (frames, bands))
        self.norm = nn.BatchNorm2d(filters, eps=_EPSILON, momentum=_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(functional.pad(x, self._padding)).relu_()).amax(dim=3)


class _MidBlock(nn.Module):
    """A convolution over 7 frames and all channels: (b, channels, t) -> (b, 64, t)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, _MID, 7, padding=3)
        self.norm = nn.BatchNorm1d(_MID, eps=_EPSILON, momentum=_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).relu_())


class Musicnn(nn.Module):
    """Log-mel patches to tags; an ordinary module that can be fine-tuned."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=_EPSILON, momentum=_MOMENTUM)
        self.front = nn.ModuleList(
            [
                _FrontBlock(_TIMBRAL, 7, int(0.4 * MEL_BANDS)),
                _FrontBlock(_TIMBRAL, 7, int(0.7 * MEL_BANDS)),
                _FrontBlock(_TEMPORAL, 128, 1),
                _FrontBlock(_TEMPORAL, 64, 1),
                _FrontBlock(_TEMPORAL, 32, 1),
            ]
        )
        self.mid = nn.ModuleList([_MidBlock(FRONT_CHANNELS), _MidBlock(_MID), _MidBlock(_MID)])
        self.pool_norm = nn.BatchNorm1d(2 * CHANNELS, eps=_EPSILON, momentum=_MOMENTUM)
        self.dense = nn.Linear(2 * CHANNELS, PENULTIMATE)
        self.dense_norm = nn.BatchNorm1d(PENULTIMATE, eps=_EPSILON, momentum=_MOMENTUM)
        self.tags = nn.Linear(PENULTIMATE, N_TAGS)
        self.dropout = nn.Dropout(0.5)

    def forward(self, patches: Tensor) -> MusicnnOutput:
        """Return tags and features of patches.

        Args:
            patches: (b, t, 96) log-mel as `frontend.log_mel` gives it.
        """
        x = self.input_norm(patches[:, None])
        front = torch.cat([block(x) for block in self.front], dim=1)

        first = self.mid[0](front)
        second = first + self.mid[1](first)
        third = second + self.mid[2](second)
        dense = torch.cat([front, first, second, third], dim=1)

        max_pool, mean_pool = dense.amax(dim=2), dense.mean(dim=2)
        pooled = torch.stack([max_pool, mean_pool], dim=2).flatten(1)  # maximum and mean of a channel side by side
        hidden = self.dense(self.dropout(self.pool_norm(pooled))).relu()
        penultimate = self.dense_norm(hidden)
        return MusicnnOutput(self.tags(self.dropout(penultimate)), penultimate, max_pool, mean_pool)


def load_musicnn(path: Path) -> Musicnn:
    """Return the network with the weights of a safetensors file, ready for inference.

    Raises:
        DataError: If they are not exactly those of the network.
    """
    model = Musicnn()
    found = read_tensors(path)
    facts = facts_of(found)
    require_tensors(facts, facts_of(model.state_dict()), "musicnn", path)
    say_casts(facts, path)
    model.load_state_dict(found, strict=False)  # what it may lack are counters of training
    return model.eval()
