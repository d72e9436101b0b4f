"""MuQ and MusicFM: the authors' code, called as documented, on a small checkpoint in the published layout.

Neither can be installed beside larpbench: both need torchaudio, and a transformers of before version 5.
"""

from __future__ import annotations

import importlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded

if TYPE_CHECKING:
    from torch import Tensor

_FOLDER = Path(__file__).parent

_CHANNELS, _WIDTH, _HEADS, _INTERMEDIATE, _KERNEL = 6, 32, 4, 40, 31
_CODES, _POSITIONS, _GROUPS = 8, 16, 4
_LAST = 12
_CALM = 0.4
_STATISTICS = {"melspec_2048_cnt": 1_000, "melspec_2048_mean": 6.25, "melspec_2048_std": 18.5}  # in dB
_CONFORMER: dict[str, Any] = {
    "hidden_size": _WIDTH,
    "num_hidden_layers": 24,
    "num_attention_heads": _HEADS,
    "intermediate_size": _INTERMEDIATE,
    "hidden_act": "swish",
    "layer_norm_eps": 1e-5,
    "position_embeddings_type": "rotary",
    "rotary_embedding_base": 10_000,
    "max_source_positions": 5_000,
    "conv_depthwise_kernel_size": _KERNEL,
    "num_conv_pos_embeddings": _POSITIONS,
    "num_conv_pos_embedding_groups": _GROUPS,
    "feat_extract_activation": "gelu",
    **dict.fromkeys(("activation_dropout", "attention_dropout", "conformer_conv_dropout", "hidden_dropout"), 0.1),
    "layerdrop": 0.0,
}
"""What the published configurations say, in a small size; the 24 layers are cut down to 12 by both."""
_MUQ: dict[str, Any] = {
    "label_rate": 25,
    "codebook_size": _CODES,
    "hop_length": 240,
    "n_mels": 128,
    "conv_dim": _CHANNELS,
    "encoder_dim": _WIDTH,
    "encoder_depth": _LAST,
    "use_rvq_target": True,
    "rvq_n_codebooks": 1,
}


def write_muq(folder: Path) -> None:
    """Write a folder of MuQ, with the codebooks and heads that only training needs."""
    from safetensors.torch import save_file

    from larpbench.encoders.adapters.muq.checkpoint import MUQ_FILES

    config, weights = MUQ_FILES
    facts = {**_MUQ, "stat": _STATISTICS, "w2v2_config": _CONFORMER}
    (folder / config).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    old = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    unused = {
        "rvq.quantizers.0.codebook.weight": (1_024, 16),
        "rvq.quantizers.0.stale_counter": (1_024,),
        **_normalised("rvq.quantizers.0.in_proj", (16, 512, 1), (16, 1, 1)),
        **_normalised("rvq.quantizers.0.out_proj", (512, 16, 1), (512, 1, 1)),
        **_positions(old),
    }
    save_file(_state(unused), folder / weights, {"format": "pt"})


def write_musicfm(data: str, folder: Path) -> None:
    """Write MusicFM's two files, as a checkpoint of distributed training was converted: every number is a float."""
    import torch

    from larpbench.encoders.adapters.muq.front_end import mel_filters

    unused = {
        "quantizer_melspec_2048_0.random_projection": (512, 16),
        "quantizer_melspec_2048_0.codebook": (_CODES, 16),
        **_positions({}),
    }
    state = {name: each.float() for name, each in _state(unused).items()}
    spectrogram = "model.preprocessor_melspec_2048.mel_stft"
    state |= {
        f"{spectrogram}.spectrogram.window": torch.hann_window(2_048),
        f"{spectrogram}.mel_scale.fb": mel_filters().T.contiguous(),
    }
    beside = {"param_shapes": [{name: each.shape for name, each in state.items()}], "shared_params": set()}
    torch.save({"epoch": 9, "state_dict": state, **beside}, folder / f"pretrained_{data}.pt")
    (folder / f"{data}_stats.json").write_text(json.dumps(_STATISTICS), encoding="utf-8")


def _state(unused: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return made-up weights of the network and of what it does not use, by the names of a checkpoint."""
    import torch

    from larpbench.encoders.adapters.muq.model import Network, Sizes

    network = Network(Sizes(_CHANNELS, _WIDTH, _HEADS, _INTERMEDIATE, _KERNEL))
    shapes = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    shapes |= unused | {"cls_token": (_WIDTH,), "linear.weight": (_CODES, _WIDTH), "linear.bias": (_CODES,)}
    state = {name: torch.from_numpy(_made_up(name, shape)) for name, shape in shapes.items()}
    frequencies = "conformer.embed_positions.inv_freq"
    state[frequencies] = network.state_dict()[frequencies]
    state |= {name: torch.tensor(95_489) for name in state if name.endswith("num_batches_tracked")}
    return {f"model.{name}": each for name, each in state.items()}


def _made_up(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the weights of a tensor: calm ones, or 12 layers would multiply each rounding error by a thousand.

    The statistics of a normalisation are those of numbers around 0.
    """
    numbers = seeded(name.replace("running_", ""), shape)
    if len(shape) > 1:
        numbers = numbers * np.float32(_CALM)
    return 1 + numbers if name.endswith("running_var") else numbers


def _normalised(name: str, shape: tuple[int, ...], lengths: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a convolution whose weights are stored as direction and length."""
    return {f"{name}.weight_v": shape, f"{name}.weight_g": lengths, f"{name}.bias": shape[:1]}


def _positions(renamed: dict[str, str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the positional convolution, which transformers builds and never calls."""
    name = "conformer.pos_conv_embed.conv"
    shapes = _normalised(name, (_WIDTH, _WIDTH // _GROUPS, _POSITIONS), (1, 1, _POSITIONS))
    return {
        f"{name}.{renamed.get(key.rpartition('.')[2], key.rpartition('.')[2])}": each for key, each in shapes.items()
    }


def run_muq(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the hidden states of a layer, mean over time, (n, width) float32."""
    import torch

    model = importlib.import_module("muq").MuQ.from_pretrained(str(folder), local_files_only=True).eval()
    with torch.inference_mode():
        states = model(torch.from_numpy(batch.require_audio("MuQ")), output_hidden_states=True).hidden_states
    return states[_index(argument)].mean(dim=1).numpy()


def run_musicfm(data: str, folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the hidden states of a layer, mean over time, (n, width) float32.

    The code takes the conformer's configuration from the hub, and the sizes below are its arguments.
    """
    import torch
    from transformers import Wav2Vec2ConformerConfig

    module = importlib.import_module("musicfm.model.musicfm_25hz")
    with mock.patch.object(
        Wav2Vec2ConformerConfig, "from_pretrained", lambda name: Wav2Vec2ConformerConfig(**_CONFORMER)
    ):
        model = module.MusicFM25Hz(
            codebook_size=_CODES,
            conv_dim=_CHANNELS,
            encoder_dim=_WIDTH,
            stat_path=str(folder / f"{data}_stats.json"),
            model_path=str(folder / f"pretrained_{data}.pt"),
        ).eval()
    with torch.inference_mode():
        states = model.get_latent(torch.from_numpy(batch.require_audio("MusicFM")), layer_ix=_index(argument))
    return states.mean(dim=1).numpy()


def _index(argument: str | None) -> int:
    return _LAST if argument is None else int(argument.removeprefix("@"))


_LAYERS = tuple(f"@{layer}" for layer in range(_LAST + 1))
MUQ_REFERENCE = Reference(
    _FOLDER / "muq.npz",
    "muq 0.1.0",
    write_muq,
    run_muq,
    seconds=2.0,
    arguments=_LAYERS,
    default=_LAYERS[-1],
    installable=False,
)
MUSICFM_FMA_REFERENCE, MUSICFM_MSD_REFERENCE = (
    Reference(
        _FOLDER / "musicfm.npz",
        "MusicFM25Hz of musicfm",
        partial(write_musicfm, data),
        partial(run_musicfm, data),
        seconds=2.0,
        arguments=_LAYERS,
        default=_LAYERS[-1],
        installable=False,
    )
    for data in ("fma", "msd")
)
