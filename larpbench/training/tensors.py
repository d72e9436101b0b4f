"""Named tensors in a file, whole or not at all; the file's metadata hold the digest of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from larpbench import storage
from larpbench.checkpoint_tensors import facts_of, require_tensors, say_casts
from larpbench.errors import DataError
from larpbench.fingerprint import canonical_json

WEIGHTS = "model.safetensors"
"""File of a checkpoint's weights."""
_DIGEST = "sha256"


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write named tensors to a safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    facts = metadata or {}
    with storage.atomic_file(path) as temporary:
        save_file(plain, temporary, {**facts, _DIGEST: _digest(plain, facts)})


def read_tensors(path: Path, next_step: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; one of an earlier version, without a digest, is taken as it is.

    Args:
        path: The file.
        next_step: What to do if it is damaged.

    Raises:
        DataError: If it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as archive:
            facts = archive.metadata() or {}
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"a file of weights is missing or damaged: {error}", where=str(path), next_step=next_step
        ) from error
    told = {name: value for name, value in facts.items() if name != _DIGEST}
    if _DIGEST in facts and facts[_DIGEST] != _digest(tensors, told):
        raise DataError(
            "a file of weights is damaged: its content is not what was written", where=str(path), next_step=next_step
        )
    return tensors


def read_weights(model: nn.Module, path: Path) -> None:
    """Load a model's weights from a safetensors file.

    Raises:
        DataError: If the file is missing or damaged, or holds the weights of another model.
    """
    state = read_tensors(path, "restore it, or delete its folder: what larpbench run trained is then trained anew")
    found = facts_of(state)
    require_tensors(
        found,
        facts_of(model.state_dict()),
        "the model that the settings describe",
        path,
        next_step="restore both files from one checkpoint",
    )
    say_casts(found, path)
    model.load_state_dict(state, strict=False)  # what it may lack is computed


def _digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    hasher = hashlib.sha256(canonical_json(dict(facts)).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        hasher.update(canonical_json([name, str(tensor.dtype), list(tensor.shape)]).encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()
