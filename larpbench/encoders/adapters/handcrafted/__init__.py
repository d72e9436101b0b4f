"""Descriptors of the signal that need no training, as librosa defines them."""

from __future__ import annotations

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.spec import EncoderSpec


def build_handcrafted(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder."""
    from larpbench.encoders.adapters.handcrafted.encoder import HandcraftedEncoder

    return HandcraftedEncoder()


HANDCRAFTED = EncoderSpec(
    EncoderCard(
        name="handcrafted",
        version=1,
        summary="529 low-level descriptors (librosa)",
        modalities=("audio",),
        dim=529,
        sample_rate=22_050,
        pooling="mean and standard deviation over frames",
        weights="none",
        licence="Apache-2.0, ISC",
        paper="McFee et al. 2015, librosa: audio and music signal analysis in Python",
        parameters=0,
        citation=("mcfee2015librosa",),
        standardised=True,
        process_per_core=True,
        tracks_per_second=25,
    ),
    factory=build_handcrafted,
)
