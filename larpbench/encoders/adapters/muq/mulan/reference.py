"""MuQ-MuLan: the authors' package, called as documented, on a small checkpoint in the published layout.

It cannot be installed beside larpbench: it needs torchaudio, and a transformers of before version 5.
"""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from larpbench.encoders.adapters.muq.mulan.files import CONFIG, MUQ_FOLDER, WEIGHTS
from larpbench.encoders.adapters.muq.reference import write_muq
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded, write_xlm_r
from larpbench.encoders.towers.xlm_r import XLM_R_FOLDER

if TYPE_CHECKING:
    from torch import Tensor

_FOLDER = Path(__file__).parent

_MUQ_WIDTH, _WIDTH, _DIM = 32, 48, 24
_CALM = 0.5
_TRANSFORMER = {"dim": _WIDTH, "heads": 4, "dim_head": 8, "attn_dropout": 0, "ff_dropout": 0, "ff_mult": 4}
_CONFIG: dict[str, Any] = {
    "mulan": {
        "sr": 24_000,
        "clip_secs": 10,
        "dim_latent": _DIM,
        "decoupled_contrastive_learning": True,
        "hierarchical_contrastive_loss": False,
        "hierarchical_contrastive_loss_layers": None,
        "sigmoid_contrastive_loss": False,
        "rank_contrast": True,
    },
    "audio_model": {"name": "OpenMuQ/MuQ-large-msd-iter", "model_dim": _MUQ_WIDTH, "use_layer_idx": -1},
    "text_model": {"name": "xlm-roberta-base", "model_dim": None, "use_layer_idx": -1},
    "audio_transformer": {**_TRANSFORMER, "tf_depth": 0},
    "text_transformer": {**_TRANSFORMER, "tf_depth": 8, "max_seq_len": 1_024},
}
"""The published configuration in a small size, with its depths."""


def write_checkpoint(folder: Path) -> None:
    """Write the checkpoint with all its parts, MuQ's configuration, and configuration and tokenizer of XLM-R."""
    import torch
    from safetensors.torch import load_file
    from transformers import XLMRobertaModel

    from larpbench.encoders.adapters.muq.mulan.transformer import Sizes, Transformer

    muq, beside = folder / MUQ_FOLDER, folder / XLM_R_FOLDER
    for each in (muq, beside):
        each.mkdir()
    write_muq(muq)
    state = {f"mulan.audio.model.{name}": each for name, each in load_file(muq / "model.safetensors").items()}
    (muq / "model.safetensors").unlink()
    text = write_xlm_r(beside, _WIDTH, 2, 96)
    sizes = {each: _CONFIG["text_transformer"][each] for each in ("dim", "tf_depth", "heads", "dim_head", "ff_mult")}
    parts = {
        "audio.aggregator": torch.nn.Conv1d(25, 1, 1),
        "audio.proj": torch.nn.Linear(_MUQ_WIDTH, _WIDTH),
        "audio_to_latents": torch.nn.Linear(_WIDTH, _DIM),
        "text.model": XLMRobertaModel(text),
        "text.transformer": Transformer(Sizes(**sizes)),
        "text_to_latents": torch.nn.Linear(_WIDTH, _DIM),
    }
    for part, module in parts.items():
        state |= {f"mulan.{part}.{name}": each for name, each in _made_up(part, module).items()}
    state["mulan.contrast.temperatures"] = torch.zeros(1, 1, 1)
    torch.save(state, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(_CONFIG, indent=2), encoding="utf-8")


def _made_up(part: str, module: Any) -> dict[str, Tensor]:  # noqa: ANN401 - a module of torch
    """Return weights by the names of a module: calm ones, or many layers would multiply each rounding error.

    What scales is around 1, whatever it is called.
    """
    import torch

    found = {}
    for name, each in module.state_dict().items():
        numbers = seeded(f"{part}.{name}", tuple(each.shape))
        scales = name.endswith(("learned_gamma", "q_scale", "k_scale"))
        found[name] = torch.from_numpy(numbers + np.float32(scales) if each.ndim < 2 else numbers * np.float32(_CALM))
    return found


def run_mulan(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the vectors of one side, or the mean of both, (n, dim) float32.

    One caption at a time: the package's transformer also reads the padding of a batch.
    """
    import torch
    from safetensors.torch import save_file

    package = importlib.import_module("muq")
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "checkpoint"
        shutil.copytree(folder, copy)
        _complete(copy)
        config = json.loads((copy / CONFIG).read_text(encoding="utf-8"))
        for part, name in (("audio_model", MUQ_FOLDER), ("text_model", XLM_R_FOLDER)):
            config[part]["name"] = str(copy / name)
        (copy / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        save_file(torch.load(copy / WEIGHTS, weights_only=True), copy / "model.safetensors", {"format": "pt"})
        model = package.MuQMuLan.from_pretrained(str(copy), local_files_only=True, strict=True).eval()
        sides = []
        with torch.inference_mode():
            if argument != "text":
                sides.append(model(wavs=torch.from_numpy(batch.require_audio("MuQ-MuLan"))))
            if argument != "audio":
                sides.append(torch.cat([model(texts=[str(each)]) for each in batch.captions]))
    return np.asarray(torch.stack(sides).mean(dim=0).numpy(), dtype=np.float32)


def _complete(folder: Path) -> None:
    """Put weights into the folders of MuQ and XLM-R, which the package loads before the checkpoint's replace them."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    with tempfile.TemporaryDirectory() as made:
        write_muq(Path(made))
        shutil.move(Path(made) / "model.safetensors", folder / MUQ_FOLDER / "model.safetensors")
    text = folder / XLM_R_FOLDER
    XLMRobertaModel(XLMRobertaConfig.from_pretrained(text)).save_pretrained(text)


REFERENCE = Reference(
    _FOLDER / "muq-mulan.npz",
    "muq 0.1.0",
    write_checkpoint,
    run_mulan,
    seconds=12.0,
    arguments=("audio", "text"),
    installable=False,
)
