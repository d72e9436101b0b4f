"""MERT-v1 written out with plain functions of torch, in float64: what its layers give, from paper and configuration.

Li et al. 2024 (MERT), Baevski et al. 2020 (wav2vec 2.0: convolutions, positional convolution) and Hsu et al. 2021
(HuBERT: the transformer). Nothing of transformers computes here. A checkpoint is written in the published layout: a
torch file with the weights of the positional convolution as direction and length, under their older names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded

if TYPE_CHECKING:
    from torch import Tensor

_FOLDER = Path(__file__).parent
SAMPLE_RATE = 24_000
"""Hz."""
WEIGHTS_FILE = "pytorch_model.bin"
OLDER_NAMES = (("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v"))
"""How today's torch and that of the published checkpoints call length and direction of a normalised weight."""
_POSITION = "encoder.pos_conv_embed.conv"

PUBLISHED: dict[str, Any] = {
    "model_type": "mert_model",
    "architectures": ["MERTModel"],
    "auto_map": {"AutoConfig": "configuration_MERT.MERTConfig", "AutoModel": "modeling_MERT.MERTModel"},
    "feature_extractor_cqt": False,
    "deepnorm": False,
    "attention_relax": -1.0,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "layer_norm_eps": 1e-5,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "mask_time_prob": 0.05,
    "sample_rate": SAMPLE_RATE,
}
"""What the configurations of both published sizes share."""
SIZES: dict[str, dict[str, Any]] = {
    "95m": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3_072,
        "do_stable_layer_norm": False,
    },
    "330m": {
        "hidden_size": 1_024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4_096,
        "do_stable_layer_norm": True,
    },
}
"""What they do not share."""
EXTRACTOR: dict[str, Any] = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0,
    "return_attention_mask": True,
    "sampling_rate": SAMPLE_RATE,
}
"""The published ``preprocessor_config.json``."""
_NARROW: dict[str, Any] = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def write_mert(size: str, folder: Path) -> None:
    """Write a MERT-v1 of all its layers, but narrow, as it lies on disk after a download."""
    import torch

    config = {**PUBLISHED, **SIZES[size], **_NARROW}
    state = {name: torch.from_numpy(seeded(name, shape)) for name, shape in tensor_shapes(config).items()}
    torch.save(state, folder / WEIGHTS_FILE)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(EXTRACTOR), encoding="utf-8")


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors of a published checkpoint of a configuration."""
    width, inner, channels = config["hidden_size"], config["intermediate_size"], config["conv_dim"]
    kernel, groups = config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"]
    shapes: dict[str, tuple[int, ...]] = {"masked_spec_embed": (width,)}
    for number, (into, size) in enumerate(zip(channels, config["conv_kernel"], strict=True)):
        layer = f"feature_extractor.conv_layers.{number}"
        shapes[f"{layer}.conv.weight"] = (into, channels[number - 1] if number else 1, size)
        if number == 0:
            shapes |= _affine(f"{layer}.layer_norm", (into,), into)
    shapes |= _affine("feature_projection.layer_norm", (channels[-1],), channels[-1])
    shapes |= _affine("feature_projection.projection", (width, channels[-1]), width)
    shapes |= {f"{_POSITION}.bias": (width,), f"{_POSITION}.weight_g": (1, 1, kernel)}
    shapes |= {f"{_POSITION}.weight_v": (width, width // groups, kernel)}
    shapes |= _affine("encoder.layer_norm", (width,), width)
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _affine(f"{layer}.attention.{part}", (width, width), width)
        shapes |= _affine(f"{layer}.feed_forward.intermediate_dense", (inner, width), inner)
        shapes |= _affine(f"{layer}.feed_forward.output_dense", (width, inner), width)
        shapes |= _affine(f"{layer}.layer_norm", (width,), width) | _affine(
            f"{layer}.final_layer_norm", (width,), width
        )
    return shapes


def run_mert(default: int, folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return what a layer gives, mean over time, (n, width) float32.

    Args:
        default: The layer, where the argument names none.
        folder: Holds the checkpoint, with older or newer names.
        batch: Clips at 24 kHz.
        argument: Ends with ``@LAYER``, or that is left out.
    """
    _, at, layer = (argument or "").rpartition("@")
    states = all_states(folder, batch.require_audio("MERT"))
    return states[:, int(layer) if at else default].astype(np.float32)


def all_states(folder: Path, clips: np.ndarray) -> np.ndarray:
    """Return (n, layers + 1, width) float64, the mean over time of what enters the first layer and what each gives."""
    import torch

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    state = _double(folder)
    with torch.inference_mode():
        rows = [[each.mean(dim=0) for each in _states(torch.from_numpy(clip), config, state)] for clip in clips]
    return np.stack([torch.stack(row).numpy() for row in rows])


def _double(folder: Path) -> dict[str, Tensor]:
    import torch
    from safetensors.torch import load_file

    single = folder / "model.safetensors"
    state = load_file(single) if single.exists() else torch.load(folder / WEIGHTS_FILE, weights_only=True)
    for newer, older in OLDER_NAMES:
        state = {name.replace(newer, older): tensor for name, tensor in state.items()}
    return {name: tensor.double() for name, tensor in state.items()}


def _states(wave: Tensor, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> list[Tensor]:
    """Return what enters the first layer and what each layer gives, (frames, width) each."""
    from torch.nn import functional

    weight = partial(_normalised, state=state, eps=config["layer_norm_eps"])
    x = wave.double()
    x = (x - x.mean()) / (x.var(unbiased=False) + 1e-7).sqrt()
    x = _features(x[None, None], config, state)[0].T
    x = _linear(weight(x, "feature_projection.layer_norm"), "feature_projection.projection", state)
    x = x + functional.gelu(_position(x.T[None], config, state)[0].T)

    stable, n_layers = config["do_stable_layer_norm"], config["num_hidden_layers"]
    if not stable:
        x = weight(x, "encoder.layer_norm")
    states = [x]
    for number in range(n_layers):
        layer = f"encoder.layers.{number}"
        attend: Callable[[Tensor], Tensor] = partial(
            _attention, layer=layer, heads=config["num_attention_heads"], state=state
        )
        feed: Callable[[Tensor], Tensor] = partial(_feed_forward, layer=layer, state=state)
        if stable:  # normalised before each part, and once after the last layer
            x = x + attend(weight(x, f"{layer}.layer_norm"))
            x = x + feed(weight(x, f"{layer}.final_layer_norm"))
            states.append(weight(x, "encoder.layer_norm") if number == n_layers - 1 else x)
        else:  # normalised after each part
            x = weight(x + attend(x), f"{layer}.layer_norm")
            x = weight(x + feed(x), f"{layer}.final_layer_norm")
            states.append(x)
    return states


def _features(x: Tensor, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Tensor:
    """Return (1, channels, frames) of (1, 1, samples): each channel of the first layer is normalised over time."""
    from torch.nn import functional

    for number, stride in enumerate(config["conv_stride"]):
        layer = f"feature_extractor.conv_layers.{number}"
        x = functional.conv1d(x, state[f"{layer}.conv.weight"], stride=stride)
        if number == 0:
            deviation = (x.var(dim=2, unbiased=False, keepdim=True) + 1e-5).sqrt()
            scale, shift = (state[f"{layer}.layer_norm.{each}"][:, None] for each in ("weight", "bias"))
            x = (x - x.mean(dim=2, keepdim=True)) / deviation * scale + shift
        x = functional.gelu(x)
    return x


def _position(x: Tensor, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Tensor:
    """Return (1, width, frames): a convolution whose weight is a direction of length 1 times a length, tap by tap."""
    from torch.nn import functional

    length, direction = state[f"{_POSITION}.weight_g"], state[f"{_POSITION}.weight_v"]
    weight = length * direction / direction.pow(2).sum(dim=(0, 1), keepdim=True).sqrt()
    taps, groups = config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"]
    given = functional.conv1d(x, weight, state[f"{_POSITION}.bias"], padding=taps // 2, groups=groups)
    return given[:, :, : x.shape[2]]  # an even number of taps gives one frame too many


def _attention(x: Tensor, layer: str, heads: int, state: Mapping[str, Tensor]) -> Tensor:
    query, key, value = (
        _linear(x, f"{layer}.attention.{part}_proj", state).unflatten(1, (heads, -1)).transpose(0, 1) for part in "qkv"
    )
    shares = (query @ key.transpose(1, 2) / query.shape[2] ** 0.5).softmax(dim=2)
    return _linear((shares @ value).transpose(0, 1).flatten(1), f"{layer}.attention.out_proj", state)


def _feed_forward(x: Tensor, layer: str, state: Mapping[str, Tensor]) -> Tensor:
    from torch.nn import functional

    hidden = functional.gelu(_linear(x, f"{layer}.feed_forward.intermediate_dense", state))
    return _linear(hidden, f"{layer}.feed_forward.output_dense", state)


def _linear(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _normalised(x: Tensor, name: str, state: Mapping[str, Tensor], eps: float) -> Tensor:
    deviation = (x.var(dim=1, unbiased=False, keepdim=True) + eps).sqrt()
    return (x - x.mean(dim=1, keepdim=True)) / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]


def _affine(name: str, shape: tuple[int, ...], width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": (width,)}


def _reference(size: str, default: int) -> Reference:
    return Reference(
        _FOLDER / f"mert-{size}.npz",
        "Li et al. 2024 written out in float64",
        partial(write_mert, size),
        partial(run_mert, default),
        seconds=3.0,
        sample_rate=SAMPLE_RATE,
        default=f"@{default}",
        arguments=tuple(f"@{layer}" for layer in range(SIZES[size]["num_hidden_layers"] + 1)),
    )


DEFAULT_LAYERS = {"95m": 7, "330m": 24}
"""The layer that is taken where none is named."""
MERT_95M_REFERENCE = _reference("95m", DEFAULT_LAYERS["95m"])
MERT_330M_REFERENCE = _reference("330m", DEFAULT_LAYERS["330m"])
