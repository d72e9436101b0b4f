"""The network of MuQ and MusicFM: two residual convolutions, a linear layer and a conformer of 12 layers.

Its tensors have the names of the published checkpoints. Heads and codebooks, which only training needs, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoder

from larpbench.encoders.adapters.muq.front_end import BANDS

LAYERS = 12
ROTARY_BASE = 10_000
_DOWN = 4  # each of two convolutions halves bands and frames


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network; the defaults are those of the published checkpoints."""

    channels: int = 512
    width: int = 1_024
    heads: int = 16
    intermediate: int = 4_096
    kernel: int = 31


class Network(nn.Module):
    """From normalised log-mel spectrograms to the states between the layers.

    Args:
        sizes: Of its tensors.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.conv = _FrontEnd(sizes)
        self.conformer = _conformer(sizes)

    def forward(self, mel: Tensor, last: int) -> list[Tensor]:
        """Return hidden states 0 to `last`, (n, ceil(frames / 4), width) each.

        Args:
            mel: (n, 128, frames).
            last: 0 is what enters the first layer of the conformer, 1 to 11 what that layer gives, and 12 what the
                last one gives after the final normalisation.
        """
        states = self.conv(mel)
        positions = self.conformer.embed_positions(states)
        found = [states]
        for block in self.conformer.layers[:last]:
            states = cast("Callable[..., Tensor]", block)(states, relative_position_embeddings=positions)
            states = states[0] if isinstance(states, tuple) else states  # with attention weights, in transformers 4
            found.append(states)
        if last == LAYERS:
            found[LAYERS] = self.conformer.layer_norm(found[LAYERS])
        return found


class _FrontEnd(nn.Module):
    """Two residual convolutions, then channels and bands of a frame side by side through a linear layer."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.conv = nn.Sequential(_Residual(1, sizes.channels), _Residual(sizes.channels, sizes.channels))
        self.linear = nn.Linear(sizes.channels * BANDS // _DOWN, sizes.width)

    def forward(self, mel: Tensor) -> Tensor:
        """Return (n, frames / 4, width) of (n, 128, frames)."""
        return self.linear(self.conv(mel[:, None]).flatten(1, 2).transpose(1, 2))


class _Residual(nn.Module):
    """Two convolutions beside a third one; the first and the third halve bands and frames."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs)
        self.conv3, self.bn3 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs)

    def forward(self, images: Tensor) -> Tensor:
        inner = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.bn3(self.conv3(images)))


def _conformer(sizes: Sizes) -> Wav2Vec2ConformerEncoder:
    """Return the conformer, configured as ``facebook/wav2vec2-conformer-rope-large-960h-ft``, with 12 layers."""
    config = Wav2Vec2ConformerConfig(
        hidden_size=sizes.width,
        num_hidden_layers=LAYERS,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.intermediate,
        hidden_act="swish",
        layer_norm_eps=1e-5,
        position_embeddings_type="rotary",
        rotary_embedding_base=ROTARY_BASE,
        conv_depthwise_kernel_size=sizes.kernel,
        num_conv_pos_embeddings=1,
        num_conv_pos_embedding_groups=1,
    )
    config._attn_implementation = "sdpa"
    conformer = Wav2Vec2ConformerEncoder(config)  # type: ignore[no-untyped-call]
    del conformer.pos_conv_embed  # transformers itself never calls it
    return conformer
