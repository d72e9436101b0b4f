"""A residual network without normalisation, on spectrograms.

Brock et al. 2021, "High-performance large-scale image recognition without normalization". What batch normalisation does
for the scale of activations is done by weights of zero mean and unit variance over their fan-in, by activations scaled
to keep unit variance, and by dividing each block's input by its expected deviation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.encoders.baselines.settings import NfnetSettings
from larpbench.encoders.towers.audio_tower import DropPath

_GELU_GAIN = 1.7015043497085571  # 1 / standard deviation of gelu(z), z standard normal
_EPSILON = 1e-4  # of a variance times its fan-in, as in the paper's code


def gelu(x: Tensor) -> Tensor:
    """Return GELU, scaled so that standard normal values keep their variance (Brock et al. 2021b, section 4)."""
    return functional.gelu(x) * _GELU_GAIN


class StandardisedConv(nn.Conv2d):
    """A convolution whose weights have mean 0 and variance 1 / fan-in in each filter, times a learnt gain."""

    def __init__(self, channels: int, filters: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, filters, size, stride, padding=size // 2, groups=groups)
        self.gain = nn.Parameter(torch.ones(filters))
        nn.init.normal_(self.weight, std=self.weight[0].numel() ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def standardised(self) -> Tensor:
        """Return the weights that are used, of the shape of `weight`."""
        fan_in = self.weight[0].numel()
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        scale = (variance * fan_in).clamp(min=_EPSILON).rsqrt() * self.gain[:, None, None, None]
        return (self.weight - mean) * scale

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, filters, height / stride, width / stride) for (n, channels, height, width)."""
        return functional.conv2d(x, self.standardised(), self.bias, self.stride, self.padding, 1, self.groups)


class _SqueezeExcite(nn.Module):
    """Weighs channels by what the whole image shows (Hu et al. 2018); doubled, so that it keeps the scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.layers = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.layers(x.mean(dim=(2, 3)))[:, :, None, None] * x


class _Block(nn.Module):
    """A bottleneck: 1x1, two grouped 3x3, 1x1, squeeze and excite, and what goes around it.

    Args:
        channels: Of its input.
        width: Of its output.
        stride: 2 halves the image.
        deviation: Expected standard deviation of its input.
        drop_path: Rate at which the branch is left out.
        settings: Group and alpha.
    """

    def __init__(
        self, channels: int, width: int, stride: int, deviation: float, drop_path: float, settings: NfnetSettings
    ) -> None:
        super().__init__()
        inner = max(width // 2, 1)
        groups = max(inner // settings.group, 1)
        self.deviation, self.alpha, self.stride = deviation, settings.alpha, stride
        self.around = StandardisedConv(channels, width, 1) if stride > 1 or channels != width else None
        self.first = StandardisedConv(channels, inner, 1)
        self.second = StandardisedConv(inner, inner, 3, stride, groups)
        self.third = StandardisedConv(inner, inner, 3, 1, groups)
        self.fourth = StandardisedConv(inner, width, 1)
        self.excite = _SqueezeExcite(width)
        self.gain = nn.Parameter(torch.zeros(()))  # the branch fades in: at first a block is what goes around it
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        active = gelu(x) / self.deviation
        around = x
        if self.around is not None:
            around = functional.avg_pool2d(active, 2, ceil_mode=True) if self.stride > 1 else active
            around = self.around(around)
        branch = self.second(gelu(self.first(active)))
        branch = self.fourth(gelu(self.third(gelu(branch))))
        return around + self.alpha * self.gain * self.drop_path(self.excite(branch))


class Nfnet(nn.Module):
    """Images to vectors: the mean of the last stage's channels over the image.

    Args:
        settings: Shape.

    Attributes:
        width: Length of the vectors.
    """

    def __init__(self, settings: NfnetSettings) -> None:
        super().__init__()
        self.width = settings.widths[-1]
        last = len(settings.stem) - 1
        channels = (1, *settings.stem)
        self.stem = nn.ModuleList(
            StandardisedConv(channels[place], width, 3, 2 if place in (0, last) else 1)
            for place, width in enumerate(settings.stem)
        )
        blocks, before, done, variance = [], settings.stem[-1], 0, 1.0
        for stage, (width, depth) in enumerate(zip(settings.widths, settings.depths, strict=True)):
            for place in range(depth):
                stride = 2 if stage and not place else 1
                rate = settings.drop_path * done / sum(settings.depths)
                blocks.append(_Block(before, width, stride, variance**0.5, rate, settings))
                variance = (1.0 if stride > 1 or before != width else variance) + settings.alpha**2
                before, done = width, done + 1
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Return (n, width) for (n, 1, height, width)."""
        x = images
        for place, conv in enumerate(self.stem):
            x = conv(gelu(x) if place else x)
        for block in self.blocks:
            x = block(x)
        return gelu(x).mean(dim=(2, 3))
