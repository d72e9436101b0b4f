"""Digests: what makes two data sets, encoders or results the same."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

_CHUNK_BYTES = 1 << 22
_CHUNK_CELLS = 1 << 16
CELL_END, MISSING = "\x1f", "\x1e"


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no white space, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """Return the sha256 (64 hex digits) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_columns(*columns: Iterable[str | None]) -> str:
    """Return the sha256 of columns of text, in order; a missing cell is not an empty one.

    Cells must hold no control characters, which separate them here.
    """
    return digest_blocks(*map(_blocks, columns))


def digest_blocks(*columns: Iterable[str]) -> str:
    """Return what `digest_columns` does, of columns in blocks of one cell or more.

    Args:
        columns: Of each, the texts of its blocks: cells joined by `CELL_END`, missing ones written as `MISSING`.
    """
    hasher = hashlib.sha256()
    for column in columns:
        between = ""
        for block in column:
            hasher.update((between + block).encode())
            between = CELL_END
        hasher.update(b"\x1d")
    return hasher.hexdigest()


def _blocks(column: Iterable[str | None]) -> Iterator[str]:
    cells = iter(column)
    while chunk := [MISSING if cell is None else cell for cell in itertools.islice(cells, _CHUNK_CELLS)]:
        yield CELL_END.join(chunk)


def digest_array(array: np.ndarray) -> str:
    """Return the sha256 of an array's type, shape and values."""
    hasher = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def digest_file_once(path: Path) -> str:
    """Return what `digest_file` does, remembered by this process while the file's size and time stay as they are."""
    found = path.stat()
    return _remembered(path.absolute(), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _remembered(path: Path, size: int, modified_ns: int) -> str:
    return digest_file(path)
