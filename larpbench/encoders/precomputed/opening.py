"""The format of a path, by its content, and the files that it consists of."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from larpbench.encoders.precomputed import arrays, tables
from larpbench.encoders.precomputed.beside import ids_beside, read_ids
from larpbench.encoders.precomputed.source import Source, checked, ids_of_array
from larpbench.errors import DataError, LarpbenchError, clipped, printable
from larpbench.storage import storage_errors

ALLOWED = (
    ".npz, .npy, .safetensors, Parquet, CSV, TSV, HDF5 or .pt, or a folder of Parquet files or of one .npy a track"
)
T = TypeVar("T")
_NEXT = "larpbench describe encoder precomputed"
_TABLES = (".parquet", ".pq")
_SIGNS = {
    b"PAR1": "parquet",
    b"\x93NUMPY": "npy",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_SUFFIXES = {".csv": "separated", ".tsv": "separated", ".pt": "torch", ".pth": "torch", ".safetensors": "safetensors"}
_STRANGERS = {
    b"<!doctype": "it is a web page, such as an error page that was saved in the place of a file: download it again",
    b"<html": "it is a web page, such as an error page that was saved in the place of a file: download it again",
    b"version https://git-lfs": "it is a pointer of Git LFS and not the file itself: git lfs pull",
    b"\x80": "it is a pickle, which is a program and never loaded: save the arrays with numpy.savez",
    b"arrow1": "it is an Arrow file: write it as Parquet",
    b"\x1f\x8b": "it is compressed: unpack it with gunzip",
    b"bzh": "it is compressed: unpack it with bunzip2",
}


@dataclass(frozen=True)
class Place:
    """What follows the colon of ``precomputed:PATH#COLUMN``.

    Attributes:
        path: A file or folder.
        column: Name of the column or array of vectors; None: one of the usual names.
    """

    path: Path
    column: str | None


def place_of(argument: str) -> Place:
    """Split what follows the colon; a ``#`` in the name of a file that is there separates nothing.

    Raises:
        DataError: If there is no such file or folder.
    """
    path, _, column = argument.rpartition("#")
    for place in (Place(_path(argument), None), *([Place(_path(path), column)] if path and column else [])):
        if _is_there(place.path):
            return place
    raise DataError(f"there is no file {clipped(argument)}", where=f"precomputed:{clipped(argument)}", allowed=ALLOWED)


def _path(text: str) -> Path:
    return Path(text).expanduser() if text.startswith("~/") else Path(text)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except (OSError, ValueError):  # longer than a path can be
        return False


def files_of(path: Path) -> list[Path]:
    """Return the files that the vectors of a path depend on, in a fixed order.

    Raises:
        DataError: If it is a folder without any.
    """
    if not path.is_dir():
        kind = _kind(path)
        beside = None if kind in ("parquet", "separated") else ids_beside(path, alone=kind != "npy")
        return [path, *([beside] if beside else [])]
    parquet = sorted(_names_in(path, _TABLES, aside=(".", "_")))  # Spark, too, leaves something beside its tables
    npy = sorted(_names_in(path, (".npy",), aside=(".",)))
    if bool(parquet) == bool(npy):
        what = "both Parquet files and .npy files" if parquet else "no Parquet file and no .npy file"
        raise DataError(
            f"the folder holds {what}: name one of its files", where=str(path), allowed=ALLOWED, next_step=_NEXT
        )
    return [Path(each) for each in parquet or npy]


def _names_in(folder: Path, ends: tuple[str, ...], aside: tuple[str, ...]) -> Iterator[str]:
    """Yield the files in a folder, which may be a million, by their ends; names that begin with `aside` are no data."""

    def unreadable(error: OSError) -> None:
        raise error

    for at, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [each for each in folders if not each.startswith(aside)]
        data = (each for each in names if each.lower().endswith(ends) and not each.startswith(aside))
        yield from (f"{at}{os.sep}{each}" for each in data)


_dims: dict[Place, int] = {}
_sizes: dict[Place, int] = {}  # a folder may hold a million files, and a plan asks for each of its cells


def size_and_dim(argument: str) -> tuple[int, int]:
    """Return how many bytes the files of vectors have, and the length of the vectors.

    Raises:
        DataError: If they cannot be read.
    """
    place = place_of(argument)
    if place not in _dims:
        open_vectors(place)
    if place not in _sizes:
        _sizes[place] = sum(each.stat().st_size for each in files_of(place.path))
    return _sizes[place], _dims[place]


def open_vectors(place: Place) -> Source:
    """Return the vectors of a path; ids and headers are read and checked, vectors only where there is no other way.

    Raises:
        DataError: If they cannot be read, or ids and vectors do not fit together.
        MissingPartError: If a package is missing that reads them.
        StorageError: If the file cannot be read at all.
    """
    source = checked(reading(place.path, lambda: _open(place)), str(place.path))
    _dims[place] = source.shape[1]
    _sizes.pop(place, None)

    def blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        found = source.blocks(rows)
        while (block := reading(place.path, lambda: next(found, None))) is not None:
            yield block

    return replace(source, blocks=blocks)


def reading(path: Path, read: Callable[[], T], what: str = "the vectors") -> T:
    """Return what a function reads of a user's file; whatever it raises becomes an error about the file.

    Raises:
        DataError: If the file is not what it should be.
        StorageError: If it cannot be read at all.
    """
    with storage_errors(path, "read"):
        try:
            return read()
        except LarpbenchError:
            raise
        except OSError as error:
            if error.errno:
                raise
            raise _unreadable(path, error, what) from error
        except BaseException as error:
            if not isinstance(error, Exception | pl.exceptions.PanicException):
                raise
            raise _unreadable(path, error, what) from error


def _unreadable(path: Path, error: BaseException, what: str) -> DataError:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    named_by_text = isinstance(error, ValueError | RuntimeError | OSError | zipfile.BadZipFile) or "polars" in str(
        type(error)
    )
    reason = first if named_by_text and first else f"{type(error).__name__}: {first}"
    return DataError(f"{what} cannot be read: {clipped(printable(reason), 600)}", where=str(path), next_step=_NEXT)


def _open(place: Place) -> Source:
    path, column = place.path, place.column
    files = files_of(path)
    if path.is_dir() and files[0].suffix.lower() == ".npy":
        names = [each.name[: -len(".npy")] for each in files]
        if len(set(names)) < len(names):
            raise ValueError("several of its files have the same name, in folders of their own: a name is an id")
        return arrays.source_of(arrays.npy_folder(dict(zip(names, files, strict=True))), column, lambda: _ids(path))
    if path.is_dir():
        return tables.parquet(files, column)
    match _kind(path):
        case "parquet":
            return tables.parquet([path], column)
        case "separated":
            return tables.separated(path, column)
        case "npy":
            found = arrays.npy(path)
        case "npz":
            found = arrays.npz(path)
        case "hdf5":
            found = arrays.hdf5(path)
        case "torch":
            found = arrays.torch_state(path)
        case _:
            found, facts = arrays.safetensors(path)
            if "ids" in facts:
                return arrays.source_of(found, column, lambda: _ids_of_metadata(facts["ids"]))
    return arrays.source_of(found, column, lambda: _ids(path))


def _ids(path: Path) -> pl.Series:
    beside = ids_beside(path, alone=_kind(path) != "npy")
    if beside is None:
        raise ValueError(f"it has no ids: put them in {path.stem}.ids.txt beside it, one a line")
    return reading(beside, lambda: read_ids(beside), f"the ids in {printable(beside.name)}")


def _ids_of_metadata(text: str) -> pl.Series:
    try:
        return ids_of_array(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError("the ids in its metadata are no JSON list") from error


def _kind(path: Path) -> str:
    """Return the format of a file.

    Raises:
        DataError: If it is none that holds vectors.
    """
    suffix = path.suffix.lower()
    with storage_errors(path, "read"), path.open("rb") as stream:
        begin = stream.read(64)
    kind = next((kind for sign, kind in _SIGNS.items() if begin.startswith(sign)), None)
    if kind == "zip":
        return reading(path, lambda: _kind_of_zip(path))
    kind = kind or ("safetensors" if begin[8:9] == b"{" and suffix not in _SUFFIXES else _SUFFIXES.get(suffix))
    plain = begin.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    stranger = next((reason for sign, reason in _STRANGERS.items() if plain.startswith(sign)), None)
    if not begin:
        stranger = "it is empty"
    if stranger and (kind not in ("torch", "npy") or not begin):
        raise DataError(f"the vectors cannot be read: {stranger}", where=str(path), allowed=ALLOWED)
    if kind is None:
        raise DataError(
            f"vectors cannot be read from a {clipped(path.suffix, 20) or 'nameless'} file with this content",
            where=str(path),
            allowed=ALLOWED,
            next_step=_NEXT,
        )
    return kind


def _kind_of_zip(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return "torch" if any(name.endswith("data.pkl") for name in archive.namelist()) else "npz"
