"""Arrays of rows that may be too large for memory: the system keeps them in a file, and takes them out of memory again.

The file lies in the home folder and has no name there: it goes with the last array that uses it, and with a process
that is killed. Where nobody may write in the home folder, arrays are in memory: a store that others have filled can be
read.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import tempfile

import numpy as np

from larpbench import storage

LARGEST_IN_MEMORY = 1 << 25
"""Bytes from which on an array is a mapped file."""
_CHUNK_BYTES = 1 << 24
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def empty_rows(rows: int, dim: int, dtype: np.dtype | type = np.float32) -> np.ndarray:
    """Return a (rows, dim) array to be filled: in memory if it is small, else in a file that is mapped.

    Raises:
        StorageError: If the home folder has no room for it, or cannot be made.
    """
    size = rows * dim * np.dtype(dtype).itemsize
    if size < LARGEST_IN_MEMORY:
        return np.empty((rows, dim), dtype=dtype)
    folder = storage.make_folder(storage.home())
    with storage.storage_errors(folder):
        try:
            file = tempfile.TemporaryFile(dir=folder, prefix=storage.TEMPORARY_PREFIX)  # noqa: SIM115 - closed below
        except OSError as error:
            if error.errno not in _FORBIDDEN:
                raise
            return np.empty((rows, dim), dtype=dtype)
        with file:
            _reserve(file.fileno(), size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), dtype=dtype).reshape(rows, dim)


def mapped_bytes(rows: int, dim: int) -> int:
    """Return the size of the file that a (rows, dim) float32 array of `empty_rows` takes; 0 if it is in memory."""
    size = rows * dim * 4
    return size if size >= LARGEST_IN_MEMORY else 0


def _reserve(file: int, size: int) -> None:
    """Give a file its room on the disk now: a mapped file without it ends the process that writes."""
    if sys.platform == "linux":
        os.posix_fallocate(file, 0, size)
        return
    for start in range(0, size, _CHUNK_BYTES):
        os.write(file, bytes(min(_CHUNK_BYTES, size - start)))
