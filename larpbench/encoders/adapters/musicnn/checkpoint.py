"""Reads TensorFlow's checkpoints (format V2, "tensor bundle") with numpy and the standard library.

Two files: the index is a sorted table (LevelDB's format) from a tensor's name to where its bytes are, as a protocol
buffer; the data file holds the bytes. Formats: tensorflow/core/util/tensor_bundle, tensorflow/core/lib/io/table and
tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from larpbench.encoders.weights.protobuf import varint, wire_fields
from larpbench.errors import DataError

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
_BLOCK_TRAILER = 5  # compression and checksum
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}


class _Entry(NamedTuple):
    """Where a tensor is, and what it is."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


def read_checkpoint(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Return the numeric tensors of a checkpoint by name, in the order of the index.

    Args:
        index: The ``.index`` file.
        data: The only data file, ``.data-00000-of-00001``.

    Raises:
        DataError: If it is no such checkpoint, or a tensor lies outside the data.
    """
    tensors = {}
    try:
        for key, value in _table(index):
            entry = _entry(value) if key else None  # the empty key holds the header
            if entry is not None:
                n_items = math.prod(entry.shape)
                if entry.size != n_items * np.dtype(entry.dtype).itemsize:
                    raise DataError(f"tensor {key.decode()!r} has not the size that its shape asks for")
                flat = np.frombuffer(data, entry.dtype, n_items, entry.offset)
                tensors[key.decode()] = flat.reshape(entry.shape)
    except (IndexError, ValueError) as error:
        raise DataError(f"the checkpoint is damaged: {error}") from error
    return tensors


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a sorted table."""
    footer = content[-_FOOTER:]
    if int.from_bytes(footer[-8:], "little") != _MAGIC:
        raise DataError("this is no index of a TensorFlow checkpoint", allowed="format V2")
    _, position = _handle(footer, 0)  # of the meta index
    index_block, _ = _handle(footer, position)
    for _, value in _block(content, *index_block):
        handle, _ = _handle(value, 0)
        yield from _block(content, *handle)


def _handle(raw: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return (offset, size) of a block, and the position after it."""
    offset, position = varint(raw, position)
    size, position = varint(raw, position)
    return (offset, size), position


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block; keys leave out what they share with the key before."""
    block = content[offset : offset + size]
    if len(content) < offset + size + _BLOCK_TRAILER or content[offset + size] != 0:
        raise DataError("the index is cut off or compressed", allowed="uncompressed blocks")
    n_restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 * (n_restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = varint(block, position)
        rest, position = varint(block, position)
        length, position = varint(block, position)
        key = key[:shared] + block[position : position + rest]
        position += rest
        yield key, block[position : position + length]
        position += length


def _entry(raw: bytes) -> _Entry | None:
    """Return what a BundleEntryProto says; None if the tensor is not numeric."""
    code = offset = size = 0
    shape: tuple[int, ...] = ()
    for field, value in wire_fields(raw):
        match field, value:
            case 1, int():
                code = value
            case 2, bytes():
                shape = tuple(_dimension(part) for number, part in wire_fields(value) if number == 2)
            case 4, int():
                offset = value
            case 5, int():
                size = value
    return _Entry(_DTYPES[code], shape, offset, size) if code in _DTYPES else None


def _dimension(raw: int | bytes) -> int:
    """Return the length that a TensorShapeProto.Dim gives; an absent one is 0."""
    found = [value for field, value in wire_fields(raw) if field == 1] if isinstance(raw, bytes) else []
    return found[0] if found and isinstance(found[0], int) else 0
