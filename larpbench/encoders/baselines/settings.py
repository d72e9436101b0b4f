"""What the baselines are made of, and how they are trained: everything that a checkpoint's key depends on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from larpbench.encoders.towers.settings import RANDOM_WEIGHTS, MelSettings, SwinSettings, WordsShape
from larpbench.training.settings import LoopSettings, Settings

BaselineSize = Literal["tiny", "paper"]
BASELINE_SIZES: tuple[BaselineSize, ...] = ("tiny", "paper")


class NfnetSettings(Settings):
    """A normaliser-free residual network; the defaults are NFNet-F0 (Brock et al. 2021, table 1)."""

    kind: Literal["nfnet"] = "nfnet"
    stem: tuple[int, ...] = (16, 32, 64, 128)
    """Channels of the first convolutions; the first and the last of them halve the image."""
    widths: tuple[int, ...] = (256, 512, 1_536, 1_536)
    depths: tuple[int, ...] = (1, 2, 6, 3)
    group: int = 128
    """Channels that a grouped convolution sees."""
    alpha: float = 0.2
    """Share of a block's branch in the sum."""
    drop_path: float = 0.1
    """Rate at which the last block's branch is left out; that of MULE's published code, not of F0 (0.25)."""


class ResnetSettings(Settings):
    """A residual network with batch normalisation; the defaults are ResNet-50 (He et al. 2016)."""

    kind: Literal["resnet"] = "resnet"
    stem: int = 64
    widths: tuple[int, ...] = (256, 512, 1_024, 2_048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    layer: Literal["basic", "bottleneck"] = "bottleneck"


class CnnRecipe(Settings):
    """An audio-only network, and the pairs that it is trained on with NT-Xent."""

    mel: MelSettings
    backbone: Annotated[NfnetSettings | ResnetSettings, Field(discriminator="kind")]
    pairs: Literal["crops", "playlists"]
    """Two crops of one track, or one crop each of two tracks that share a playlist."""
    crop_s: float
    """Length of a crop in seconds, in training and when tracks are encoded."""
    hop_s: float
    """Between the crops whose vectors are averaged when tracks are encoded."""
    projection: int = 128
    """Length of the vectors that the loss compares; tracks are encoded as the layer before."""
    temperature: float = 0.1
    mixing: tuple[float, float] | None = None
    """Parameters of the beta distribution of a crop's own share where others are mixed into it; None: no mixing."""
    training: LoopSettings


class RobertaSettings(Settings):
    """CLAP's text tower; the defaults are the published size."""

    vocabulary: int = 50_265
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3_072
    dropout: float = 0.1
    max_tokens: int = 77
    positions: int = 514
    padding: int = 1
    """Id of the padding token."""
    initial_std: float = 0.02


class ClapSettings(Settings):
    """CLAP: both towers, and the common space that two layers on each lead to."""

    audio: SwinSettings = SwinSettings()
    text: RobertaSettings = RobertaSettings()
    dim: int = 512
    temperature: float = 0.07
    """At first; it is learnt."""


class ClapTraining(LoopSettings):
    """How CLAP is fine-tuned."""

    chunk: int | None = None
    """Tracks whose activations are kept at once (gradient caching); None: all of a batch."""


class ClapRecipe(Settings):
    """CLAP, the weights that it starts from, and its training."""

    model: ClapSettings = ClapSettings()
    weights: str = RANDOM_WEIGHTS
    """``random``, a folder, or the name of a checkpoint in the hub cache, which brings the tokenizer as well."""
    words: WordsShape = WordsShape()
    """Of the tokenizer that is built from the train captions, where the weights are random."""
    training: ClapTraining = ClapTraining()
