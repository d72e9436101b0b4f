"""Pretrained weights for the towers: what of a checkpoint fits, and how much of the tower it covers.

A checkpoint that matches nothing is an error: the published code looks for its audio weights under names that do not
occur, and trains from random weights without a warning.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from larpbench.checkpoint_tensors import Faults, TensorFacts, facts_of, not_floating, say_casts
from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.settings import RANDOM_WEIGHTS
from larpbench.encoders.towers.text_tower import TextTower
from larpbench.encoders.weights.finder import BERT_NAMES, weight_files
from larpbench.errors import DataError, named
from larpbench.fingerprint import digest, digest_file_once

State = dict[str, Tensor]
TOKEN_TYPES = "bert.embeddings.token_type_embeddings.weight"  # noqa: S105, a name of weights
NOT_LEARNED = ("relative_position_index", "num_batches_tracked")
"""Ends of the names of tensors that are the same in every tower, or do not matter."""
_WRAPPERS = ("model", "state_dict")
_NO_COUNTERPART = ("spectrogram_extractor.", "logmel_extractor.", "tscam_conv.", "head.")
"""Of HTS-AT. The mel filters of its 32 kHz checkpoint have the shape of those for 48 kHz: never take them."""
_SWIN_NAMES = (
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".attn.relative_position_", ".attention.self.relative_position_"),
    (".attn.proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
)


@dataclass(frozen=True)
class Coverage:
    """How much of a tower came out of a checkpoint.

    Attributes:
        matched: Tensors that the checkpoint has by name and shape.
        total: Tensors of the tower, without those that are the same in every tower.
        digest: Of the checkpoint's files; None for random weights.
    """

    matched: int
    total: int
    digest: str | None


@dataclass(frozen=True)
class _Layout:
    """How checkpoints of a tower name their tensors."""

    tower: str
    prefixes: tuple[str, ...]
    translate: Callable[[Mapping[str, Tensor], str], State]
    example: str


def load_initial(tower: AudioTower | TextTower, weights: str) -> Coverage:
    """Copy pretrained weights into a tower; nothing is downloaded.

    Args:
        tower: Its tensors are overwritten where the checkpoint has them.
        weights: ``random``, a folder or file, or the name of a checkpoint in the hub cache.

    Raises:
        MissingPartError: If the checkpoint is not here.
        DataError: If it is of another kind or size, or cannot be read.
    """
    own = {name: tensor for name, tensor in tower.state_dict().items() if not name.endswith(NOT_LEARNED)}
    if weights == RANDOM_WEIGHTS:
        return Coverage(0, len(own), None)
    files = weight_files(weights)
    state = {name: tensor for path in files for name, tensor in read_state(path).items()}
    layout = _AUDIO if isinstance(tower, AudioTower) else _TEXT
    translated = [layout.translate(state, prefix) for prefix in layout.prefixes]
    fitting = max(({name: each[name] for name in own if name in each} for each in translated), key=len)
    if not fitting:
        raise DataError(
            f"the checkpoint has not one tensor of the {layout.tower} tower; it holds {named(sorted(state), 3)}",
            where=str(files[0]),
            allowed=" or ".join(prefix + layout.example for prefix in layout.prefixes),
        )
    refuse_other_numbers(state, partial(_translated, layout, own), files[0])
    refuse_other_shapes(fitting, own, files[0])
    tower.load_state_dict(fitting, strict=False)
    if isinstance(tower, TextTower) and (weights in BERT_NAMES or TOKEN_TYPES not in fitting):
        tower.drop_token_types()
    return Coverage(len(fitting), len(own), weights_digest(weights))


def refuse_other_numbers(state: Mapping[str, Tensor], translate: Callable[[State], State], path: Path) -> None:
    """Check that the tensors of a checkpoint that are used are floating, and say which precision is cast.

    Args:
        state: By the checkpoint's names.
        translate: Returns what is used of some of its tensors, by other names.
        path: Of the checkpoint.

    Raises:
        DataError: If some are integer or complex; it names them.
    """
    rounded = {name: facts for name, facts in facts_of(state).items() if facts.dtype != "float32"}
    used = {name: facts for name, facts in rounded.items() if translate({name: state[name]})}
    Faults(other=not_floating(used)).refuse("a network in floating point", path)
    say_casts(used, path, total=len(state))


def weights_digest(weights: str) -> str | None:
    """Return the digest of a checkpoint's files without loading them; None for random weights.

    Raises:
        MissingPartError: If the checkpoint is not here.
    """
    if weights == RANDOM_WEIGHTS:
        return None
    digests = [digest_file_once(path) for path in weight_files(weights)]
    return digests[0] if len(digests) == 1 else digest(digests)


def refuse_other_shapes(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """Check that tensors have the shapes of those of the same name in `own`.

    Raises:
        DataError: If some have not; it names the first.
    """
    other = [name for name in tensors if tensors[name].shape != own[name].shape]
    if other:
        shown = [f"{name} is {tuple(tensors[name].shape)} and not {tuple(own[name].shape)}" for name in other[:3]]
        raise DataError(
            f"the checkpoint is of another size: {len(other)} of {len(tensors)} tensors, {'; '.join(shown)}",
            where=str(path),
            next_step="take the checkpoint's own sizes in the settings, or another checkpoint",
        )


def audio_state(state: Mapping[str, Tensor], prefix: str) -> State:
    """Return what `state` has under `prefix`, by the names of `AudioTower`.

    Args:
        state: Of HTS-AT's published code, or of transformers' ClapAudioModel.
        prefix: In front of ``patch_embed.proj.weight``.
    """
    renamed: State = {}
    for name, tensor in _under(state, prefix):
        if name.startswith(_NO_COUNTERPART) or name.endswith(".attn_mask"):
            continue
        for theirs, ours in _SWIN_NAMES:
            name = name.replace(theirs, ours)
        block, qkv, kind = name.partition(".attn.qkv.")
        if qkv:
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[f"swin.{block}.attention.self.{part}.{kind}"] = rows
            continue
        first, _, rest = name.partition(".")
        renamed[f"norm.{rest}" if first in ("bn0", "batch_norm") else f"swin.{name}"] = tensor
    return renamed


def published_facts(tower: AudioTower) -> dict[str, TensorFacts]:
    """Return what a checkpoint of HTS-AT's published code needs for a tower, by its names: `audio_state` undone."""
    found: dict[str, TensorFacts] = {}
    for name, tensor in tower.state_dict().items():
        if name.endswith(NOT_LEARNED):
            continue
        first, _, rest = name.partition(".")
        name, shape = rest if first == "swin" else f"bn0.{rest}", tuple(tensor.shape)
        block, attention, part = name.partition(".attention.self.")
        if attention and part.startswith(("query", "key", "value")):
            name, shape = f"{block}.attn.qkv.{part.partition('.')[2]}", (3 * shape[0], *shape[1:])
        for theirs, ours in _SWIN_NAMES:
            name = name.replace(ours, theirs)
        found[name] = TensorFacts(shape)
    return found


def text_state(state: Mapping[str, Tensor], prefix: str) -> State:
    """Return what `state` has under `prefix`, by the names of `TextTower`.

    Args:
        state: Of BERT, with or without cross-attention and pooler, which are left out.
        prefix: In front of ``embeddings.word_embeddings.weight``.
    """
    renamed: State = {}
    for name, tensor in _under(state, prefix):
        if ".crossattention." in name or not name.startswith(("embeddings.", "encoder.layer.")):
            continue
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if not name.endswith("position_ids"):
            renamed[f"bert.{name}"] = tensor
    return renamed


_AUDIO = _Layout(
    "audio",
    ("audio_model.audio_encoder.", "audio_encoder.", "sed_model.", "audio_branch.", ""),  # CLAP; HTS-AT; LAION's CLAP
    audio_state,
    "patch_embed.proj.weight",
)
_TEXT = _Layout("text", ("bert.", "text_encoder.", ""), text_state, "embeddings.word_embeddings.weight")


def read_state(path: Path) -> State:
    """Return the tensors of a checkpoint by name, without the ``module.`` of data-parallel training.

    Args:
        path: A .safetensors file, or one of torch.save: a state dict, or one under ``model`` or ``state_dict``.

    Raises:
        DataError: If it is none, or holds what only executing it could read.
    """
    if not path.is_file():
        raise DataError("there is no such checkpoint file", where=str(path))
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for wrapper in _WRAPPERS:
        inner = content.get(wrapper) if isinstance(content, Mapping) else None
        content = inner if isinstance(inner, Mapping) else content
    tensors = content.items() if isinstance(content, Mapping) else ()
    state = {str(name).removeprefix("module."): tensor for name, tensor in tensors if isinstance(tensor, Tensor)}
    if not state:
        raise DataError("the file holds no weights", where=str(path), allowed="a state dict: tensors by name")
    return state


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"no readable safetensors file: {error}", where=str(path)) from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises many kinds; the message of some advises to execute the file
        raise DataError(
            "no checkpoint of tensors and plain values only; nothing of it was executed",
            where=str(path),
            allowed="a state dict written by torch.save, or a .safetensors file",
            next_step="if you trust the file, load it with the code that wrote it and save its weights as .safetensors",
        ) from error


def _translated(layout: _Layout, own: Mapping[str, Tensor], state: State) -> State:
    """Return what a tower takes of some tensors, under whichever prefix."""
    parts = [layout.translate(state, prefix) for prefix in layout.prefixes]
    return {name: tensor for part in parts for name, tensor in part.items() if name in own}


def _under(state: Mapping[str, Tensor], prefix: str) -> list[tuple[str, Tensor]]:
    return [(name.removeprefix(prefix), tensor) for name, tensor in state.items() if name.startswith(prefix)]
