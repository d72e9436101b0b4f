"""Numbers of the published implementations that take little room: see tests/fixtures/README.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).parents[1] / "fixtures"
LARP_MINI = FIXTURES / "larp_mini"


def read_packed(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file: those in 16 bits times their scale, those of low rank as a product."""
    with np.load(path) as file:
        arrays = dict(file)
    scales = {name.removesuffix("/scale"): arrays.pop(name) for name in list(arrays) if name.endswith("/scale")}
    for name in [name.removesuffix("/left") for name in arrays if name.endswith("/left")]:
        left, right = (arrays.pop(f"{name}/{side}").astype(np.float64) for side in ("left", "right"))
        arrays[name] = (left @ right).astype(np.float32)
    return {name: each * scales[name] if name in scales else each for name, each in arrays.items()}


def mini_state() -> dict[str, torch.Tensor]:
    """Return the small LARP in the layout of its authors: the momentum audio encoder is the other one and noise."""
    arrays = read_packed(LARP_MINI / "state.npz")
    state = {name: torch.from_numpy(each) for name, each in arrays.items() if name != "relative_position_index"}
    audio = [name for name in state if name.startswith("audio_encoder.")]
    generator = torch.Generator().manual_seed(12)
    for name in audio:
        tensor, follower = state[name], name.replace("audio_encoder.", "audio_encoder_m.", 1)
        if "running_" in name or "num_batches" in name:
            state[follower] = tensor.clone()
        else:
            state[follower] = tensor + 0.02 * torch.randn(tensor.shape, generator=generator)
        if name.endswith("relative_position_bias_table"):
            for encoder in (name, follower):
                index = torch.from_numpy(arrays["relative_position_index"].astype(np.int64))
                state[encoder.replace("bias_table", "index")] = index.clone()
    return state


def mini_waveforms() -> torch.Tensor:
    """Return the eight clips of 2 s that the expected features are of: a tone each, and bursts of noise."""
    row, time = np.arange(1, 9)[:, None], np.arange(96_000) / 48_000
    noise = np.random.default_rng(7).standard_normal((8, len(time)))
    clips = 0.3 * np.sin(2 * np.pi * 110 * row * time) + 0.05 * noise * (np.sin(2 * np.pi * row * time) > 0)
    return torch.from_numpy(clips.astype(np.float32))


class Numbers:
    """Packed arrays of a file as tensors."""

    def __init__(self, path: Path) -> None:
        self._arrays: Mapping[str, np.ndarray] = read_packed(path)

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self._arrays[name]))
