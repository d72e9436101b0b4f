"""PE-A-Frame written out in float64 from paper and configuration, without transformers' model or feature extractor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, write_model, write_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

_TEXT: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "local_attention": 12,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}
_AUDIO: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "head_dim": 8,
    "dac_config": {"encoder_hidden_size": 2, "downsampling_ratios": [2, 8, 10, 12], "codebook_dim": 8},
}
_HOP = 1_920
_AUDIO_BASE, _GLOBAL_BASE, _LOCAL_BASE = 20_000.0, 160_000.0, 10_000.0
_GLOBAL_EVERY = 3
_EPS = 1e-5
_EPS_OF_HEADS = 1e-6


def write_checkpoint(folder: Path) -> None:
    """Write a PE-A-Frame of about 50,000 weights, as it lies on disk after a download."""
    from transformers import PeAudioConfig, PeAudioFeatureExtractor, PeAudioFrameLevelModel

    text = _TEXT | {"vocab_size": write_tokenizer(folder), "model_type": "modernbert"}
    write_model(PeAudioFrameLevelModel(PeAudioConfig(text_config=text, audio_config=dict(_AUDIO))), folder)
    PeAudioFeatureExtractor().save_pretrained(folder)
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": settings}), encoding="utf-8")


def run_pe_audio(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return vectors of clips of at most 30 s and of captions, (n, dim) float32.

    Args:
        folder: Holds the checkpoint.
        batch: Clips at 48 kHz.
        argument: ``audio``, ``text``, or else the mean of both.
    """
    import torch
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stored = [load_file(path) for path in sorted(folder.glob("*.safetensors"))]
    state = {name: tensor.double() for each in stored for name, tensor in each.items()}
    sides = []
    with torch.inference_mode():
        if argument != "text":
            clips = batch.require_audio("PE-Audio")
            sides.append([_of_clip(torch.from_numpy(clip).double(), config["audio_config"], state) for clip in clips])
        if argument != "audio":
            sides.append([_of_text(each, config["text_config"], state) for each in _token_ids(folder, batch)])
    units = [torch.stack(side) / torch.stack(side).norm(dim=1, keepdim=True) for side in sides]
    return torch.stack(units).mean(dim=0).float().numpy()


def _of_clip(wave: Tensor, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Tensor:
    """Return the mean over frames of 40 ms of what the head makes of each."""
    import torch

    missing = -len(wave) % _HOP
    if missing:
        wave = torch.cat([wave, wave[-missing - 1 : -1].flip(0)])
    x = _codec(wave[None, None], config["dac_config"]["downsampling_ratios"], state)
    x = _linear(x[0].T, "audio_encoder.embedder.data_proj", state)
    x = torch.cat([state["audio_encoder.patch_embedder.class_embedding"][0], x])
    block = x.T[None]
    for name in ("block1", "block2"):
        block = _convolution_block(block, f"audio_encoder.patch_embedder.resnet_block.{name}", state)
    x = x + block[0].T
    for number in range(config["num_hidden_layers"]):
        layer = f"audio_encoder.layers.{number}"
        x = x + _audio_attention(_rms(x, f"{layer}.input_layernorm", state), layer, config["head_dim"], state)
        hidden = _rms(x, f"{layer}.post_attention_layernorm", state)
        gate = torch.nn.functional.silu(_linear(hidden, f"{layer}.mlp.gate_proj", state))
        x = x + _linear(gate * _linear(hidden, f"{layer}.mlp.up_proj", state), f"{layer}.mlp.down_proj", state)
    x = _linear(_rms(x, "audio_encoder.norm", state), "audio_encoder.output", state)
    return _head(x[1:], "audio_head", state).mean(dim=0)


def _codec(x: Tensor, strides: list[int], state: Mapping[str, Tensor]) -> Tensor:
    """Return (1, codes, frames) of (1, 1, samples): the encoder of DAC, and the mean of its bottleneck."""
    x = _convolved(x, "conv1", state, padding=3)
    for number, stride in enumerate(strides):
        block = f"block.{number}"
        for unit, dilation in (("res_unit1", 1), ("res_unit2", 3), ("res_unit3", 9)):
            inner = _snake(x, f"{block}.{unit}.snake1", state)
            inner = _convolved(inner, f"{block}.{unit}.conv1", state, padding=3 * dilation, dilation=dilation)
            inner = _snake(inner, f"{block}.{unit}.snake2", state)
            x = x + _convolved(inner, f"{block}.{unit}.conv2", state)
        x = _snake(x, f"{block}.snake1", state)
        x = _convolved(x, f"{block}.conv1", state, stride=stride, padding=-(-stride // 2))
    x = _convolved(_snake(x, "snake1", state), "conv2", state, padding=1)
    return _convolved(x, "audio_encoder.embedder.bottleneck", state, prefix="")


def _convolved(
    x: Tensor, name: str, state: Mapping[str, Tensor], prefix: str = "audio_encoder.embedder.dac_encoder.", **how: int
) -> Tensor:
    from torch.nn.functional import conv1d

    return conv1d(x, state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"], **how)


def _snake(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    alpha = state[f"audio_encoder.embedder.dac_encoder.{name}.alpha"]
    return x + (alpha * x).sin() ** 2 / (alpha + 1e-9)


def _convolution_block(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    """Normalise over all numbers of the clip, then convolve over three frames."""
    from torch.nn import functional

    scale, shift = (state[f"{name}.groupnorm.{each}"][:, None] for each in ("weight", "bias"))
    x = (x - x.mean()) / (x.var(unbiased=False) + _EPS).sqrt() * scale + shift
    return functional.conv1d(
        functional.silu(x), state[f"{name}.project.weight"], state[f"{name}.project.bias"], padding=1
    )


def _audio_attention(x: Tensor, layer: str, width: int, state: Mapping[str, Tensor]) -> Tensor:
    query, key, value = (
        _linear(x, f"{layer}.self_attn.{part}_proj", state).reshape(len(x), -1, width).transpose(0, 1) for part in "qkv"
    )
    query, key = (_rms(each, f"{layer}.self_attn.{part}_norm", state) for each, part in ((query, "q"), (key, "k")))
    query, key = (_turned_pairs(each, _AUDIO_BASE) for each in (query, key))
    shares = (query @ key.transpose(1, 2) / width**0.5).softmax(dim=2)
    return _linear((shares @ value).transpose(0, 1).flatten(1), f"{layer}.self_attn.o_proj", state)


def _of_text(ids: list[int], config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Tensor:
    """Return what the head makes of the first token, as the last layer of ModernBERT gives it, not normalised."""
    import torch
    from torch.nn import functional

    x = _normalised(state["text_model.embeddings.tok_embeddings.weight"][ids], "text_model.embeddings.norm", state)
    position = torch.arange(len(ids))
    near = (position[:, None] - position[None]).abs() <= config["local_attention"] // 2
    for number in range(config["num_hidden_layers"]):
        layer, everywhere = f"text_model.layers.{number}", number % _GLOBAL_EVERY == 0
        before = x if number == 0 else _normalised(x, f"{layer}.attn_norm", state)
        parts = _linear(before, f"{layer}.attn.Wqkv", state).reshape(len(ids), 3, config["num_attention_heads"], -1)
        query, key, value = parts.permute(1, 2, 0, 3)
        query, key = (_turned_halves(each, _GLOBAL_BASE if everywhere else _LOCAL_BASE) for each in (query, key))
        scores = query @ key.transpose(1, 2) / query.shape[2] ** 0.5
        shares = (scores if everywhere else scores.masked_fill(~near, -torch.inf)).softmax(dim=2)
        x = x + _linear((shares @ value).transpose(0, 1).flatten(1), f"{layer}.attn.Wo", state)
        hidden, gate = _linear(_normalised(x, f"{layer}.mlp_norm", state), f"{layer}.mlp.Wi", state).chunk(2, dim=1)
        x = x + _linear(functional.gelu(hidden) * gate, f"{layer}.mlp.Wo", state)
    return _head(x[:1], "text_audio_head", state)[0]


def _token_ids(folder: Path, batch: TrackBatch) -> list[list[int]]:
    from tokenizers import Tokenizer

    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(min(settings["model_max_length"], 512))
    return [tokenizer.encode(str(caption)).ids for caption in batch.captions]


def _angles(frames: int, width: int, base: float) -> tuple[Tensor, Tensor]:
    import torch

    speeds = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(frames, dtype=torch.float64)[:, None] * speeds
    return angles.cos(), angles.sin()


def _turned_pairs(x: Tensor, base: float) -> Tensor:
    """Turn each pair of neighbours by an angle that grows with the position."""
    import torch

    cos, sin = _angles(x.shape[1], x.shape[2], base)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(2)


def _turned_halves(x: Tensor, base: float) -> Tensor:
    """Turn each pair of a number in the first half and its partner in the second."""
    import torch

    cos, sin = _angles(x.shape[1], x.shape[2], base)
    first, second = x.chunk(2, dim=2)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=2)


def _head(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    return _linear(_normalised(x, f"{name}.layer_norm", state, _EPS_OF_HEADS), f"{name}.proj", state)


def _linear(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    given = x @ state[f"{name}.weight"].T
    return given + state[f"{name}.bias"] if f"{name}.bias" in state else given


def _rms(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    return x / (x.pow(2).mean(dim=-1, keepdim=True) + _EPS).sqrt() * state[f"{name}.weight"]


def _normalised(x: Tensor, name: str, state: Mapping[str, Tensor], eps: float = _EPS) -> Tensor:
    deviation = (x.var(dim=1, unbiased=False, keepdim=True) + eps).sqrt()
    given = (x - x.mean(dim=1, keepdim=True)) / deviation * state[f"{name}.weight"]
    return given + state[f"{name}.bias"] if f"{name}.bias" in state else given


REFERENCE = Reference(
    Path(__file__).with_name("pe-audio.npz"),
    "Vyas et al. 2025 written out in float64",
    write_checkpoint,
    run_pe_audio,
    seconds=1.01,
    arguments=("whole", "audio", "text"),
)
