"""Vectors that a data set brings: files in its folder ``vectors``, each with a card, for the encoder ``provided:NAME``.

``vectors/NAME`` is any file or folder that ``precomputed:PATH`` reads; what larpbench writes there is ``NAME.npy``,
mapped from disk, with ``NAME.ids.parquet`` and the card ``NAME.json`` beside it. They are no part of the data set's
fingerprint: sets can be added to a data set, and taken away from it, and each has a digest of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError, schema_fault
from larpbench.storage import atomic_file, locked, make_folder, storage_errors, write_text

FOLDER = "vectors"
_READABLE = (".npy", ".parquet", ".npz", ".safetensors", ".h5", ".hdf5", ".pt", ".csv", ".tsv")
_IDS = (".ids", "_ids")


class VectorCard(BaseModel):
    """What is known of a set of vectors, by its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    """One line: which encoder, of which input, pooled how."""
    by: str = "unknown"
    """Who computed the vectors, and where they were published."""
    licence: str = "unknown"
    training_data: str = "unknown"
    """What the encoder was trained on."""
    window_s: float | None = None
    """Seconds of audio in one window; None if unknown, or if it reads no audio."""
    dim: int | None = None
    """Length of the vectors; None: that of the file."""
    citation: tuple[str, ...] = ()
    """Keys of larpbench's references to what computed them, or whole BibTeX entries."""
    leak: str | None = None
    """Why the vectors are no content: they were made from listening or playlists, also of the tested ones. None: they
    are content."""


UNKNOWN = VectorCard(what="vectors that lie in the data set folder")
"""The card of a file without one."""


@dataclass(frozen=True)
class VectorSet:
    """A set of vectors in a data set folder.

    Attributes:
        name: What stands after ``provided:``.
        path: Its file or folder.
        card: What is known of it.
    """

    name: str
    path: Path
    card: VectorCard


def vector_sets(folder: Path) -> dict[str, VectorSet]:
    """Return name -> set of vectors of a data set folder, by name.

    Raises:
        DataError: If a card does not fit the schema, or two files have one name.
    """
    found: dict[str, VectorSet] = {}
    inside = folder / FOLDER
    for path in sorted(inside.iterdir()) if inside.is_dir() else ():
        if path.name.startswith((".", "_")) or not (path.is_dir() or path.suffix.lower() in _READABLE):
            continue
        name = path.name if path.is_dir() else path.stem
        if name.endswith(_IDS):
            continue
        if name in found:
            raise DataError(
                f"two sets of vectors are called {name!r}: {found[name].path.name} and {path.name}",
                where=str(inside),
                allowed="one file a name",
            )
        found[name] = VectorSet(name, path, _card(inside / f"{name}.json"))
    return found


def _card(path: Path) -> VectorCard:
    if not path.is_file():
        return UNKNOWN
    try:
        with storage_errors(path, "read"):
            return VectorCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"the card of the vectors does not fit: {schema_fault(error)}", where=str(path)) from error


def leak_of(dataset: Dataset, name: str) -> str | None:
    """Return why a set of vectors of a data set is no content; None if it is, or if there is no such set."""
    found = vector_sets(dataset.folder).get(name)
    return found.card.leak if found else None


class VectorWriter:
    """Writes one set of vectors row by row, so that memory holds none of it; the files appear when it is closed.

    Used as a context manager: if the block fails, or no row was added, nothing is kept.

    Args:
        folder: Where, such as a data set's ``vectors``.
        name: Name of the set.
        card: What is known of it.
    """

    def __init__(self, folder: Path, name: str, card: VectorCard) -> None:
        self._folder, self._name, self._card = make_folder(folder), name, card
        self._dim = 0
        self._ids: list[pl.Series] = []
        self._rows = 0
        self._part = folder / f".{name}.npy.part"

    def __enter__(self) -> Self:
        with storage_errors(self._part):
            self._stream = self._part.open("wb")
        return self

    def add(self, ids: Iterable[str], vectors: np.ndarray) -> None:
        """Append rows.

        Args:
            ids: (n,) track ids.
            vectors: (n, dim) of any real type.

        Raises:
            DataError: If the vectors of two parts have different lengths.
        """
        if not len(vectors):
            return
        if not self._rows:
            self._dim = vectors.shape[1]
            self._write_header()
        if vectors.shape[1] != self._dim:
            raise DataError(f"the vectors {self._name!r} have different lengths: {self._dim}, {vectors.shape[1]}")
        self._ids.append(pl.Series("track_id", list(ids), dtype=pl.String))
        with storage_errors(self._part), np.errstate(over="ignore"):
            self._stream.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
        self._rows += len(vectors)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._rows:
                with storage_errors(self._part):
                    self._stream.seek(0)
                    self._write_header()
                    self._stream.close()
                self._put_in_place()
        finally:
            self._stream.close()
            with suppress(OSError):
                self._part.unlink(missing_ok=True)

    def _write_header(self) -> None:
        # numpy leaves room in the header for as many rows as there may be: the second one has the same length.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._dim)}
        np.lib.format.write_array_header_1_0(self._stream, header)

    def _put_in_place(self) -> None:
        card = self._card.model_copy(update={"dim": self._dim})
        path = self._folder / f"{self._name}.npy"
        with locked(path):
            with atomic_file(self._folder / f"{self._name}.ids.parquet") as temporary:
                pl.concat(self._ids).to_frame().write_parquet(temporary)
            write_text(self._folder / f"{self._name}.json", card.model_dump_json(indent=2) + "\n")
            with storage_errors(path):
                self._part.replace(path)


def bring(staged: Path, output: Path) -> list[str]:
    """Move sets of vectors that `VectorWriter` wrote into a data set folder; one of a name that is there goes.

    Args:
        staged: A folder on the same disk.
        output: The data set folder.

    Returns:
        The names of the sets that were moved.
    """
    if not staged.is_dir():
        return []
    inside = make_folder(output / FOLDER)
    moved = []
    for path in sorted(staged.glob("*.npy")):
        for beside in (f"{path.stem}.ids.parquet", f"{path.stem}.json", path.name):  # the vectors last: they count
            if (staged / beside).is_file():
                with storage_errors(inside / beside):
                    (staged / beside).replace(inside / beside)
        moved.append(path.stem)
    return moved
