"""The two sizes of the baselines: one that a small machine trains in minutes, and that of the papers."""

from __future__ import annotations

from typing import Any

from larpbench.encoders.baselines.settings import (
    BaselineSize,
    ClapRecipe,
    ClapSettings,
    ClapTraining,
    CnnRecipe,
    NfnetSettings,
    ResnetSettings,
    RobertaSettings,
)
from larpbench.encoders.towers.settings import TINY_AUDIO, MelSettings
from larpbench.training.settings import LoopSettings

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
