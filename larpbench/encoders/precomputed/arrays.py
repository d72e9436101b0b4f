"""Formats that hold named arrays: .npz, .npy, .safetensors, HDF5, .pt, and a folder of .npy files."""

from __future__ import annotations

import functools
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import polars as pl

from larpbench.datasets.reading.larp_release import read_object_array
from larpbench.encoders.precomputed.source import (
    BLOCK_BYTES,
    ID_NAMES,
    VECTOR_NAMES,
    Blocks,
    Source,
    at_once,
    id_name,
    ids_of_array,
    in_parts,
    is_real,
    listed,
)
from larpbench.errors import DataError, MissingPartError, clipped

if TYPE_CHECKING:
    import torch

_REMEDY = (
    "it holds arrays of Python objects other than text, which are never unpickled; ids of pandas: "
    "ids=frame['track_id'].to_numpy().astype(str), vectors: embeddings=np.stack(frame['embedding'])"
)


@dataclass(frozen=True)
class Array:
    """An array in a file.

    Attributes:
        shape: Its shape.
        kind: The name of its type.
        real: Whether it holds real numbers.
        read: Returns it, mapped from disk where that is possible; bfloat16, which numpy lacks, as float32.
        blocks: Reads it in parts, where it cannot be mapped as it is.
    """

    shape: tuple[int, ...]
    kind: str
    real: bool
    read: Callable[[], np.ndarray]
    blocks: Blocks | None = None


def source_of(arrays: Mapping[str, Array], column: str | None, ids_beside: Callable[[], pl.Series]) -> Source:
    """Return the vectors among some arrays: one array of all of them, or an array for each id.

    Args:
        arrays: Name -> array.
        column: Name of the array of vectors; None: one of `VECTOR_NAMES`.
        ids_beside: Returns the ids that lie in a file beside it.

    Raises:
        ValueError: If there are none, or it is unclear which they are.
    """
    if column is not None:
        if column not in arrays:
            raise ValueError(f"it holds no {column!r}, but {listed(list(arrays))}")
        chosen = column
    else:
        usual = [name for name in VECTOR_NAMES if name in arrays]
        if len(usual) > 1:
            raise ValueError(f"it holds several arrays of vectors: {listed(usual)}; name one: PATH#{usual[0]}")
        if not usual:
            return _one_for_each(arrays)
        chosen = usual[0]
    vectors = arrays[chosen]
    name = id_name(list(arrays))
    ids = ids_of_array(arrays[name].read()) if name else ids_beside()
    return Source(ids, vectors.shape, vectors.kind, vectors.real, vectors.blocks or at_once(vectors.read))


def _one_for_each(arrays: Mapping[str, Array]) -> Source:
    lengths = {_vector_length(array) for array in arrays.values()}
    if len(lengths) != 1 or None in lengths or id_name(list(arrays)):
        shown = ", ".join(f"{clipped(name, 60)!r} {array.shape}" for name, array in list(arrays.items())[:4])
        raise ValueError(
            f"it holds {shown or 'nothing'}: neither an array of all vectors ({', '.join(VECTOR_NAMES)}, or PATH#NAME) "
            f"with ids ({', '.join(ID_NAMES)}), nor one vector of the same length for each id"
        )
    (dim,) = (length for length in lengths if length is not None)
    every = list(arrays.values())
    odd = next((array for array in every if not array.real), every[0])
    ids = pl.Series("ids", list(arrays), dtype=pl.String)

    def blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        yield from ((row, every[row].read().reshape(1, dim)) for row in np.unique(rows).tolist())

    return Source(ids, (len(every), dim), odd.kind, odd.real, blocks)


def _vector_length(array: Array) -> int | None:
    return array.shape[-1] if array.shape and math.prod(array.shape[:-1]) == 1 else None


def npy(path: Path) -> dict[str, Array]:
    """Return the one array of a .npy file, under the name ``embeddings``."""
    return {"embeddings": _npy_array(path)}


def npy_folder(paths: Mapping[str, Path]) -> dict[str, Array]:
    """Return the arrays of .npy files by their ids.

    Raises:
        ValueError: If a file holds more than one vector.
    """
    found = {name: _npy_array(path) for name, path in paths.items()}
    for name, array in found.items():
        if _vector_length(array) is None:
            raise ValueError(
                f"{paths[name].name} is an array of shape {array.shape}, not one vector: a folder holds one .npy a "
                "track; where one file holds all vectors, name that file"
            )
    return found


def ids_of_npy(path: Path) -> pl.Series:
    """Return the ids of a .npy file."""
    with path.open("rb") as stream:
        return ids_of_array(_read_ids(stream, path))


def _npy_array(path: Path) -> Array:
    with path.open("rb") as stream:
        shape, by_columns, dtype = _npy_header(stream)
        offset, size = stream.tell(), os.fstat(stream.fileno()).st_size
    if dtype.hasobject:
        raise ValueError(_REMEDY)
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    if size < offset + math.prod(shape[:1]) * row_bytes:
        raise ValueError(f"it is cut off: an array of shape {shape} does not fit into its {size} bytes")

    def read(start: int, stop: int) -> np.ndarray:
        count = (stop - start) * math.prod(shape[1:])
        found = np.fromfile(path, dtype, count, offset=offset + start * row_bytes)
        if len(found) < count:
            raise ValueError("it has become shorter while it was read")
        return found.reshape(-1, *shape[1:])

    blocks = None if by_columns or not row_bytes else in_parts(read, row_bytes)
    return Array(shape, str(dtype), is_real(dtype), lambda: np.load(path, mmap_mode="r", allow_pickle=False), blocks)


def npz(path: Path) -> dict[str, Array]:
    """Return the arrays of a .npz file."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    shape, by_columns, dtype = _npy_header(stream)
                name = member.removesuffix(".npy")
                if dtype.hasobject and name not in ID_NAMES:
                    raise ValueError(_REMEDY)
                blocks = None if by_columns or dtype.hasobject else _member_blocks(path, member)
                read = _member(path, member, dtype.hasobject)
                found[name] = Array(shape, str(dtype), is_real(dtype), read, blocks)
    return found


def _member(path: Path, member: str, is_object: bool) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            if is_object:
                return _read_ids(stream, path)
            return np.lib.format.read_array(stream, allow_pickle=False)

    return read


def _member_blocks(path: Path, member: str) -> Blocks:
    """Return the blocks of an array in an archive, which is read from end to end: only then its checksum is."""

    def blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
            shape, _, dtype = _npy_header(stream)
            width = math.prod(shape[1:])
            most = max(1, BLOCK_BYTES // max(width * dtype.itemsize, 1))
            for start in range(0, shape[0], most):
                block = np.frombuffer(stream.read(min(most, shape[0] - start) * width * dtype.itemsize), dtype)
                yield start, block.reshape(-1, width)
            stream.read()

    return blocks


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    major, _ = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    return shape, by_columns, dtype


def _read_ids(stream: IO[bytes], path: Path) -> np.ndarray:
    """Return an array that may be one of Python's text objects, which numpy would unpickle."""
    start = stream.tell()
    *_, dtype = _npy_header(stream)
    if not dtype.hasobject:
        stream.seek(start)
        return np.lib.format.read_array(stream, allow_pickle=False)
    try:
        return read_object_array(stream, path)
    except DataError as error:
        raise ValueError(f"{_REMEDY} ({error.what})") from error


_SAFETENSORS_KINDS = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def safetensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the tensors and the metadata of a .safetensors file."""
    from safetensors import safe_open

    found = {}
    with safe_open(path, framework="numpy") as archive:
        for name in archive.keys():  # noqa: SIM118 - it is no dict
            part = archive.get_slice(name)
            kind = _SAFETENSORS_KINDS.get(part.get_dtype())
            real = kind is not None or part.get_dtype() == "BF16"
            found[name] = _tensor_array(_mapped(path, name), tuple(part.get_shape()), kind or part.get_dtype(), real)
        return found, archive.metadata() or {}


def _mapped(path: Path, name: str) -> Callable[[], torch.Tensor]:
    @functools.cache
    def read() -> torch.Tensor:
        from safetensors import safe_open

        with safe_open(path, framework="pt") as archive:  # it maps the file; numpy's reader copies, without bfloat16
            tensor: torch.Tensor = archive.get_tensor(name)
            return tensor

    return read


def _tensor_array(tensor: Callable[[], torch.Tensor], shape: tuple[int, ...], kind: str, real: bool) -> Array:
    blocks = in_parts(lambda start, stop: _numpy_of(tensor()[start:stop]), 4 * math.prod(shape[1:])) if shape else None
    return Array(shape, kind, real, lambda: _numpy_of(tensor()), blocks)


def hdf5(path: Path) -> dict[str, Array]:
    """Return the data sets of an HDF5 file, by their full names.

    Raises:
        MissingPartError: If h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingPartError(
            "vectors in an HDF5 file are read with h5py, which is not installed",
            where=str(path),
            next_step="pip install 'larpbench[hdf5]'",
        ) from error

    def read(name: str, rows: slice | EllipsisType = ...) -> np.ndarray:
        with h5py.File(path, "r") as archive:
            return np.asarray(archive[name][rows])

    found: dict[str, Array] = {}

    def visit(name: str, part: object) -> None:
        if isinstance(part, h5py.Dataset):
            shape, row_bytes = part.shape or (), part.dtype.itemsize * math.prod((part.shape or ())[1:])
            blocks = in_parts(lambda start, stop: read(name, slice(start, stop)), row_bytes) if shape else None
            found[name] = Array(shape, str(part.dtype), is_real(part.dtype), lambda: read(name), blocks)

    with h5py.File(path, "r") as archive:
        archive.visititems(visit)
    return found


def torch_state(path: Path) -> dict[str, Array]:
    """Return the tensors of a file of ``torch.save``, and its lists of ids; nothing else in it is loaded.

    Raises:
        ValueError: If it holds anything but tensors and text.
    """
    import pickle

    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ValueError(
            "the file asks for Python objects, which are never loaded; keep plain tensors: "
            "torch.save({'ids': list_of_text, 'embeddings': tensor}, PATH)"
        ) from error
    if isinstance(state, torch.Tensor):
        state = {"embeddings": state}
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}, not a dict of tensors")
    nested = next((state[name] for name in VECTOR_NAMES if isinstance(state.get(name), dict)), None)
    return {str(name): _torch_array(str(name), value) for name, value in (nested or state).items()}


def _torch_array(name: str, value: Any) -> Array:  # noqa: ANN401 - whatever the file holds
    import torch

    if isinstance(value, torch.Tensor):
        tensor = value.detach()
        real = tensor.is_floating_point() or (not tensor.is_complex() and tensor.dtype != torch.bool)
        kind = str(tensor.dtype).removeprefix("torch.")
        return _tensor_array(lambda: tensor, tuple(tensor.shape), kind, real)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Array((len(value),), type(value).__name__, False, lambda: np.array(value, dtype=object))
    raise ValueError(f"its {name!r} is a {type(value).__name__}, not a tensor or a list of ids")


def _numpy_of(tensor: torch.Tensor) -> np.ndarray:
    import torch

    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
