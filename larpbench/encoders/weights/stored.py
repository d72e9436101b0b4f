"""What files of weights hold, by name: shapes and types, without reading the numbers."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larpbench.checkpoint_tensors import TensorFacts, facts_of
from larpbench.encoders.weights.finder import MODEL, Weights
from larpbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_DTYPES |= {"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}
_DTYPES |= {"C64": "complex64"}
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".tar")
_WRAPPERS = ("state_dict", "model")
"""Under which of its entries a file may hold the tensors, with what training needs beside them."""
_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 100_000_000  # bytes, as the format allows


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model's weights, those that transformers would read."""
    alternatives = (sorted(folder.glob(pattern)) for pattern in MODEL[-1].split("|"))
    return next((each for each in alternatives if each), [])


def stored_tensors(files: Sequence[Path]) -> dict[str, tuple[TensorFacts, Path]]:
    """Return shape, type and file of every tensor.

    Raises:
        DataError: If a file is damaged, or holds what only executing it could read.
    """
    found: dict[str, tuple[TensorFacts, Path]] = {}
    for path in files:
        found |= {name: (each, path) for name, each in _facts(path).items()}
    return found


def precision_text(weights: Weights, folder: Path) -> str | None:
    """Return in which precision weights are stored, None if no file of them is known to hold tensors.

    Args:
        weights: What they are.
        folder: Holds them.

    Raises:
        DataError: If a file is damaged.
    """
    listed = [folder / file.name for file in weights.files if file.name.endswith(_SUFFIXES)]
    found = {
        facts.dtype
        for path in listed or model_files(folder)
        for facts in _facts(path, _WRAPPERS).values()
        if facts.floating
    }
    text = ", ".join(sorted(found))
    return f"{text}: cast to float32" if found - {"float32"} else text or None


def read_named(path: Path, names: Sequence[str]) -> list[Tensor]:
    """Return some tensors of a file."""
    if path.suffix != ".safetensors":
        state = read_torch(path)
        return [state[name] for name in names]
    from safetensors import safe_open

    with safe_open(path, framework="pt") as archive:
        return [archive.get_tensor(name) for name in names]


def _facts(path: Path, wrappers: Sequence[str] = ()) -> dict[str, TensorFacts]:
    return _header(path) if path.suffix == ".safetensors" else facts_of(read_torch(path, wrappers))


def _header(path: Path) -> dict[str, TensorFacts]:
    """Return what a safetensors file says of its tensors: eight bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            if length > _LONGEST_HEADER:
                raise ValueError("its header is too long")
            header = json.loads(file.read(length))
        return {
            name: TensorFacts(tuple(map(int, each["shape"])), _DTYPES.get(each["dtype"], str(each["dtype"])))
            for name, each in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise DataError(
            f"no model can be read: {error}", where=str(path), next_step="fetch the weights again"
        ) from error


def numpy_scalars() -> list[Any]:
    """Return what torch must let through of files in which numbers of numpy lie beside the tensors."""
    import numpy as np

    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType]
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds]  # the second: numpy 1's name


def read_torch(path: Path, wrappers: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a file of torch.save; nothing in it is executed.

    Args:
        path: The file.
        wrappers: Names of entries under which the tensors may lie; then numbers of numpy may lie beside them.

    Raises:
        DataError: If it holds anything else.
    """
    import torch

    try:
        with torch.serialization.safe_globals(numpy_scalars() if wrappers else []):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        found = next((found[each] for each in wrappers if isinstance(found.get(each), dict)), found)
        state = {str(name): each for name, each in found.items() if isinstance(each, torch.Tensor)}
    except Exception as error:  # torch raises many kinds; the message of some advises to execute the file
        raise DataError(
            "no model can be read: this file holds no checkpoint of tensors only; nothing of it was executed",
            where=str(path),
            next_step="fetch the weights again",
        ) from error
    return state
