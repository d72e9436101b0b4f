"""Arrays that users bring in numpy's and scipy's files; nothing in them is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from larpbench.errors import DataError, clipped
from larpbench.storage import storage_errors

if TYPE_CHECKING:
    from scipy import sparse

_BROKEN = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)
_PASSWORD_OR_PACKING = RuntimeError  # as zipfile raises it; NotImplementedError is one
_ERRORS = (*_BROKEN, _PASSWORD_OR_PACKING)


def read_array(path: Path) -> np.ndarray:
    """Return the array of a ``.npy`` file, mapped into memory.

    Raises:
        DataError: If there is none, or it is damaged or holds Python objects.
    """
    with storage_errors(_there(path), "read"):
        try:
            found = np.load(path, allow_pickle=False, mmap_mode="r")
        except _ERRORS as error:
            raise _unreadable(path, "array", error, "a .npy file of numbers") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise DataError("the file is an archive of arrays", where=str(path), allowed="a .npy file with one array")
    return found


def read_arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Return arrays of an ``.npz`` archive by name.

    Raises:
        DataError: If one is missing, damaged, or holds Python objects.
    """
    allowed = f"an .npz archive with the arrays {' and '.join(names)}"
    with storage_errors(_there(path), "read"):
        try:
            found = np.load(path, allow_pickle=False)
            if isinstance(found, np.ndarray):
                raise TypeError("it is one array without a name")
            with found:
                return [found[name] for name in names]
        except _ERRORS as error:
            raise _unreadable(path, "arrays", error, allowed) from error


def read_sparse(path: Path) -> sparse.coo_matrix:
    """Return a sparse matrix that scipy's ``save_npz`` wrote.

    Raises:
        DataError: If there is none, or it is damaged, or names rows or columns that it does not have.
    """
    from scipy import sparse

    with storage_errors(_there(path), "read"):
        try:
            matrix = sparse.load_npz(path)
            if hasattr(matrix, "check_format"):
                matrix.check_format(full_check=True)  # an index beyond the end would be read as another artist's
            return sparse.coo_matrix(matrix)
        except (*_ERRORS, IndexError) as error:
            raise _unreadable(path, "matrix", error, "scipy's .npz") from error


def _there(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    return path


def _unreadable(path: Path, what: str, error: Exception, allowed: str) -> DataError:
    reason = clipped(str(error) or type(error).__name__)
    return DataError(f"the {what} cannot be read: {reason}", where=str(path), allowed=allowed)
