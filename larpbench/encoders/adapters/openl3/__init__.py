"""OpenL3 (Cramer et al. 2019), music weights: a network trained to tell whether sound and picture belong together."""

from __future__ import annotations

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.reference import Reference
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import WeightFile, Weights

_FILE = "torchopenl3_mel256_music_512.pth.tar"


def build_openl3(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the fetched weights."""
    from larpbench.encoders.adapters.openl3.encoder import WEIGHTS_FILE, OpenL3Encoder

    return OpenL3Encoder(context.weights_folder / WEIGHTS_FILE)


def _reference() -> Reference:
    from larpbench.encoders.adapters.openl3.reference import OPENL3

    return OPENL3


OPENL3 = EncoderSpec(
    EncoderCard(
        name="openl3",
        version=1,
        summary="OpenL3 (Cramer et al. 2019), music",
        modalities=("audio",),
        dim=512,
        sample_rate=48_000,
        window_s=1.0,
        pooling="mean over windows of 1 s, side by side",
        weights="pretrained: mel256, music, 512 (torchopenl3)",
        licence="MIT, CC-BY-4.0",
        training_data="music videos of AudioSet: sound and picture",
        paper="Cramer et al. 2019, Look, Listen and Learn More: Design Choices for Deep Audio Embeddings",
        original="torchopenl3 1.0.1",
        verification="the package called literally, true shape, random weights: no difference",
        tracks_per_second=0.3,
    ),
    factory=build_openl3,
    reference=_reference,
    requires=("torchopenl3", "pkg_resources"),
    extra="openl3",
    weights=Weights(
        "openl3-music-mel256-512",
        licence="CC-BY-4.0",
        size=37_000_000,
        files=(WeightFile(_FILE, f"https://github.com/torchopenl3/torchopenl3-models/raw/master/{_FILE}"),),
        elsewhere=("~/.cache/torch/hub/checkpoints",),
    ),
)
