"""MULE: the package ``mule-torch`` called as its documentation does, at half the level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded

_FOLDER = Path(__file__).parent


def write_checkpoint(folder: Path) -> None:
    """Write a MULE with about one channel in ten."""
    from mule_torch import MuleModel
    from mule_torch.config import MuleConfig

    narrow = MuleConfig(
        embedding_dim=80,
        slow_stem_channels=(4, 8, 8, 16),
        fast_stem_channels=(2, 4, 8, 8),
        slow_stage_in=(32, 48, 64, 96),
        slow_stage_out=(32, 48, 64, 64),
        fast_stage_in=(8, 16, 16, 16),
        fast_stage_out=(16, 16, 16, 16),
        slow_group_size=8,
        fast_group_size=8,
        fusion_input_channels=(8, 8, 8, 8),
        fusion_output_channels=(16, 16, 16, 32),
    )
    model = MuleModel(narrow)
    state = model.state_dict()
    for name, tensor in state.items():
        if name.startswith("backbone."):
            state[name] = torch.from_numpy(seeded(name.replace("gain", "weight"), tuple(tensor.shape)))
    model.load_state_dict(state)
    model.save_pretrained(folder)


def run_mule(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return what the package makes of all clips together, (n, dim) float32."""
    from mule_torch import MuleModel

    with torch.inference_mode():
        return MuleModel.from_pretrained(model_dir=folder)(torch.from_numpy(batch.require_audio("MULE") / 2)).numpy()


MULE = Reference(_FOLDER / "mule.npz", "mule-torch 0.2.0", write_checkpoint, run_mule, seconds=7.0)
