"""Named tensors in a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from larpbench import storage
from larpbench.errors import DataError

WEIGHTS = "model.safetensors"
"""File of a checkpoint's weights."""


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write named tensors to a safetensors file, whole or not at all."""
    with storage.atomic_file(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata)


def read_tensors(path: Path, next_step: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Args:
        path: The file.
        next_step: What to do if it is damaged.

    Raises:
        DataError: If it is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"a file of weights is missing or damaged: {error}", where=str(path), next_step=next_step
        ) from error


def read_weights(model: nn.Module, path: Path) -> None:
    """Load a model's weights from a safetensors file.

    Raises:
        DataError: If the file is missing or damaged, or holds the weights of another model.
    """
    state = read_tensors(path)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if found != expected:
        differing = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise DataError(
            f"the weights are of another model than the settings: {len(differing)} tensors differ, such as "
            f"{differing[0]!r}",
            where=str(path.parent),
            next_step="restore both files from one checkpoint",
        )
    model.load_state_dict(state)
