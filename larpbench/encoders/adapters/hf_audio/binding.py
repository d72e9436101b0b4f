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
from larpbench.encoders.adapters.hf_audio.towers import (
    FRAMES,
    OF_TOWERS,
    TOWERS,
    WINDOW_S,
    WINDOWS,
    depth_of,
    width_of_tower,
)
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.layers import LayerName, Readout, over_layers, read_layers
from larpbench.encoders.pooling import width_of
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
_PROCESSOR = "processor_config.json"
"""Where transformers 5 keeps the settings of the feature extractor."""
_NOT_HUBERT = ("feature_extractor_cqt", "deepnorm")
"""Parts of MERT that no published checkpoint uses, and that HuBERT has not."""


def bind_hf_audio(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the spec of one checkpoint and layer; its card is complete where the checkpoint is here.

    Args:
        spec: That of ``hf-audio``.
        argument: Name on the hub, or folder, and after it layers and pooling.

    Raises:
        UsageError: If the layer or pooling makes no sense, or the model is not of a type that can be run.
        DataError: If a folder is named that holds no such model.
    """
    name = split_argument(argument)
    weights = _weights(name.model)
    folder = weights.found()
    if folder is None and weights.repo is None:
        raise DataError(
            "this folder holds no model of transformers", where=name.model, allowed=", ".join(weights.required)
        )
    facts: dict[str, Any] = {"weights": f"pretrained: {without_folders(name.model)}"}
    if folder:
        facts |= facts_of_model(folder, argument)
    reference = reference_of(_read(folder, "config.json"), facts["sample_rate"]) if folder else spec.reference
    card = spec.card.model_copy(update=facts)
    bound = replace(spec, argument=name.written, card=card, weights=weights, reference=reference, model=weights.name)
    if not name.choice:
        return bound
    depth = depth_of(_read(folder, "config.json")) if folder else None
    return over_layers(bound, name, bind_hf_audio, depth)


def build_hf_audio(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of a checkpoint's layer."""
    folder = context.weights_folder
    facts_of_model(folder, argument or "")
    name, config = split_argument(argument or ""), _read(folder, "config.json")
    if config.get("model_type") == CODEC:
        from larpbench.encoders.adapters.hf_audio.encoder import CodecEncoder
        from larpbench.encoders.towers.hub_models import Place

        return CodecEncoder(folder, Place.of(bfloat16=False))
    depth = depth_of(config)
    return build_layers("hf-audio", folder, name.readout(depth, depth, name.model), config.get("model_type") in TOWERS)


def build_layers(encoder: str, folder: Path, readout: Readout, tower: bool = False) -> Encoder:
    """Return the encoder of layers of the model in a folder, or of its audio tower, shared with others."""
    from larpbench.encoders.adapters.hf_audio.tower import AudioTower
    from larpbench.encoders.layered import LayeredEncoder, shared_model
    from larpbench.encoders.towers.hub_audio import HubModel
    from larpbench.encoders.towers.hub_models import Place

    place = Place.of(bfloat16=False)
    model = AudioTower if tower else HubModel
    return LayeredEncoder(encoder, shared_model(folder, place.device, lambda: model(folder, place)), readout)


def split_argument(argument: str) -> LayerName:
    """Return the parts of ``NAME@LAYER:pool=HOW``; of a codec, the layer may be ``encoder``.

    Raises:
        UsageError: If one of them is empty, or makes no sense.
    """
    rest, _, layers = argument.rpartition("@")
    if rest and layers == _ENCODER:
        return LayerName(rest, _ENCODER, None)
    name = read_layers(argument, "hf-audio")
    if argument and not name.model:
        raise UsageError("a name is missing before the @", where=f"hf-audio:{argument}", allowed="HF_NAME@LAYER")
    return name


def _weights(name: str) -> Weights:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Weights(str(folder.absolute()), "that of the folder", 0, elsewhere=(str(folder),))
    return Weights(name, f"see huggingface.co/{name}", 0, repo=name, required=(*MODEL, f"{EXTRACTOR}|{_PROCESSOR}"))


def facts_of_model(folder: Path, argument: str) -> dict[str, Any]:
    """Return what a card can say of the checkpoint in a folder."""
    name = split_argument(argument)
    config, extractor = _read(folder, "config.json"), _extractor(folder)
    kind, where = config.get("model_type"), f"hf-audio:{argument}"
    try:
        if not 1_000 <= (rate := int(extractor["sampling_rate"])) <= 384_000:
            raise ValueError(rate)
        if kind == CODEC:
            if name.layers not in (None, _ENCODER) or name.pooling:
                raise UsageError(
                    "a codec has no numbered layers, and is averaged over time",
                    where=where,
                    allowed=f"{name.model}@{_ENCODER}",
                )
            if config.get("audio_channels", 1) != 1 or config.get("normalize") or config.get("chunk_length_s"):
                raise UsageError("this EnCodec is for stereo in chunks", where=where, allowed="facebook/encodec_24khz")
            pooling = "mean over time of the encoder's output, before quantisation"
            return {"dim": int(config.get("hidden_size", 128)), "sample_rate": rate, "pooling": pooling}
        if kind in LAYERED:
            _require_hubert(config, where)
            depth, width = int(config["num_hidden_layers"]), int(config["hidden_size"])
            facts: dict[str, Any] = {"dim": width, "sample_rate": rate}
            if name.choice:
                return facts
            readout = name.readout(depth, depth, name.model)
            return facts | {"dim": width_of(readout.pooling, width), "pooling": readout.text(depth)}
        if kind in TOWERS:
            return _facts_of_tower(config, rate, float(extractor.get("chunk_length", WINDOW_S)), name)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the configuration of this checkpoint cannot be understood", where=str(folder)) from error
    raise UsageError(
        f"a model of type {kind!r} cannot be run: only those that transformers brings and that read the waveform",
        where=where,
        allowed=", ".join(sorted((*LAYERED, *TOWERS, CODEC))),
    )


def _facts_of_tower(config: dict[str, Any], rate: int, window_s: float, name: LayerName) -> dict[str, Any]:
    facts: dict[str, Any] = {"dim": width_of_tower(config), "sample_rate": rate, "window_s": window_s, **OF_TOWERS}
    if name.choice:
        return facts
    depth = depth_of(config)
    readout = name.readout(depth, depth, name.model)
    windows = WINDOWS.format("over" if readout.pooling == "mean" else "the mean over", window_s)
    facts["pooling"] = f"{readout.text(depth)}{FRAMES}{windows}"
    return facts | {"dim": width_of(readout.pooling, facts["dim"])}


def _extractor(folder: Path) -> dict[str, Any]:
    """Return the settings of the feature extractor, from a file of their own or from the processor's."""
    if not (folder / EXTRACTOR).exists() and (folder / _PROCESSOR).exists():
        found = _read(folder, _PROCESSOR).get("feature_extractor")
        if isinstance(found, dict):
            return found
    return _read(folder, EXTRACTOR)


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
