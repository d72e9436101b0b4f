"""PE-Audio: the audio-text models of Vyas et al. 2025 (PE-A-Frame), both towers or one."""

from __future__ import annotations

from typing import Any

from larpbench.encoders.adapters.pe_audio.reference import REFERENCE
from larpbench.encoders.card import VIEWS, EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import parse_variant
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import MODEL, TOKENIZER, Weights

NAMES = ("pe-audio", "pe-audio-base", "pe-audio-small")
_LICENCE = "Apache-2.0"
_LONGEST = 512
_BESIDE = 3_640_831
"""Bytes of tokenizer, configurations and headers beside the numbers of the small one."""
_AUDIO_POOLING = "mean over frames of 40 ms, then over windows of 30 s, the last of which ends with the clip"
_TEXT_POOLING = "the first token of the last layer, before the final normalisation"
_UNIT = "scaled to length 1"


def bind_view(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return one tower, ``audio`` or ``text``.

    Raises:
        UsageError: If the name asks for something else.
    """
    (view,) = parse_variant(spec, argument, VIEWS)
    facts: dict[str, Any] = {"pooling": f"{_TEXT_POOLING}, {_UNIT}"}
    if view == "audio":
        facts = {"pooling": f"{_AUDIO_POOLING}, {_UNIT}", "max_tokens": None}
    return spec.viewed("audio" if view == "audio" else "text", parameters=None, **facts)


def build_pe_audio(context: EncodeContext, argument: str | None) -> Encoder:
    """Return both towers, or the one that is asked for, with the fetched weights."""
    from larpbench.encoders.adapters.pe_audio.encoder import PeAudio
    from larpbench.encoders.towers.hub_models import Place

    place = Place.of(bfloat16=False)
    return PeAudio(context.weights_folder, place, audio=argument != "text", text=argument != "audio")


def _pe_audio(name: str, size: str, parameters: int, speed: float, revision: str) -> EncoderSpec:
    repo = f"facebook/pe-a-frame-{size}"
    return EncoderSpec(
        EncoderCard(
            name=name,
            version=1,
            summary=f"PE-A-Frame (Vyas et al. 2025), {size}",
            modalities=("audio", "text"),
            dim=1_024,
            sample_rate=48_000,
            window_s=30.0,
            pooling=f"mean of audio and text vector, each {_UNIT}; audio: {_AUDIO_POOLING}; text: {_TEXT_POOLING}",
            max_tokens=_LONGEST,
            weights=f"pretrained: {repo}",
            licence=f"Apache-2.0, {_LICENCE}",
            training_data="about 100 million recordings with sound and generated captions; which ones is not stated",
            paper="Vyas et al. 2025, Pushing the Frontier of Audiovisual Perception with Large-Scale Multimodal "
            "Correspondence Learning",
            original="PE-A-Frame (Vyas et al. 2025), written out; computed by PeAudioFrameLevelModel of transformers",
            verification="an independent forward pass in float64, with its own padding, tokens and pooling; the layout "
            "of transformers, narrow, made-up weights: largest difference 4e-6 of a vector's length; the authors' own "
            "code and the published weights have not been run",
            parameters=parameters,
            citation=("vyas2025peav",),
            tracks_per_second=speed,
        ),
        factory=build_pe_audio,
        reference=REFERENCE,
        requires=("transformers",),
        versions=("transformers>=5",),
        weights=Weights(
            f"pe-a-frame-{size}",
            _LICENCE,
            4 * parameters + _BESIDE,
            repo=repo,
            revision=revision,
            required=(*MODEL, TOKENIZER, "processor_config.json|preprocessor_config.json"),
        ),
        takes="[audio|text]",
        binder=bind_view,
    )


PE_AUDIO = _pe_audio("pe-audio", "large", 1_456_566_210, 0.055, "d7fd29e06effc0fe5630de3b6e4ca784876a1a16")
PE_AUDIO_BASE = _pe_audio("pe-audio-base", "base", 560_642_754, 0.083, "0a320953632f45113021e4bc8a0eda74f0024a74")
PE_AUDIO_SMALL = _pe_audio("pe-audio-small", "small", 439_677_890, 0.094, "e5fc71c1f0be50279f52f292390b589780079e13")
