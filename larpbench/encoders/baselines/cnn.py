"""The audio-only baselines: a convolutional network on log-mel crops, and the projection that its loss compares."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.encoders.baselines.nfnet import Nfnet
from larpbench.encoders.baselines.settings import CnnRecipe, ResnetSettings

_LEAST_DEVIATION = 0.1  # dB: a band that is silent everywhere
_NEPERS = math.log(10) / 10  # from dB to the natural logarithm of the power
_SHARES = (1e-3, 1 - 1e-3)


class _Resnet(nn.Module):
    """The residual network of transformers on images of one channel."""

    def __init__(self, settings: ResnetSettings) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        self.width = settings.widths[-1]
        config = ResNetConfig(
            num_channels=1,
            embedding_size=settings.stem,
            hidden_sizes=list(settings.widths),
            depths=list(settings.depths),
            layer_type=settings.layer,
        )
        self.layers: Any = ResNetModel(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).pooler_output.flatten(1)


class AudioCnn(nn.Module):
    """Crops of log-mel spectrograms to vectors.

    Args:
        settings: Shape. Weights are random.

    Attributes:
        width: Length of the vectors.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: CnnRecipe) -> None:
        super().__init__()
        self.settings = settings
        shape = settings.backbone
        self.backbone = _Resnet(shape) if isinstance(shape, ResnetSettings) else Nfnet(shape)
        self.width = self.backbone.width
        self.projector = nn.Sequential(
            nn.Linear(self.width, self.width), nn.ReLU(), nn.Linear(self.width, settings.projection)
        )
        self.register_buffer("mean", torch.zeros(settings.mel.n_mels))
        self.register_buffer("deviation", torch.ones(settings.mel.n_mels))

    def set_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """Set what the mel bands are standardised with, (n_mels,) each in dB: those of the train tracks."""
        self.mean.copy_(mean)
        self.deviation.copy_(variance.sqrt().clamp(min=_LEAST_DEVIATION))

    def forward(self, crops: Tensor) -> Tensor:
        """Return (n, width) float32 for (n, frames, n_mels) float32 in dB."""
        standardised = (crops - self.mean) / self.deviation
        return self.backbone(standardised[:, None]).float()

    def projected(self, crops: Tensor) -> Tensor:
        """Return (n, projection) float32 rows of length 1, which the loss compares."""
        return functional.normalize(self.projector(self(crops)).float(), dim=1)

    def encoded(self, mels: Tensor) -> Tensor:
        """Return (n, width) float32 rows of length 1: the mean over all crops of a track.

        Args:
            mels: (n, windows, frames, n_mels) float32 in dB.
        """
        length, hop = (self.frames(seconds) for seconds in (self.settings.crop_s, self.settings.hop_s))
        starts = crop_starts(mels.shape[2], length, hop)
        parts = [self(mels[:, window, start : start + length]) for window in range(mels.shape[1]) for start in starts]
        return functional.normalize(torch.stack(parts).mean(dim=0), dim=1)

    def frames(self, seconds: float) -> int:
        """Return how many frames of the spectrogram so many seconds are."""
        mel = self.settings.mel
        return max(round(seconds * mel.sample_rate / mel.hop), 1)


def crop_starts(frames: int, length: int, hop: int) -> list[int]:
    """Return where crops start, every `hop` frames; the last one ends with the spectrogram."""
    last = max(frames - length, 0)
    return sorted({*range(0, last, hop), last})


def random_crops(mels: Tensor, length: int) -> Tensor:
    """Return a crop of each spectrogram, from anywhere in it, with draws from torch's generator of the CPU.

    Args:
        mels: (n, frames, n_mels).
        length: Frames of a crop; all of a spectrogram that has fewer.

    Returns:
        (n, min(length, frames), n_mels).
    """
    n, frames, _ = mels.shape
    length = min(length, frames)
    starts = torch.randint(frames - length + 1, (n, 1))
    return mels[torch.arange(n)[:, None], starts + torch.arange(length)]


def mixed(crops: Tensor, beta: tuple[float, float]) -> Tensor:
    """Return crops with others of the batch mixed into them, as sounds are: their powers are added.

    Args:
        crops: (n, frames, n_mels) in dB.
        beta: Parameters of the beta distribution of a crop's own share; drawn with torch's generator of the CPU.
    """
    own = torch.distributions.Beta(*beta).sample((len(crops), 1, 1)).clamp(*_SHARES).to(crops.device)
    other = crops[torch.randperm(len(crops)).to(crops.device)]
    return torch.logaddexp(crops * _NEPERS + own.log(), other * _NEPERS + (1 - own).log()) / _NEPERS
