"""Checkpoints of MuQ and MusicFM: tensors by name, and mean and deviation of the spectrograms in training.

MuQ is a folder of ``huggingface_hub``: ``config.json`` holds the statistics. MusicFM is a checkpoint of PyTorch
Lightning beside a file of statistics. The tensors have the same names in both, behind ``model.``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mode
from typing import Any

import torch
from torch import Tensor

from larpbench.checkpoint_tensors import Faults, facts_of, not_floating, require_tensors, say_casts
from larpbench.encoders.adapters.muq.front_end import BANDS, HOP, mel_filters
from larpbench.encoders.adapters.muq.model import ROTARY_BASE, Network, Sizes
from larpbench.encoders.towers.initial_weights import read_state
from larpbench.errors import DataError

MUQ_FILES = ("config.json", "model.safetensors")
PREFIX = "model."
STATISTIC = "melspec_2048"
"""What the statistics of this spectrogram are called."""
UNUSED = (
    *("cls_token", "linear.*", "recon_proj.*", "rvq.*", f"quantizer_{STATISTIC}*"),  # heads and targets of training
    *("conformer.pos_conv_embed.*", f"preprocessor_{STATISTIC}.*"),
)
"""Patterns of the names of known tensors that the states do not depend on."""
_FILTERS = f"preprocessor_{STATISTIC}.mel_stft.mel_scale.fb"
_FREQUENCIES = "conformer.embed_positions.inv_freq"
_ROUNDED = 1e-2  # allowed of a constant: a checkpoint may be stored in bfloat16
_READABLE = {"label_rate": 25, "hop_length": HOP, "n_mels": BANDS, "encoder_depth": 12}
_READABLE_CONFORMER = {
    "hidden_act": "swish",
    "layer_norm_eps": 1e-5,
    "position_embeddings_type": "rotary",
    "rotary_embedding_base": ROTARY_BASE,
}
_NEXT_STEP = "fetch the weights again: larpbench fetch ENCODER"


@dataclass(frozen=True)
class Checkpoint:
    """A network, and the statistics that its input is normalised with.

    Attributes:
        network: With the weights, in float32, for inference.
        mean: Of the log-mel spectrograms of the training data, in dB.
        deviation: Their standard deviation, in dB.
    """

    network: Network
    mean: float
    deviation: float


def read_muq(folder: Path) -> Checkpoint:
    """Return the checkpoint of a folder with ``config.json`` and ``model.safetensors``.

    Raises:
        DataError: If it is not one of MuQ, or the tensors are not exactly those of the network.
    """
    path, weights = (folder / name for name in MUQ_FILES)
    mean, deviation = read_statistics(path)
    return Checkpoint(read_network(weights, "MuQ"), mean, deviation)


def read_statistics(path: Path) -> tuple[float, float]:
    """Return mean and standard deviation of the spectrograms, in dB, from MuQ's ``config.json``.

    Raises:
        DataError: If it is not a configuration of MuQ.
    """
    config = read_json(path)
    for facts, readable in ((config, _READABLE), (config.get("w2v2_config"), _READABLE_CONFORMER)):
        for name, value in readable.items():
            if isinstance(facts, dict) and facts.get(name, value) != value:
                what = f"this is not the design of MuQ: {name} is {facts[name]!r}"
                raise DataError(what, where=str(path), allowed=f"{name}: {value!r}")
    return _statistics(config.get("stat"), path)


def read_musicfm(weights: Path, statistics: Path) -> Checkpoint:
    """Return the checkpoint of a file of weights and one of statistics.

    Raises:
        DataError: If they are not of MusicFM, or the tensors are not exactly those of the network.
    """
    mean, deviation = _statistics(read_json(statistics), statistics)
    return Checkpoint(read_network(weights, "MusicFM"), mean, deviation)


def read_network(path: Path, model: str) -> Network:
    """Return the network with the weights of a file; those in half precision are cast, which is said.

    Args:
        path: The file.
        model: What it should be of, for messages.

    Raises:
        DataError: If a tensor of the network is missing, of another shape or not floating, or one is unknown.
    """
    state = {name.removeprefix(PREFIX): tensor for name, tensor in read_state(path).items()}
    network = network_of(state, model, path)
    own, found = network.state_dict(), facts_of(state)
    say_casts({name: found[name] for name in own if name in found}, path)
    return network


def network_of(state: Mapping[str, Tensor], model: str, path: Path) -> Network:
    """Return the network with the tensors of a checkpoint, by their names in the network.

    Args:
        state: The tensors.
        model: What they should be of, for messages.
        path: Their file, for messages.

    Raises:
        DataError: If a tensor of the network is missing, of another shape or not floating, or one is unknown.
    """
    found = facts_of(state)
    Faults(other=not_floating(found)).refuse(model, path)
    with torch.device("meta"):
        network = Network(_sizes(state))
    own = network.state_dict()
    require_tensors(found, facts_of(own), model, path, unused=UNUSED)
    computed = {_FREQUENCIES: _frequencies(len(state[_FREQUENCIES]))}
    _refuse_other_constants(state, computed | {_FILTERS: mel_filters().T}, path)
    counters = {name: torch.zeros((), dtype=torch.int64) for name in own if name.endswith("num_batches_tracked")}
    weights = {name: tensor.float() for name, tensor in state.items() if name in own}
    network.load_state_dict(weights | counters | computed, assign=True)
    return network.eval().requires_grad_(False)


def _sizes(state: Mapping[str, Tensor]) -> Sizes:
    """Return the sizes that most tensors have, so that one of another shape is refused by its name."""

    def common(ends: str, dimension: int) -> int:
        sizes = [each.shape[dimension] for name, each in state.items() if name.endswith(ends) and each.ndim > dimension]
        return mode(sizes) if sizes else 1

    width, pairs = common("layer_norm.weight", 0), common(_FREQUENCIES, 0)
    return Sizes(
        channels=common(".bn1.weight", 0),
        width=width,
        heads=max(1, width // (2 * max(1, pairs))),
        intermediate=common("intermediate_dense.bias", 0),
        kernel=common("depthwise_conv.weight", 2),
    )


def _frequencies(pairs: int) -> Tensor:
    """Return the angles by which the rotary positions turn each pair of numbers of a head, (pairs,) float32."""
    return ROTARY_BASE ** -(torch.arange(pairs) / pairs)


def _refuse_other_constants(state: Mapping[str, Tensor], constants: Mapping[str, Tensor], path: Path) -> None:
    """Refuse a checkpoint in which what is computed here, and not learned, has other values."""
    for name, values in constants.items():
        stored = state.get(name, values).float()
        if stored.shape != values.shape or not torch.allclose(stored, values, rtol=_ROUNDED, atol=_ROUNDED**2):
            raise DataError(
                f"this is not the design of MuQ and MusicFM: {name!r} has other values",
                where=str(path),
                allowed="rotary positions of base 10,000, and 128 HTK bands from 0 to 12 kHz",
                next_step=_NEXT_STEP,
            )


def _statistics(facts: object, path: Path) -> tuple[float, float]:
    names = (f"{STATISTIC}_mean", f"{STATISTIC}_std")
    values = [facts.get(name) if isinstance(facts, dict) else None for name in names]
    mean, deviation = map(_number, values)
    if not (math.isfinite(mean) and math.isfinite(deviation) and deviation > 0):
        shown = ", ".join(f"{name} is {value!r}" for name, value in zip(names, values, strict=True))
        raise DataError(
            f"the spectrograms cannot be normalised: {shown}",
            where=str(path),
            allowed="mean and standard deviation in dB, the latter above 0",
            next_step=_NEXT_STEP,
        )
    return mean, deviation


def _number(value: object) -> float:
    """Return a number of a JSON file; NaN if it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file of a checkpoint holds.

    Raises:
        DataError: If it is not there, or holds no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"the checkpoint has no {path.name}", where=str(path.parent), next_step=_NEXT_STEP) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} is no JSON", where=str(path), next_step=_NEXT_STEP) from error
    if not isinstance(found, dict):
        raise DataError(f"{path.name} is no JSON object", where=str(path), next_step=_NEXT_STEP)
    return found
