"""Audio towers of audio-language models, written out in float64 without transformers: log-mel, layers and pooling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded

if TYPE_CHECKING:
    from torch import Tensor

_RATE, _FFT, _HOP, _BANDS, _WINDOW_S = 16_000, 400, 160, 16, 2
_WIDTH, _DEPTH, _HEADS, _INNER = 16, 3, 2, 32
_POSITIONS = _WINDOW_S * _RATE // _HOP // 2
_EPS = 1e-5
_QWEN = {"d_model": _WIDTH, "encoder_layers": _DEPTH, "encoder_attention_heads": _HEADS, "encoder_ffn_dim": _INNER}
_FLAMINGO = {
    "hidden_size": _WIDTH,
    "num_hidden_layers": _DEPTH,
    "num_attention_heads": _HEADS,
    "intermediate_size": _INNER,
}
_KINDS: dict[str, tuple[str, dict[str, int]]] = {
    "qwen2_audio": ("qwen2_audio_encoder", _QWEN),
    "audioflamingo3": ("audioflamingo3_encoder", _FLAMINGO),
    "musicflamingo": ("audioflamingo3_encoder", _FLAMINGO),
}
_PREFIX = "audio_tower."


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Return the tensors of a small tower, by name."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (_WIDTH, _BANDS, 3), "conv2.weight": (_WIDTH, _WIDTH, 3)}
    shapes |= {"conv1.bias": (_WIDTH,), "conv2.bias": (_WIDTH,), "embed_positions.weight": (_POSITIONS, _WIDTH)}
    for number in range(_DEPTH):
        layer = f"layers.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{layer}.self_attn.{part}.weight"] = (_WIDTH, _WIDTH)
            if part != "k_proj":
                shapes[f"{layer}.self_attn.{part}.bias"] = (_WIDTH,)
        shapes |= {f"{layer}.fc1.weight": (_INNER, _WIDTH), f"{layer}.fc1.bias": (_INNER,)}
        shapes |= {f"{layer}.fc2.weight": (_WIDTH, _INNER), f"{layer}.fc2.bias": (_WIDTH,)}
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{layer}.{norm}.weight": (_WIDTH,), f"{layer}.{norm}.bias": (_WIDTH,)}
    return shapes | {"layer_norm.weight": (_WIDTH,), "layer_norm.bias": (_WIDTH,)}


def write_tower(kind: str, folder: Path) -> None:
    """Write a small checkpoint by the published names: the tower's tensors, and some of the language model.

    Args:
        kind: Type of the model.
        folder: Where to write.
    """
    import torch
    from safetensors.torch import save_file

    tower, sizes = _KINDS[kind]
    sizes = sizes | {"num_mel_bins": _BANDS, "max_source_positions": _POSITIONS}
    config = {
        "model_type": kind,
        "audio_config": {"model_type": tower, **sizes},
        "text_config": {"model_type": "qwen2"},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    settings = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": _BANDS,
        "sampling_rate": _RATE,
        "hop_length": _HOP,
        "chunk_length": _WINDOW_S,
        "n_fft": _FFT,
        "return_attention_mask": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    state = {f"{_PREFIX}{name}": torch.from_numpy(seeded(name, shape)) for name, shape in tensor_shapes().items()}
    others = {"language_model.model.norm.weight": torch.ones(8), "multi_modal_projector.linear.bias": torch.ones(8)}
    save_file(state | others, folder / "model.safetensors", {"format": "pt"})


def run_tower(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the mean over frames of a state, (n, width) float32; of clips of at most one window.

    Args:
        folder: Holds the checkpoint.
        batch: Clips at 16 kHz.
        argument: Ends with ``@LAYER``, or the last one is meant.
    """
    _, at, layer = (argument or "").rpartition("@")
    states = [all_states(folder, clip)[int(layer) if at else -1] for clip in batch.require_audio("the tower")]
    return np.stack([each.mean(dim=0).numpy() for each in states]).astype(np.float32)


def all_states(folder: Path, clip: np.ndarray) -> list[Tensor]:
    """Return states 0 to 3 of a clip, (frames, width) float64 each, 25 frames a second, without padding."""
    import torch
    from safetensors.torch import load_file
    from torch.nn import functional

    stored = load_file(folder / "model.safetensors")
    state = {name.removeprefix(_PREFIX): each.double() for name, each in stored.items() if name.startswith(_PREFIX)}
    with torch.inference_mode():
        mel = log_mel(torch.from_numpy(clip).double())
        x = functional.gelu(functional.conv1d(mel[None], state["conv1.weight"], state["conv1.bias"], padding=1))
        x = functional.gelu(functional.conv1d(x, state["conv2.weight"], state["conv2.bias"], stride=2, padding=1))
        x = x[0].T + state["embed_positions.weight"]
        valid = (-(-len(clip) // _HOP) + 1) // 2  # frames of 20 ms of which some part is the clip's
        states = [x]
        for number in range(_DEPTH):
            layer = f"layers.{number}"
            x = x + _attention(
                _normalised(x, f"{layer}.self_attn_layer_norm", state), f"{layer}.self_attn", valid, state
            )
            hidden = functional.gelu(_linear(_normalised(x, f"{layer}.final_layer_norm", state), f"{layer}.fc1", state))
            x = x + _linear(hidden, f"{layer}.fc2", state)
            states.append(x)
        pairs = [(each[0::2] + each[1::2]) / 2 for each in states]
        pairs[-1] = _normalised(pairs[-1], "layer_norm", state)
        return [each[: valid // 2] for each in pairs]


def log_mel(wave: Tensor) -> Tensor:
    """Return (bands, frames) of (samples,), filled up with zeros to a window: Whisper's, by its paper and code."""
    import torch

    whole = torch.cat([wave, torch.zeros(_WINDOW_S * _RATE - len(wave), dtype=wave.dtype)])
    half = _FFT // 2
    whole = torch.cat([whole[1 : half + 1].flip(0), whole, whole[-half - 1 : -1].flip(0)])
    window = 0.5 - 0.5 * torch.cos(2 * torch.pi * torch.arange(_FFT, dtype=wave.dtype) / _FFT)
    power = torch.fft.rfft(whole.unfold(0, _FFT, _HOP)[:-1] * window).abs() ** 2
    logs = (power @ torch.from_numpy(_filters())).clamp(min=1e-10).log10()
    return ((logs.clamp(min=float(logs.max()) - 8) + 4) / 4).T


def _filters() -> np.ndarray:
    """Return (bins, bands) triangles of equal area on Slaney's mel scale, 0 to 8 kHz."""
    step = np.log(6.4) / 27
    top = 15 + np.log(_RATE / 2 / 1_000) / step
    mels = np.linspace(0, top, _BANDS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1_000 * np.exp((mels - 15) * step))
    hz = np.arange(_FFT // 2 + 1)[:, None] * _RATE / _FFT
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])


def _attention(x: Tensor, name: str, valid: int, state: Mapping[str, Tensor]) -> Tensor:
    """Attend to the frames that are not padding."""
    query, key, value = (
        _linear(x, f"{name}.{part}_proj", state).reshape(len(x), _HEADS, -1).transpose(0, 1) for part in "qkv"
    )
    shares = (query @ key[:, :valid].transpose(1, 2) / query.shape[2] ** 0.5).softmax(dim=2)
    return _linear((shares @ value[:, :valid]).transpose(0, 1).flatten(1), f"{name}.out_proj", state)


def _linear(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    given = x @ state[f"{name}.weight"].T
    return given + state[f"{name}.bias"] if f"{name}.bias" in state else given


def _normalised(x: Tensor, name: str, state: Mapping[str, Tensor]) -> Tensor:
    deviation = (x.var(dim=1, unbiased=False, keepdim=True) + _EPS).sqrt()
    return (x - x.mean(dim=1, keepdim=True)) / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]


def _reference(kind: str) -> Reference:
    return Reference(
        Path(__file__).with_name("tower.npz"),
        "the tower written out in float64",
        partial(write_tower, kind),
        run_tower,
        seconds=1.37,
        sample_rate=_RATE,
        arguments=tuple(f"@{layer}" for layer in range(_DEPTH + 1)),
        default=f"@{_DEPTH}",
    )


TOWER_REFERENCES = {kind: _reference(kind) for kind in _KINDS}
"""By type of model; all of them have the same vectors for the same weights."""
