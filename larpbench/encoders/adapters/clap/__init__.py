"""CLAP of the Hugging Face hub: both towers or one, HTS-AT before the projection, and an untrained audio tower."""

from __future__ import annotations

from dataclasses import replace

from larpbench.encoders.adapters.clap.reference import CLAP_REFERENCE, HTSAT_REFERENCE
from larpbench.encoders.card import VIEWS, EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import parse_variant
from larpbench.encoders.precision import BFLOAT16, OPENVINO, by_openvino, in_bfloat16, in_precision, on_backend
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import MODEL, TOKENIZER, Weights
from larpbench.errors import UsageError

NAMES = ("clap-music", "clap-music-speech", "clap-pt", "clap-random", "htsat")
_FILES = (*MODEL, TOKENIZER, "preprocessor_config.json")
_PAPER = "Wu et al. 2023, Large-scale contrastive language-audio pretraining"
_CITATION = ("wu2023clap",)
_LAION_AUDIO = "LAION-Audio-630K and AudioSet: sounds, speech and music with captions"
_VERIFICATION = (
    "transformers 5.23.0 on a tiny checkpoint with the same weights: largest difference 2e-5 of a vector's length, "
    "from the spectrogram in float32 for float64"
)
_AUDIO, _TEXT = 28_190_872, 125_302_016  # parameters of each tower with its projection
_AUDIO_LARGE = 68_611_864
_SCALES = 2
_AUDIO_POOLING = "mean over windows of 10 s of vectors of length 1, scaled to length 1"


def bind_clap(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the view, precision and backend that a name asks for, such as ``audio`` or ``text:bf16``.

    Raises:
        UsageError: If it asks for something else.
    """
    view, precision, backend = parse_variant(spec, argument, VIEWS, (BFLOAT16,), (OPENVINO,))
    if backend and view == "text":
        raise UsageError(f"{spec.card.name}:text is no faster with OpenVINO", allowed=f"{spec.card.name}:text[:bf16]")
    card = spec.card
    if view:
        pooling = _AUDIO_POOLING if view == "audio" else f"the {view} vector alone, of length 1"
        text = card.parameters and _TEXT
        parameters = text and (text if view == "text" else (card.parameters or 0) - text - _SCALES)
        card = card.model_copy(update={"modalities": (view,), "pooling": pooling, "parameters": parameters})
    return on_backend(in_precision(replace(spec, card=card), precision), backend)


def bind_htsat(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return HTS-AT in the precision and by the backend that its name asks for.

    Raises:
        UsageError: If it asks for something else.
    """
    precision, backend = parse_variant(spec, argument, (BFLOAT16,), (OPENVINO,))
    return on_backend(in_precision(spec, precision), backend)


def build_clap(context: EncodeContext, argument: str | None) -> Encoder:
    """Return CLAP, or one view of it."""
    from larpbench.encoders.adapters.clap.encoder import pretrained_clap

    words = (argument or "").split(":")
    views = [view for view in VIEWS if view in words] or VIEWS
    audio, text = ("audio" in views), ("text" in views)
    return pretrained_clap(context.weights_folder, in_bfloat16(argument), audio, text, by_openvino(argument))


def build_htsat(context: EncodeContext, argument: str | None) -> Encoder:
    """Return HTS-AT, the audio tower of CLAP before the projection."""
    from larpbench.encoders.adapters.clap.encoder import pretrained_htsat

    return pretrained_htsat(context.weights_folder, in_bfloat16(argument), by_openvino(argument))


def build_clap_random(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the audio tower of CLAP with random weights, as transformers initialises them before training."""
    from larpbench.encoders.adapters.clap.encoder import random_clap

    return random_clap(context.seed)


def _clap(
    name: str, summary: str, weights: Weights, training_data: str, speed: float, audio: int = _AUDIO_LARGE
) -> EncoderSpec:
    return EncoderSpec(
        EncoderCard(
            name=name,
            version=1,
            summary=summary,
            modalities=("audio", "text"),
            dim=512,
            sample_rate=48_000,
            window_s=10.0,
            pooling="mean of audio and text vector, each of length 1; audio: mean over windows of 10 s",
            weights=f"pretrained: {weights.repo}",
            licence=f"Apache-2.0, {weights.licence}",
            training_data=training_data,
            paper=_PAPER,
            original="transformers: ClapFeatureExtractor, ClapModel.get_audio_features and get_text_features",
            verification=_VERIFICATION,
            parameters=audio + _TEXT + _SCALES,
            citation=_CITATION,
            tracks_per_second=speed,
        ),
        factory=build_clap,
        requires=("transformers",),
        weights=weights,
        takes="[audio|text][:bf16][:openvino]",
        binder=bind_clap,
        reference=CLAP_REFERENCE,
    )


def _weights(name: str, size: int, repo: str, revision: str) -> Weights:
    return Weights(name, "Apache-2.0", size, repo=repo, revision=revision, required=_FILES)


_UNFUSED = _weights(
    "clap-htsat-unfused", 615_000_000, "laion/clap-htsat-unfused", "8fa0f1c6d0433df6e97c127f64b2a1d6c0dcda8a"
)
CLAP_PT = _clap("clap-pt", "CLAP (Wu et al. 2023), general audio", _UNFUSED, _LAION_AUDIO, 4.2, _AUDIO)
CLAP_MUSIC = _clap(
    "clap-music",
    "CLAP (Wu et al. 2023), music",
    _weights("larger-clap-music", 776_000_000, "laion/larger_clap_music", "a0b4534a14f58e20944452dff00a22a06ce629d1"),
    f"music of unpublished source; {_LAION_AUDIO}",
    2.2,
)
CLAP_MUSIC_SPEECH = _clap(
    "clap-music-speech",
    "CLAP (Wu et al. 2023), music and speech",
    _weights(
        "larger-clap-music-and-speech",
        776_000_000,
        "laion/larger_clap_music_and_speech",
        "195c3a3e68faebb3e2088b9a79e79b43ddbda76b",
    ),
    f"music and speech of unpublished source; {_LAION_AUDIO}",
    2.2,
)
HTSAT = EncoderSpec(
    EncoderCard(
        name="htsat",
        version=1,
        summary="HTS-AT, the audio tower of clap-pt",
        modalities=("audio",),
        dim=768,
        sample_rate=48_000,
        window_s=10.0,
        pooling="mean over windows of 10 s of the tower's pooled output",
        weights="pretrained: laion/clap-htsat-unfused, audio tower",
        licence="Apache-2.0, Apache-2.0",
        training_data=_LAION_AUDIO,
        paper="Chen et al. 2022, HTS-AT; Wu et al. 2023, Large-scale contrastive language-audio pretraining",
        original="transformers: ClapFeatureExtractor and ClapModel.audio_model",
        verification=_VERIFICATION,
        parameters=27_534_488,
        citation=("chen2022htsat", *_CITATION),
        tracks_per_second=5.0,
    ),
    factory=build_htsat,
    requires=("transformers",),
    weights=_UNFUSED,
    takes="[bf16][:openvino]",
    binder=bind_htsat,
    reference=HTSAT_REFERENCE,
)
CLAP_RANDOM = EncoderSpec(
    EncoderCard(
        name="clap-random",
        version=1,
        summary="CLAP's audio tower, random weights",
        modalities=("audio",),
        dim=512,
        sample_rate=48_000,
        window_s=10.0,
        pooling=_AUDIO_POOLING,
        weights="random",
        licence="Apache-2.0",
        paper=_PAPER,
        parameters=_AUDIO,
        citation=_CITATION,
        stochastic=True,
        control=True,
        tracks_per_second=5.0,
    ),
    factory=build_clap_random,
    requires=("transformers",),
    only_by_name=True,
)
