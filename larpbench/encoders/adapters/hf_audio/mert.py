"""The published sizes of MERT-v1 (Li et al. 2024), at a layer: ``mert-95m``, ``mert-330m@12``.

Its own code is a HuBERT with two parts that no published checkpoint uses; transformers' HuBERT runs it, and no code of
the checkpoint does.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from larpbench.encoders.adapters.hf_audio.binding import EXTRACTOR, build_layer, facts_of_model
from larpbench.encoders.adapters.hf_audio.mert_reference import (
    DEFAULT_LAYERS,
    MERT_95M_REFERENCE,
    MERT_330M_REFERENCE,
    SAMPLE_RATE,
    SIZES,
)
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.reference import Reference
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import MODEL, Weights
from larpbench.errors import DataError, UsageError

_REASONS = {"95m": {5: "layer used for emotion", 7: "layer used for genre"}, "330m": {24: "the last one, as is usual"}}
_PARAMETERS = {"95m": 94_371_712, "330m": 315_428_992}
_VERIFICATION = (
    "an independent forward pass in float64, written from paper and configuration; published layout, made-up weights: "
    "largest difference {} of a vector's length over all layers (narrow), 2e-7 at the default layer (true size)"
)


def bind_mert(size: str, spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the spec of another layer, such as ``@5``.

    Raises:
        UsageError: If there is no such layer.
    """
    layer = _layer(size, argument)
    facts = {"summary": _summary(size, layer), "pooling": _pooling(size, layer)}
    return replace(spec, card=spec.card.model_copy(update=facts))


def build_mert(size: str, context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of a layer with the weights of `context`.

    Raises:
        DataError: If they are those of another kind of model.
    """
    folder = context.weights_folder
    layer = _layer(size, argument)
    rate = facts_of_model(folder, f"{folder.name}@{layer}")["sample_rate"]
    if rate != SAMPLE_RATE:
        raise DataError(f"this checkpoint reads {rate} Hz", where=str(folder / EXTRACTOR), allowed=f"{SAMPLE_RATE} Hz")
    return build_layer(folder, layer)


def _layer(size: str, argument: str | None) -> int:
    if argument is None:
        return DEFAULT_LAYERS[size]
    depth, number = SIZES[size]["num_hidden_layers"], argument.removeprefix("@")
    if not argument.startswith("@") or not number.isdecimal() or int(number) > depth:
        raise UsageError(f"mert-{size} has no layer {number!r}", allowed=f"mert-{size}@0 to mert-{size}@{depth}")
    return int(number)


def _summary(size: str, layer: int) -> str:
    return f"MERT-v1-{size.upper()} (Li et al. 2024), layer {layer}"


def _pooling(size: str, layer: int) -> str:
    reason = _REASONS[size].get(layer)
    depth = SIZES[size]["num_hidden_layers"]
    return f"mean over time of hidden states {layer} of {depth}, the whole clip at once" + (
        f" ({reason})" if reason else ""
    )


def _mert(
    size: str, hours: str, revision: str, bytes_: int, speed: float, reference: Reference, found: str
) -> EncoderSpec:
    repo = f"m-a-p/MERT-v1-{size.upper()}"
    return EncoderSpec(
        EncoderCard(
            name=f"mert-{size}",
            version=1,
            summary=_summary(size, DEFAULT_LAYERS[size]),
            modalities=("audio",),
            dim=SIZES[size]["hidden_size"],
            sample_rate=SAMPLE_RATE,
            pooling=_pooling(size, DEFAULT_LAYERS[size]),
            weights=f"pretrained: {repo}",
            licence="Apache-2.0, CC-BY-NC-4.0",
            training_data=f"{hours} hours of music from the internet, audio only; not published",
            paper="Li et al. 2024, MERT: Acoustic Music Understanding Model with Large-Scale Self-supervised Training",
            parameters=_PARAMETERS[size],
            original="HuBERT after Li et al. 2024, written out; computed by HubertModel of transformers",
            verification=_VERIFICATION.format(found),
            tracks_per_second=speed,
        ),
        factory=partial(build_mert, size),
        reference=reference,
        requires=("transformers",),
        weights=Weights(
            f"mert-v1-{size}",
            licence="CC-BY-NC-4.0",
            size=bytes_,
            repo=repo,
            revision=revision,
            required=(*MODEL, EXTRACTOR),
        ),
        takes="[@LAYER]",
        binder=partial(bind_mert, size),
    )


MERT_95M = _mert(
    "95m", "20,000", "12af15fef9d0ac838c3f475bfbbf26d2060dd4f5", 378_000_000, 0.4, MERT_95M_REFERENCE, "9e-7"
)
MERT_330M = _mert(
    "330m", "160,000", "0e06c986db0527c0fd1b47181c40f006805e3de0", 1_262_000_000, 0.17, MERT_330M_REFERENCE, "1e-7"
)
