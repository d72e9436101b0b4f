"""musicnn: music tagging networks of Pons & Serra (2019) as encoders, with the published weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.fingerprint import digest_file_once

NAMES = ("musicnn-msd", "musicnn-mtt")
Tags = Literal["msd", "mtt"]
"""Million Song Dataset and MagnaTagATune: what the networks were trained on."""


def weights_path(tags: Tags) -> Path:
    """Return the bundled weights of one network."""
    return Path(__file__).with_name(f"{tags}.safetensors")


def build_musicnn(tags: Tags, context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of one network."""
    from larpbench.encoders.adapters.musicnn.encoder import MusicnnEncoder
    from larpbench.encoders.adapters.musicnn.model import load_musicnn

    return MusicnnEncoder(load_musicnn(weights_path(tags)))


def musicnn_digest(tags: Tags, context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the weights of one network."""
    return digest_file_once(weights_path(tags))


def _musicnn(tags: Tags, summary: str, training_data: str, overlaps: tuple[str, ...] = ()) -> EncoderSpec:
    return EncoderSpec(
        EncoderCard(
            name=f"musicnn-{tags}",
            version=1,
            summary=summary,
            modalities=("audio",),
            dim=200,
            sample_rate=16_000,
            window_s=3.0,
            pooling="mean over windows of the 200 numbers before the tag layer",
            weights=f"pretrained: {tags.upper()}_musicnn of musicnn 0.1.0 (bundled)",
            licence="Apache-2.0, ISC",
            training_data=f"{training_data}: audio and tags",
            overlaps=overlaps,
            paper="Pons & Serra 2019, musicnn: pre-trained convolutional neural networks for music audio tagging",
            original="musicnn 0.1.0 (TensorFlow 1)",
            verification="musicnn's own graph under TensorFlow 2.21, same weights and clips: largest difference 4e-6",
            revision="musicnn 0.1.0",
            parameters=787_159,
            citation=("pons2019musicnn",),
            process_per_core=True,
            tracks_per_second=9,
        ),
        factory=partial(build_musicnn, tags),
        digest=partial(musicnn_digest, tags),
    )


MUSICNN_MSD = _musicnn(
    "msd", "musicnn, Million Song Dataset tags", "the Million Song Dataset (50 Last.fm tags)", ("lfm", "mpd")
)
MUSICNN_MTT = _musicnn("mtt", "musicnn, MagnaTagATune tags", "MagnaTagATune (50 tags)")
