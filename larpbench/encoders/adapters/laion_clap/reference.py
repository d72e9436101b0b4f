"""LAION's CLAP: the audio branch of its authors' code, which cannot be installed beside larpbench."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from larpbench.encoders.adapters.laion_clap.encoder import WEIGHTS_FILE, read_checkpoint
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded

_FOLDER = Path(__file__).parent

_SMALL = {"embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [2, 2, 4, 4]}
_WIDTH, _DIM = 128, 512
_SAMPLES = 480_000
_SHAPES = Path(__file__).with_name("shapes.json")


def write_checkpoint(folder: Path) -> None:
    """Write a checkpoint of 2 million weights, by the names and shapes of the authors' code, as it lies on disk."""
    shapes: dict[str, list[int]] = json.loads(_SHAPES.read_text(encoding="utf-8"))
    state = {name: torch.from_numpy(seeded(name, tuple(shape))) for name, shape in shapes.items()}
    beside = {"epoch": 15, "name": "made up", "best": np.float64(0.5), "steps": np.int64(3)}
    torch.save(
        {**beside, "state_dict": {f"module.{name}": each for name, each in state.items()}}, folder / WEIGHTS_FILE
    )


def run_laion_clap(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the projected vectors of clips of at most 10 s, (n, 512) float32 of length 1.

    Needs laion-clap 1.1.7 without its text side: the package loads tokenizers from the hub when it is imported.
    """
    tower, projection = _branch()
    state = read_checkpoint(folder / WEIGHTS_FILE)
    for module, prefix in ((tower, "audio_branch."), (projection, "audio_projection.")):
        part = {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}
        outcome = module.load_state_dict(part, strict=False)
        if outcome.unexpected_keys:
            raise ValueError(str(outcome))
    rows = []
    with torch.inference_mode():
        for clip in batch.require_audio("CLAP"):
            rounded = ((np.clip(clip, a_min=-1.0, a_max=1.0) * 32767.0).astype(np.int16) / 32767.0).astype(np.float32)
            wave = torch.from_numpy(rounded).repeat(int(_SAMPLES / len(rounded)))
            wave = torch.nn.functional.pad(wave, (0, _SAMPLES - len(wave)))
            features = tower({"waveform": wave[None]}, device="cpu")["embedding"]
            rows.append(torch.nn.functional.normalize(projection(features), dim=-1)[0].numpy())
    return np.stack(rows)


def _branch() -> tuple[Any, Any]:
    found = importlib.util.find_spec("laion_clap")
    if found is None or found.origin is None:
        raise ImportError("laion-clap is not installed")
    package = Path(found.origin).parent
    sys.path.append(str(package))  # as the package does itself
    htsat = importlib.import_module("clap_module.htsat")
    config_of = importlib.import_module("clap_module.model").CLAPAudioCfp

    facts = json.loads((package / "clap_module/model_configs/HTSAT-base.json").read_text(encoding="utf-8"))
    config = config_of(**facts["audio_cfg"])
    tower = htsat.HTSAT_Swin_Transformer(
        spec_size=256, patch_size=4, patch_stride=(4, 4), num_classes=527, window_size=8, config=config, **_SMALL
    )
    projection = torch.nn.Sequential(torch.nn.Linear(_WIDTH, _DIM), torch.nn.ReLU(), torch.nn.Linear(_DIM, _DIM))
    return tower.eval(), projection.eval()


LAION_CLAP = Reference(
    _FOLDER / "laion-clap.npz",
    "laion-clap 1.1.7",
    write_checkpoint,
    run_laion_clap,
    seconds=4.0,
    installable=False,
)
