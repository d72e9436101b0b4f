"""Vectors that somebody computed elsewhere, by file.

``precomputed:FILE`` reads

* ``.npz`` with ``ids`` (n strings or integers) and ``embeddings`` (n, dim);
* ``.safetensors`` with a tensor ``embeddings``, and the ids as a JSON list in the file's metadata under ``ids``, or one
  a line in a text file beside it with ``.ids.txt`` in place of ``.safetensors``;
* Parquet with a column ``track_id`` and a column ``embedding`` of lists or arrays of numbers.

Nothing is unpickled: an object array in an ``.npz`` is refused.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.encoders.base import EncodeContext, Encoder, TrackBatch
from larpbench.errors import DataError, EmbeddingError, named
from larpbench.fingerprint import digest, digest_file_once
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, read_parquet

_PICKLED = (
    "the file is no .npz archive, or holds arrays of Python objects, which are never unpickled; ids of pandas: "
    "ids=frame['track_id'].to_numpy().astype(str)"
)


class VectorTable:
    """Vectors by track id, read from a file.

    Raises:
        DataError: If the file cannot be read, or its ids and vectors do not fit together.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        ids, vectors = _read(path)
        if vectors.ndim != 2 or vectors.shape[1] == 0 or not _are_real(vectors.dtype):
            raise DataError(
                f"the embeddings are a {vectors.dtype} array of shape {vectors.shape}",
                where=str(path),
                allowed="real numbers of shape (tracks, dim)",
            )
        if len(ids) != len(vectors):
            raise DataError(f"{len(ids)} ids for {len(vectors)} vectors", where=str(path), allowed="one id a vector")
        self._vectors = vectors
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]
        repeated = self._sorted[1:][self._sorted[1:] == self._sorted[:-1]]
        if len(repeated):
            raise DataError(
                f"{len(repeated)} ids occur more than once: {named(np.unique(repeated))}",
                where=str(path),
                allowed="one vector a track",
            )

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32.

        Raises:
            EmbeddingError: If a track has no vector, naming the ids.
        """
        places = np.searchsorted(self._sorted, batch.track_ids).clip(max=max(len(self._sorted) - 1, 0))
        found = self._sorted[places] == batch.track_ids if len(self._sorted) else np.zeros(len(batch), dtype=bool)
        if not found.all():
            absent = batch.track_ids[~found]
            raise EmbeddingError(
                f"{len(absent)} of {len(batch)} tracks have no vector: {named(absent)}",
                where=str(self._path),
                allowed="a vector for every track of the split (protocol rule 4)",
                next_step="compute the missing vectors, or build the data set without these tracks",
            )
        with np.errstate(over="ignore"):  # infinities are refused where all encoders' vectors are looked at
            return self._vectors[self._order[places]].astype(np.float32)


def _are_real(dtype: np.dtype) -> bool:
    return bool(np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.floating))


def build_precomputed(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the vectors of the file named after the colon."""
    return VectorTable(Path(argument or ""))


def precomputed_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the file (and of the ids beside it).

    Raises:
        DataError: If there is no such file.
    """
    path = Path(argument or "")
    if not path.is_file():
        raise DataError(
            f"there is no file {path}", where=f"precomputed:{path}", allowed="a .npz, .safetensors or Parquet file"
        )
    with storage_errors(path, "read"):
        beside = _ids_beside(path)
        return digest([digest_file_once(path), digest_file_once(beside) if beside.is_file() else None])


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    readers: dict[str, Callable[[Path], tuple[np.ndarray, np.ndarray]]] = {
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".parquet": _read_parquet,
        ".pq": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"vectors cannot be read from a {path.suffix or 'nameless'} file",
            where=str(path),
            allowed=", ".join(readers),
        )
    with storage_errors(path, "read"):
        try:
            return reader(path)
        except (ValueError, KeyError, zipfile.BadZipFile, EOFError, *TABLE_ERRORS) as error:
            pickled = "allow_pickle" in str(error)  # numpy's advice would be to load it all the same
            raise DataError(
                f"the vectors cannot be read: {_PICKLED if pickled else error}",
                where=str(path),
                next_step="larpbench describe encoder precomputed",
            ) from error


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        if not isinstance(archive, np.lib.npyio.NpzFile) or not {"ids", "embeddings"} <= set(archive.files):
            raise ValueError("it must hold the arrays ids and embeddings")
        return _as_text(archive["ids"]), archive["embeddings"]


def _read_safetensors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as archive:
            if "embeddings" not in archive.keys():  # noqa: SIM118 - it is no dict
                raise ValueError("it must hold a tensor called embeddings")
            metadata, vectors = archive.metadata() or {}, archive.get_tensor("embeddings")
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if "ids" in metadata:
        return _as_text(np.asarray(json.loads(metadata["ids"]))), vectors
    beside = _ids_beside(path)
    if not beside.is_file():
        raise ValueError(f"it has no ids: neither in its metadata nor in {beside.name}")
    return _as_text(np.asarray(beside.read_text(encoding="utf-8").splitlines())), vectors


def _read_parquet(path: Path) -> tuple[np.ndarray, np.ndarray]:
    frame = read_parquet(path)
    if not {"track_id", "embedding"} <= set(frame.columns):
        raise ValueError(f"it must have the columns track_id and embedding, and has {', '.join(frame.columns)}")
    column = frame["embedding"]
    if isinstance(column.dtype, pl.List):
        lengths = column.list.len().unique()
        if len(lengths) != 1 or lengths[0] is None:
            raise ValueError(f"its vectors have different lengths: {lengths.sort().to_list()[:5]}")
        column = column.cast(pl.Array(column.dtype.inner, lengths[0]))
    if not isinstance(column.dtype, pl.Array) or column.null_count():
        raise ValueError(f"its column embedding is of type {column.dtype}, with {column.null_count()} empty rows")
    return frame["track_id"].cast(pl.String).to_numpy().astype(str), column.to_numpy()


def _as_text(ids: np.ndarray) -> np.ndarray:
    if ids.ndim != 1 or ids.dtype.kind not in "USiu":
        raise ValueError(f"its ids are a {ids.dtype} array of shape {ids.shape}, not (tracks,) strings or integers")
    return np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids.astype(str)


def _ids_beside(path: Path) -> Path:
    return path.with_suffix(".ids.txt")
