"""Jukebox (Dhariwal et al. 2020) as an encoder (Castellon et al. 2021)."""

from __future__ import annotations

from larpbench.encoders.adapters.jukebox.reference import REFERENCE
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import WeightFile, Weights

_URL = "https://openaipublic.azureedge.net/jukebox/models/5b/"


def build_jukebox(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the fetched weights."""
    from larpbench.encoders.adapters.jukebox.encoder import pretrained_jukebox

    return pretrained_jukebox(context.weights_folder)


JUKEBOX = EncoderSpec(
    EncoderCard(
        name="jukebox",
        version=1,
        summary="Jukebox 5b, layer 36 of the prior",
        modalities=("audio",),
        dim=4_800,
        sample_rate=44_100,
        window_s=23.8,
        pooling="mean over time of the first 23.8 s",
        weights="pretrained: 5b (vqvae, prior_level_2)",
        licence="MIT, OpenAI's non-commercial licence",
        training_data="1.2 million songs of the web, audio and metadata",
        paper="Dhariwal et al. 2020, Jukebox; Castellon et al. 2021, Codified Audio Language Modeling Learns Useful "
        "Representations for Music Information Retrieval",
        original="jukebox-infer 0.1.2",
        verification="the package's forward on the CPU, true VQ-VAE, prior of width 64, random weights: 4e-8 of a "
        "vector's length",
        parameters=5_060_000_000,  # of the prior, to three digits
        citation=("dhariwal2020jukebox", "castellon2021codified"),
        tracks_per_second=0.005,
    ),
    factory=build_jukebox,
    reference=REFERENCE,
    requires=("jukebox_infer",),
    extra="jukebox",
    weights=Weights(
        "jukebox-5b",
        licence="OpenAI's non-commercial licence",
        size=10_300_000_000,
        files=(
            WeightFile("vqvae.pth.tar", f"{_URL}vqvae.pth.tar"),
            WeightFile("prior_level_2.pth.tar", f"{_URL}prior_level_2.pth.tar"),
        ),
        elsewhere=("~/.cache/jukebox/models/5b", "~/.cache/jukemirlib"),
    ),
)
