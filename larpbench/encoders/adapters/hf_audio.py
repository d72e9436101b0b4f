"""Models of the hub that hear the waveform: HuBERT, MERT-v0, wav2vec 2.0 and their kin, and EnCodec.

What the checkpoint says of itself decides: sampling rate and normalisation come from its feature extractor, number and
width of the layers from its configuration. Only models that transformers brings itself: no code of a checkpoint runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.towers.hub_models import Place, load_model, quiet
from larpbench.encoders.weights.finder import MODEL, Weights
from larpbench.errors import DataError, UsageError

CODEC = "encodec"
LAYERED = ("data2vec-audio", "hubert", "unispeech", "unispeech-sat", "wav2vec2", "wav2vec2-conformer", "wavlm")
"""Types of model, as their configurations name them, whose layers can be asked for."""
_GOLDENS = {
    (CODEC, 24_000): "larpbench.encoders.references.hf_audio:ENCODEC",
    ("hubert", 16_000): "larpbench.encoders.references.hf_audio:HUBERT",
    ("wav2vec2", 16_000): "larpbench.encoders.references.hf_audio:WAV2VEC2",
}
_ENCODER = "encoder"
"""What stands for the layer of a codec: its encoder's output, before quantisation."""
_EXTRACTOR = "preprocessor_config.json"
_FOR_TRAINING = "masked_spec_embed"
_SHORTEST_S = 1.0  # the convolutions need 25 ms, group normalisation more than one frame


class LayeredEncoder:
    """Mean over time of the hidden states of one layer.

    Args:
        folder: Holds the checkpoint.
        layer: 0 is what enters the first layer, n what the nth gives; None is the last.
        place: Where and how it computes.
    """

    def __init__(self, folder: Path, layer: int | None, place: Place) -> None:
        self._model, self._extractor = _loaded(folder, place)
        self._layer = self._model.config.num_hidden_layers if layer is None else layer
        self._device = place.device

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width) float32 of `batch.audio`, (n, samples) float32 at the checkpoint's rate.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        import torch

        rows = []
        with torch.inference_mode():
            for wave in _waves(batch, self._extractor):
                given = self._model(wave.to(self._device), output_hidden_states=True)
                rows.append(given.hidden_states[self._layer][0].mean(dim=0).float().cpu().numpy())
        return np.stack(rows)


class CodecEncoder:
    """Mean over time of what EnCodec's encoder gives, before quantisation.

    Args:
        folder: Holds the checkpoint.
        place: Where and how it computes.
    """

    def __init__(self, folder: Path, place: Place) -> None:
        self._model, self._extractor = _loaded(folder, place)
        self._device = place.device

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width) float32 of `batch.audio`, (n, samples) float32 at the checkpoint's rate.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        import torch

        rows = []
        with torch.inference_mode():
            for wave in _waves(batch, self._extractor):
                rows.append(self._model.encoder(wave.to(self._device))[0].mean(dim=-1).float().cpu().numpy())
        return np.stack(rows)


def bind_hf_audio(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the spec of one checkpoint and layer; its card is complete where the checkpoint is here.

    Args:
        spec: That of ``hf-audio``.
        argument: Name on the hub, or folder, and after an ``@`` the layer.

    Raises:
        UsageError: If the layer makes no sense, or the model is not of a type that can be run.
        DataError: If a folder is named that holds no such model.
    """
    name, _ = split_argument(argument)
    weights = _weights(name)
    folder = weights.found()
    if folder is None and weights.repo is None:
        raise DataError("this folder holds no model of transformers", where=name, allowed=", ".join(weights.required))
    facts: dict[str, Any] = {"weights": f"pretrained: {name}"}
    if folder:
        facts |= _facts(folder, argument)
    golden = spec.golden
    if folder:
        golden = _GOLDENS.get((str(_read(folder, "config.json").get("model_type")), facts["sample_rate"]))
    return replace(spec, card=spec.card.model_copy(update=facts), weights=weights, golden=golden)


def build_hf_audio(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of a checkpoint's layer."""
    folder = context.weights_folder
    _facts(folder, argument or "")
    _, layer = split_argument(argument or "")
    place = Place.of(bfloat16=False)
    if _read(folder, "config.json").get("model_type") == CODEC:
        return CodecEncoder(folder, place)
    return LayeredEncoder(folder, None if layer is None else int(layer), place)


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
    return Weights(name, f"see huggingface.co/{name}", 400_000_000, repo=name, required=(*MODEL, _EXTRACTOR))


def _facts(folder: Path, argument: str) -> dict[str, Any]:
    """Return what a card can say of the checkpoint in a folder."""
    name, layer = split_argument(argument)
    config, extractor = _read(folder, "config.json"), _read(folder, _EXTRACTOR)
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
            depth = int(config["num_hidden_layers"])
            if layer is not None and (layer == _ENCODER or int(layer) > depth):
                raise UsageError(f"{name} has no layer {layer!r}", where=where, allowed=f"0 to {depth}")
            pooling = f"mean over time of hidden states {depth if layer is None else layer} of {depth}"
            return {"dim": int(config["hidden_size"]), "sample_rate": rate, "pooling": pooling}
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the configuration of this checkpoint cannot be understood", where=str(folder)) from error
    raise UsageError(
        f"a model of type {kind!r} cannot be run: only those that transformers brings and that hear the waveform",
        where=where,
        allowed=", ".join(sorted((*LAYERED, CODEC))),
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


def _loaded(folder: Path, place: Place) -> tuple[Any, Any]:
    from transformers import AutoFeatureExtractor, AutoModel

    with quiet():
        try:
            extractor: Any = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"no feature extractor can be read: {error}", where=str(folder)) from error
    return load_model(AutoModel, folder, place, unused=_FOR_TRAINING), extractor


def _waves(batch: TrackBatch, extractor: Any) -> Any:  # noqa: ANN401 - transformers' classes
    """Yield the model's input for each clip alone: padding would change what normalisation sees."""
    audio = batch.require_audio("hf-audio")
    rate = extractor.sampling_rate
    for clip in audio:
        wave = np.resize(clip, max(len(clip), round(_SHORTEST_S * rate)))
        yield extractor(wave, sampling_rate=rate, return_tensors="pt")["input_values"]
