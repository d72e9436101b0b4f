"""MULE (McCallum et al. 2022): a network trained to tell which windows are of the same recording."""

from __future__ import annotations

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.reference import Reference
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import Weights
from larpbench.runtime import torch_device


def build_mule(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the fetched weights."""
    from larpbench.encoders.adapters.mule.encoder import MuleEncoder

    return MuleEncoder(context.weights_folder, torch_device())


def _reference() -> Reference:
    from larpbench.encoders.adapters.mule.reference import MULE

    return MULE


MULE = EncoderSpec(
    EncoderCard(
        name="mule",
        version=1,
        summary="MULE (McCallum et al. 2022)",
        modalities=("audio",),
        dim=1_728,
        sample_rate=16_000,
        window_s=3.0,
        pooling="mean over windows of 3 s, one every 2 s",
        weights="pretrained: matteospanio/mule (converted from the published ones)",
        licence="GPL-3.0, CC-BY-NC-4.0",
        training_data="Musicset (SiriusXM and Pandora): music, audio only",
        paper="McCallum et al. 2022, Supervised and Unsupervised Learning of Audio Representations for Music "
        "Understanding",
        original="mule-torch 0.2.0",
        verification="the package called literally, random weights, narrow and of true shape: 6e-8 of a vector's "
        "length",
        tracks_per_second=0.8,
    ),
    factory=build_mule,
    reference=_reference,
    requires=("mule_torch",),
    extra="mule",
    weights=Weights(
        "mule",
        licence="CC-BY-NC-4.0",
        size=267_000_000,
        repo="matteospanio/mule",
        required=("config.json", "model.safetensors"),
        besides=(),
        elsewhere=("$MULE_TORCH_DIR",),
    ),
)
