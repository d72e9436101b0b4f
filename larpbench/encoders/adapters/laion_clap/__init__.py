"""LAION's own checkpoint of CLAP for music (Wu et al. 2023), in the format of its authors' code."""

from __future__ import annotations

from larpbench.encoders.adapters.laion_clap.reference import REFERENCE
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import parse_variant
from larpbench.encoders.precision import OPENVINO, by_openvino, on_backend
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import WeightFile, Weights
from larpbench.runtime import torch_device

_FILE = "music_audioset_epoch_15_esc_90.14.pt"
_REVISION = "b3708341862f581175dba5c356a4ebf74a9b6651"


def bind_laion_clap(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder computed by the backend that its name asks for.

    Raises:
        UsageError: If it asks for something else.
    """
    (backend,) = parse_variant(spec, argument, (OPENVINO,))
    return on_backend(spec, backend)


def build_laion_clap(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the fetched weights."""
    from larpbench.encoders.adapters.laion_clap.encoder import WEIGHTS_FILE, LaionClapEncoder

    openvino = by_openvino(argument)
    return LaionClapEncoder(context.weights_folder / WEIGHTS_FILE, "cpu" if openvino else torch_device(), openvino)


LAION_CLAP = EncoderSpec(
    EncoderCard(
        name="laion-clap",
        version=1,
        summary="CLAP (Wu et al. 2023), LAION checkpoint",
        modalities=("audio",),
        dim=512,
        sample_rate=48_000,
        window_s=10.0,
        pooling="mean over windows of 10 s, scaled to length 1",
        weights=f"pretrained: {_FILE}",
        licence="Apache-2.0, CC0-1.0",
        training_data="music, AudioSet and LAION-Audio-630K: audio and captions",
        paper="Wu et al. 2023, Large-scale Contrastive Language-Audio Pretraining",
        original="laion-clap 1.1.7",
        verification="the package's audio branch called literally, smaller tower, random weights: 4e-6 of a vector's "
        "length",
        parameters=68_611_864,
        citation=("wu2023clap",),
        tracks_per_second=2.5,
    ),
    factory=build_laion_clap,
    reference=REFERENCE,
    requires=("transformers",),
    takes="[openvino]",
    binder=bind_laion_clap,
    versions=("torch>=2.6",),
    weights=Weights(
        "laion-clap-music",
        licence="CC0-1.0",
        size=2_352_471_003,
        revision=_REVISION,
        files=(
            WeightFile.of_hub(
                "lukewys/laion_clap",
                _REVISION,
                _FILE,
                size=2_352_471_003,
                sha256="fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd",
            ),
        ),
    ),
)
