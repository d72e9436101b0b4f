"""Settings of the baselines and of their training, which a checkpoint's key depends on; recipes of both sizes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from larpbench.encoders.towers.settings import RANDOM_WEIGHTS, TINY_AUDIO, MelSettings, SwinSettings, WordsShape
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


CLAP_WEIGHTS = "laion/clap-htsat-unfused"
# Of small data sets: an epoch is a few updates, and 100 validation playlists are a noisy judge.
_TINY: dict[str, Any] = {"batch": 32, "learning_rate": 1e-3, "epochs": 20, "patience": 10}
# Validation goes on rising after long plateaus, and an epoch costs a second or two: no early end.
_TINY_CNN: dict[str, Any] = {**_TINY, "epochs": 40, "patience": 0}


def clap_ft(size: BaselineSize) -> ClapRecipe:
    """Return what CLAP-FT is trained with.

    ``paper``: the published model, fine-tuned as LARP is trained (section 4.1.3 of LARP; 45 epochs of batches of 50).
    ``tiny``: the same parts from random weights, on the spectrograms of LARP's ``tiny``.
    """
    if size == "paper":
        training = ClapTraining(chunk=10, precision="bfloat16")
        return ClapRecipe(weights=CLAP_WEIGHTS, training=training)
    text = RobertaSettings(
        hidden=128, layers=2, heads=4, intermediate=256, max_tokens=30, positions=64, padding=0, initial_std=128**-0.5
    )
    return ClapRecipe(model=ClapSettings(audio=TINY_AUDIO, text=text, dim=128), training=ClapTraining(**_TINY))


def co_playlist(size: BaselineSize) -> CnnRecipe:
    """Return what CO-Playlist is trained with.

    ``paper``: ResNet-50 on 96 mel bands, 2,048 numbers, batches of 300 for 100 epochs at 1e-4 as LARP's authors trained
    it; crops of 2 s (128 frames of 96 bands) as in the method's earlier models.
    """
    if size == "paper":
        return CnnRecipe(
            mel=MelSettings(sample_rate=16_000, n_fft=512, hop=256, n_mels=96, f_min=0.0, f_max=8_000.0),
            backbone=ResnetSettings(),
            pairs="playlists",
            crop_s=2.048,
            hop_s=1.024,
            training=LoopSettings(batch=300, epochs=100, precision="bfloat16"),
        )
    return CnnRecipe(
        mel=TINY_AUDIO.mel,
        backbone=ResnetSettings(stem=16, widths=(16, 32, 64), depths=(1, 1, 1), layer="basic"),
        pairs="playlists",
        crop_s=3.0,
        hop_s=2.0,
        training=LoopSettings(**_TINY_CNN),
    )


def cnn(size: BaselineSize) -> CnnRecipe:
    """Return what the CNN like MULE is trained with.

    ``paper``: slices of 3 s of 96 mel bands at 16 kHz, averaged every 2 s, and a temperature of 0.1, as in MULE's
    published code; one NFNet-F0 in place of its two. Crops are mixed with others of the batch after Wang et al. 2022
    ("Towards learning universal audio representations"), on which MULE builds; shares, batch and epochs are ours.
    """
    if size == "paper":
        return CnnRecipe(
            mel=MelSettings(sample_rate=16_000, n_fft=1_024, hop=160, n_mels=96, f_min=0.0, f_max=8_000.0),
            backbone=NfnetSettings(),
            pairs="crops",
            crop_s=3.0,
            hop_s=2.0,
            mixing=(5.0, 2.0),
            training=LoopSettings(batch=128, epochs=100, precision="bfloat16"),
        )
    return CnnRecipe(
        mel=TINY_AUDIO.mel,
        backbone=NfnetSettings(stem=(8, 16), widths=(32, 64, 128), depths=(1, 1, 1), group=16),
        pairs="crops",
        crop_s=3.0,
        hop_s=2.0,
        mixing=(5.0, 2.0),
        training=LoopSettings(**_TINY_CNN),
    )
