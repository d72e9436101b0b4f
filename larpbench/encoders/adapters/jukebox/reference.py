"""Jukebox: the package's own VQ-VAE and forward pass, on the CPU, over all 8,192 codes that it insists on.

The package insists on CUDA as well: its assertions are made to look for tensors of the CPU, nothing else is changed.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from larpbench.encoders.adapters.jukebox.encoder import PRIOR_FILE, VQVAE_FILE
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded

_FOLDER = Path(__file__).parent

_WIDTH = 64
_CODES = 8_192
_SAMPLES = 1_048_576  # of that many codes
_TOTAL = 62 * 44_100 // 128 * 128  # how long the prior is told that the piece is


def write_checkpoint(folder: Path) -> None:
    """Write a VQ-VAE of its true shape, and a prior of 72 layers that is 64 numbers wide and not 4,800."""
    vqvae, prior = _models()
    for module, file in ((vqvae, VQVAE_FILE), (prior, PRIOR_FILE)):
        state = {name: _made_up(name, values) for name, values in module.state_dict().items()}
        torch.save({"model": {f"module.{name}": values for name, values in state.items()}, "step": 1}, folder / file)


def run_jukebox(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return what layer 36 gives, mean over the codes of each clip, (n, 64) float32."""
    vqvae, prior = _models()
    for module, file in ((vqvae, VQVAE_FILE), (prior, PRIOR_FILE)):
        state = torch.load(folder / file, weights_only=True)["model"]
        module.load_state_dict({name.removeprefix("module."): values for name, values in state.items()})
    transformer = prior.prior.transformer
    transformer._attn_mods = transformer._attn_mods[:36]
    prior.prior.only_encode = True
    meta = {"artist": "unknown", "genre": "unknown", "lyrics": "", "total_length": _TOTAL, "offset": 0}
    rows = []
    on_cpu = mock.patch("torch.cuda.LongTensor", torch.LongTensor)
    with on_cpu, contextlib.redirect_stdout(io.StringIO()), torch.inference_mode():
        labels = prior.labeller.get_batch_labels([meta], "cpu")
        x_cond, y_cond, _ = prior.get_cond(None, prior.get_y(labels, 0))
        for clip in batch.require_audio("Jukebox"):
            wave = torch.from_numpy(clip / np.abs(clip).max())[None, : len(clip) // 128 * 128, None]
            codes = vqvae.encode(wave)[-1]
            filled = torch.zeros(1, _CODES, dtype=torch.long)  # no code knows of those after it
            filled[:, : codes.shape[1]] = codes
            rows.append(prior.prior(filled, x_cond, y_cond)[0, : codes.shape[1]].mean(dim=0).numpy())
    return np.stack(rows)


def _models() -> tuple[Any, Any]:
    from jukebox_infer.hparams import setup_hparams
    from jukebox_infer.make_models import make_prior, make_vqvae

    with contextlib.redirect_stdout(io.StringIO()):
        vqvae = make_vqvae(setup_hparams("vqvae", {"sample_length": _SAMPLES, "restore_vqvae": ""}), "cpu")
        prior = make_prior(setup_hparams("prior_5b", {"prior_width": _WIDTH, "restore_prior": ""}), vqvae, "cpu")
    return vqvae, prior


def _made_up(name: str, values: torch.Tensor) -> torch.Tensor:
    """Return weights that make a difference: the VQ-VAE's many convolutions must not overflow, the codes must count."""
    numbers = seeded(name, tuple(values.shape))
    if name.endswith(".k"):
        numbers = 3 * numbers
    elif values.ndim == 3:
        numbers = numbers * (0.1 if re.search(r"model\.\d+\.model\.[13]\.weight$", name) else 0.4)
    elif values.ndim == 2:
        numbers = (5.0 if name.endswith("x_emb.weight") else 0.4) * numbers
    elif not name.endswith("weight") and values.ndim == 1:
        numbers = 0.1 * numbers
    return torch.from_numpy(numbers).to(values.dtype)


JUKEBOX = Reference(_FOLDER / "jukebox.npz", "jukebox-infer 0.1.2", write_checkpoint, run_jukebox, seconds=2.0)
