"""The published sizes of MERT-v1 (Li et al. 2024), at a layer: ``mert-95m``, ``mert-330m@12``.

Its own code is a HuBERT with two parts that no published checkpoint uses; transformers' HuBERT runs it, and no code of
the checkpoint does.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from larpbench.encoders.adapters.hf_audio.binding import EXTRACTOR, build_layers, facts_of_model
from larpbench.encoders.adapters.hf_audio.mert_reference import (
    DEFAULT_LAYERS,
    MERT_95M_REFERENCE,
    MERT_330M_REFERENCE,
    SAMPLE_RATE,
    SIZES,
)
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.layers import TAKES, LayerName, Readout, over_layers, read_layers
from larpbench.encoders.pooling import width_of
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
    """Return the spec of other layers, such as ``@5``, ``@mean`` or ``@5:pool=max``.

    Raises:
        UsageError: If there is no such layer or pooling.
    """
    name = _read(size, argument)
    if name.choice:
        return over_layers(spec, name, partial(bind_mert, size), _depth(size))
    readout = _readout(size, argument)
    width = width_of(readout.pooling, SIZES[size]["hidden_size"])
    facts = {"summary": _summary(size, readout), "pooling": _pooling(size, readout), "dim": width}
    return replace(spec, card=spec.card.model_copy(update=facts), argument=name.written)


def build_mert(size: str, context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of layers with the weights of `context`.

    Raises:
        DataError: If they are those of another kind of model.
    """
    folder = context.weights_folder
    readout = _readout(size, argument)
    rate = facts_of_model(folder, f"{folder.name}@{readout.last}")["sample_rate"]
    if rate != SAMPLE_RATE:
        raise DataError(f"this checkpoint reads {rate} Hz", where=str(folder / EXTRACTOR), allowed=f"{SAMPLE_RATE} Hz")
    return build_layers(f"mert-{size}", folder, readout)


def _depth(size: str) -> int:
    return SIZES[size]["num_hidden_layers"]


def _read(size: str, argument: str) -> LayerName:
    name = read_layers(argument, f"mert-{size}")
    if name.model:
        raise UsageError(
            f"mert-{size} has no layer {argument.removeprefix('@')!r}",
            where=f"mert-{size}{argument}",
            allowed=f"mert-{size}@LAYER:pool=HOW",
        )
    return name


def _readout(size: str, argument: str | None) -> Readout:
    return _read(size, argument or "").readout(DEFAULT_LAYERS[size], _depth(size), f"mert-{size}")


def _summary(size: str, readout: Readout) -> str:
    several = f"layers {readout.first} to {readout.last} averaged"
    layers = f"layer {readout.last}" if readout.first == readout.last else several
    return f"MERT-v1-{size.upper()} (Li et al. 2024), {layers}"


def _pooling(size: str, readout: Readout) -> str:
    reason = _REASONS[size].get(readout.last) if readout.first == readout.last else None
    return f"{readout.text(_depth(size))}, the whole clip at once" + (f" ({reason})" if reason else "")


def _mert(
    size: str, hours: str, revision: str, bytes_: int, speed: float, reference: Reference, found: str
) -> EncoderSpec:
    repo = f"m-a-p/MERT-v1-{size.upper()}"
    return EncoderSpec(
        EncoderCard(
            name=f"mert-{size}",
            version=1,
            summary=_summary(size, _readout(size, None)),
            modalities=("audio",),
            dim=SIZES[size]["hidden_size"],
            sample_rate=SAMPLE_RATE,
            pooling=_pooling(size, _readout(size, None)),
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
        takes=f"[{TAKES}]",
        model=f"mert-{size}",
        binder=partial(bind_mert, size),
    )


MERT_95M = _mert(
    "95m", "20,000", "12af15fef9d0ac838c3f475bfbbf26d2060dd4f5", 378_000_000, 0.4, MERT_95M_REFERENCE, "9e-7"
)
MERT_330M = _mert(
    "330m", "160,000", "0e06c986db0527c0fd1b47181c40f006805e3de0", 1_262_000_000, 0.17, MERT_330M_REFERENCE, "1e-7"
)
