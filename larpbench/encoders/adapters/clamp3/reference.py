"""CLaMP 3: the authors' code, called as documented, on a small checkpoint in the published layout.

It cannot be installed beside larpbench: it needs torchaudio, and a transformers of before version 5.
"""

from __future__ import annotations

import importlib
import json
import runpy
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from larpbench.encoders.adapters.clamp3.files import CHECKPOINT, MERT_FOLDER, SAMPLE_RATE
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded, write_xlm_r
from larpbench.encoders.towers.xlm_r import XLM_R_FOLDER

if TYPE_CHECKING:
    from torch import Tensor

_FOLDER = Path(__file__).parent

_WIDTH, _LAYERS, _INNER, _DIM = 64, 2, 256, 48
_PATCH, _CHARACTERS, _PATCHES = 64, 128, 512
_CALM = 0.5
_MERT: dict[str, Any] = {
    "model_type": "mert_model",
    "architectures": ["MERTModel"],
    "feature_extractor_cqt": False,
    "deepnorm": False,
    "hidden_size": _WIDTH,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "do_stable_layer_norm": False,
    "conv_dim": [8] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "sample_rate": SAMPLE_RATE,
}
_EXTRACTOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": SAMPLE_RATE,
    "padding_value": 0,
    "return_attention_mask": True,
    "do_normalize": True,
}
_OLD_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


def write_checkpoint(folder: Path) -> None:
    """Write the checkpoint with all its parts, MERT, and configuration and tokenizer of XLM-R."""
    import torch
    from transformers import BertConfig, BertModel, HubertConfig, HubertModel, XLMRobertaModel

    beside, mert = folder / XLM_R_FOLDER, folder / MERT_FOLDER
    for each in (beside, mert):
        each.mkdir()
    text = write_xlm_r(beside, _WIDTH, _LAYERS, _INNER)
    parts = {
        "text_model": XLMRobertaModel(text),
        "text_proj": torch.nn.Linear(_WIDTH, _DIM),
        "symbolic_model.patch_embedding": torch.nn.Linear(_PATCH * _CHARACTERS, _WIDTH),
        "symbolic_model.base": BertModel(_bert(BertConfig, _PATCHES)),
        "symbolic_proj": torch.nn.Linear(_WIDTH, _DIM),
        "audio_model": BertModel(_bert(BertConfig, 128)),
        "audio_proj": torch.nn.Linear(_WIDTH, _DIM),
    }
    state = {f"{part}.{name}": each for part, module in parts.items() for name, each in _made_up(part, module).items()}
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-5}]}
    beside_model = {"optimizer": optimizer, "epoch": 9, "min_eval_loss": 0.5}
    torch.save({"model": state, **beside_model}, folder / CHECKPOINT)

    (mert / "config.json").write_text(json.dumps(_MERT), encoding="utf-8")
    (mert / "preprocessor_config.json").write_text(json.dumps(_EXTRACTOR), encoding="utf-8")
    hubert = {name: value for name, value in _MERT.items() if name != "model_type"}
    found = _made_up("mert", HubertModel(HubertConfig(**hubert)))
    for new, old in _OLD_NAMES.items():
        found = {name.replace(new, old): each for name, each in found.items()}
    torch.save(found, mert / "pytorch_model.bin")


def _bert(kind: Any, positions: int) -> Any:  # noqa: ANN401 - a BertConfig
    return kind(
        vocab_size=1,
        hidden_size=_WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=1,
        intermediate_size=_INNER,
        max_position_embeddings=positions,
    )


def _made_up(part: str, module: Any) -> dict[str, Tensor]:  # noqa: ANN401 - a module of torch
    """Return weights by the names of a module: calm ones, or many layers would multiply each rounding error."""
    import torch

    shapes = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    numbers = {name: seeded(f"{part}.{name}", shape) for name, shape in shapes.items()}
    return {
        name: torch.from_numpy(each * np.float32(_CALM) if each.ndim > 1 else each) for name, each in numbers.items()
    }


def run_clamp3(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the vectors that the authors' scripts write, scaled to length 1, or the mean of both sides, (n, dim).

    Needs the folders ``code`` and ``preprocessing/audio`` of their repository on the path; all that is changed are the
    sizes in their configuration, and the reading of sound files.
    """
    import torch

    with tempfile.TemporaryDirectory() as made:
        inputs, outputs = (Path(made) / each for each in ("inputs", "outputs"))
        inputs.mkdir()
        if argument != "text":
            states = _windows(folder, torch.from_numpy(batch.require_audio("CLaMP 3")))
            for row, each in enumerate(states):
                np.save(inputs / f"audio-{row}.npy", each)
        if argument != "audio":
            for row, each in enumerate(batch.captions):
                (inputs / f"text-{row}.txt").write_text(str(each), encoding="utf-8")
        _extract(folder, Path(made) / "text", inputs, outputs)
        names = [each for each in ("audio", "text") if argument in (None, each)]
        sides = [
            np.concatenate([np.load(outputs / f"{name}-{row}.npy") for row in range(len(batch))]) for name in names
        ]
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    return np.asarray(np.mean(units, axis=0), dtype=np.float32)


def _windows(folder: Path, clips: Tensor) -> list[np.ndarray]:
    """Return what ``extract_mert.py --mean_features`` writes for clips."""
    import torch

    script = importlib.import_module("extract_mert")
    model = script.HuBERTFeature(str(folder / MERT_FOLDER), SAMPLE_RATE, processor_normalize=True).eval()
    with mock.patch.object(script, "load_audio", lambda clip, **options: clip[None]), torch.inference_mode():
        states = [script.mert_infr_features(model, clip, torch.device("cpu")) for clip in clips]
    return [each.mean(dim=0, keepdim=True).numpy() for each in states]


def _extract(folder: Path, text: Path, inputs: Path, outputs: Path) -> None:
    """Run ``extract_clamp3.py --get_global`` on a folder."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    shutil.copytree(folder / XLM_R_FOLDER, text)
    XLMRobertaModel(XLMRobertaConfig.from_pretrained(text)).save_pretrained(text)  # random: all is in the checkpoint
    config = importlib.import_module("config")
    sizes: dict[str, Any] = dict.fromkeys(("AUDIO_HIDDEN_SIZE", "M3_HIDDEN_SIZE"), _WIDTH) | {
        "CLAMP3_HIDDEN_SIZE": _DIM
    }
    sizes |= dict.fromkeys(("AUDIO_NUM_LAYERS", "PATCH_NUM_LAYERS"), _LAYERS)
    changed: dict[str, Any] = {"TEXT_MODEL_NAME": str(text), "CLAMP3_WEIGHTS_PATH": str(folder / CHECKPOINT)}
    script = next(each for each in map(Path, sys.path) if (each / "extract_clamp3.py").exists()) / "extract_clamp3.py"
    arguments = [script.name, str(inputs), str(outputs), "--get_global"]
    with mock.patch.multiple(config, **sizes, **changed), mock.patch.object(sys, "argv", arguments):
        sys.modules.pop("utils", None)  # it holds what the configuration said when it was imported
        runpy.run_path(str(script))


REFERENCE = Reference(
    _FOLDER / "clamp3.npz",
    "clamp3 02be2e3",
    write_checkpoint,
    run_clamp3,
    seconds=12.0,
    arguments=("audio", "text"),
    installable=False,
)
