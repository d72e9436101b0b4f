"""From a checkpoint's own files to the encoder of one of its layers, and its card.

Sampling rate and normalisation come from the feature extractor, number and width of the layers from the configuration.
Only models that transformers itself implements: no code of a checkpoint runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from larpbench.encoders.adapters.hf_audio.reference import reference_of
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import MODEL, Weights
from larpbench.errors import DataError, UsageError
from larpbench.paths import without_folders

CODEC = "encodec"
MERT = "mert_model"
"""MERT-v1: a HuBERT under another name, whose own code is not needed."""
LAYERED = ("data2vec-audio", "hubert", MERT, "unispeech", "unispeech-sat", "wav2vec2", "wav2vec2-conformer", "wavlm")
"""Types of model, as their configurations name them, whose layers can be asked for."""
_ENCODER = "encoder"
"""What stands for the layer of a codec: its encoder's output, before quantisation."""
EXTRACTOR = "preprocessor_config.json"
_NOT_HUBERT = ("feature_extractor_cqt", "deepnorm")
"""Parts of MERT that no published checkpoint uses, and that HuBERT has not."""


def bind_hf_audio(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the spec of one checkpoint and layer; its card is complete where the checkpoint is here.

    Args:
        spec: That of ``hf-audio``.
        argument: Name on the hub, or folder, and after an ``@`` the layer.

    Raises:
        UsageError: If the layer makes no sense, or the model is not of a type that can be run.
        DataError: If a folder is named that holds no such model.
    """
    model, _ = split_argument(argument)
    weights = _weights(model)
    folder = weights.found()
    if folder is None and weights.repo is None:
        raise DataError("this folder holds no model of transformers", where=model, allowed=", ".join(weights.required))
    facts: dict[str, Any] = {"weights": f"pretrained: {without_folders(model)}"}
    if folder:
        facts |= facts_of_model(folder, argument)
    reference = reference_of(_read(folder, "config.json"), facts["sample_rate"]) if folder else spec.reference
    return replace(spec, card=spec.card.model_copy(update=facts), weights=weights, reference=reference)


def build_hf_audio(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of a checkpoint's layer."""
    folder = context.weights_folder
    facts_of_model(folder, argument or "")
    _, layer = split_argument(argument or "")
    return build_layer(folder, None if layer in (None, _ENCODER) else int(layer))


def build_layer(folder: Path, layer: int | None) -> Encoder:
    """Return the encoder of a layer of the model in a folder; None is the last one, and that of a codec."""
    from larpbench.encoders.adapters.hf_audio.encoder import CodecEncoder, LayeredEncoder
    from larpbench.encoders.towers.hub_models import Place

    place = Place.of(bfloat16=False)
    if _read(folder, "config.json").get("model_type") == CODEC:
        return CodecEncoder(folder, place)
    return LayeredEncoder(folder, layer, place)


def split_argument(argument: str) -> tuple[str, str | None]:
    """Return name and layer of ``NAME`` or ``NAME@LAYER``; None is the last layer.

    Raises:
        UsageError: If one of them is empty, or the layer is neither a number nor ``encoder``.
    """
    name, at, layer = argument.rpartition("@")
    if not at:
        return argument, None
    if not name or not (layer.isdecimal() or layer == _ENCODER):
        raise UsageError(
            f"{layer!r} is no layer", where=f"hf-audio:{argument}", allowed=f"HF_NAME, HF_NAME@NUMBER or @{_ENCODER}"
        )
    return name, layer


def _weights(name: str) -> Weights:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Weights(str(folder.absolute()), "that of the folder", 0, elsewhere=(str(folder),))
    return Weights(name, f"see huggingface.co/{name}", 400_000_000, repo=name, required=(*MODEL, EXTRACTOR))


def facts_of_model(folder: Path, argument: str) -> dict[str, Any]:
    """Return what a card can say of the checkpoint in a folder."""
    name, layer = split_argument(argument)
    config, extractor = _read(folder, "config.json"), _read(folder, EXTRACTOR)
    kind, where = config.get("model_type"), f"hf-audio:{argument}"
    try:
        if not 1_000 <= (rate := int(extractor["sampling_rate"])) <= 384_000:
            raise ValueError(rate)
        if kind == CODEC:
            if layer not in (None, _ENCODER):
                raise UsageError("a codec has no numbered layers", where=where, allowed=f"{name}@{_ENCODER}")
            if config.get("audio_channels", 1) != 1 or config.get("normalize") or config.get("chunk_length_s"):
                raise UsageError("this EnCodec is for stereo in chunks", where=where, allowed="facebook/encodec_24khz")
            pooling = "mean over time of the encoder's output, before quantisation"
            return {"dim": int(config.get("hidden_size", 128)), "sample_rate": rate, "pooling": pooling}
        if kind in LAYERED:
            _require_hubert(config, where)
            depth = int(config["num_hidden_layers"])
            if layer is not None and (layer == _ENCODER or int(layer) > depth):
                raise UsageError(f"{name} has no layer {layer!r}", where=where, allowed=f"0 to {depth}")
            pooling = f"mean over time of hidden states {depth if layer is None else layer} of {depth}"
            return {"dim": int(config["hidden_size"]), "sample_rate": rate, "pooling": pooling}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the configuration of this checkpoint cannot be understood", where=str(folder)) from error
    raise UsageError(
        f"a model of type {kind!r} cannot be run: only those that transformers brings and that read the waveform",
        where=where,
        allowed=", ".join(sorted((*LAYERED, CODEC))),
    )


def _require_hubert(config: dict[str, Any], where: str) -> None:
    """Raise if a MERT uses what HuBERT has not."""
    wrong = [name for name in _NOT_HUBERT if config.get("model_type") == MERT and config.get(name)]
    if wrong:
        raise UsageError(
            f"this MERT cannot be run as a HuBERT: {' and '.join(f'{name} is {config[name]}' for name in wrong)}",
            where=where,
            allowed=", ".join(f"{name}: false" for name in _NOT_HUBERT),
        )


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"the checkpoint has no {name}", where=str(folder)) from error
    except ValueError as error:
        raise DataError(f"{name} is no JSON", where=str(folder)) from error
    if not isinstance(found, dict):
        raise DataError(f"{name} is no JSON object", where=str(folder))
    return found
