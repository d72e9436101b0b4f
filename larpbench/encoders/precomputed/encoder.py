"""The encoder that looks vectors up, what it depends on, and whether it can work at all."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from larpbench import progress
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.precomputed.matching import IdIndex
from larpbench.encoders.precomputed.opening import Place, files_of, open_vectors, place_of, reading
from larpbench.encoders.precomputed.source import Source
from larpbench.errors import DataError, EmbeddingError, named, printable
from larpbench.fingerprint import digest, digest_file
from larpbench.storage import storage_errors

_ALLOWED = "a vector for every track of the split (protocol rule 4)"
_NEXT = "compute the missing vectors, or build the data set without these tracks"


class VectorTable:
    """Vectors by track id; ids match as they stand.

    Args:
        source: Ids and vectors.
        where: What they are called in messages, such as the path of their file.

    Raises:
        DataError: If the vectors cannot be read.
    """

    def __init__(self, source: Source, where: str) -> None:
        self._where = where
        self._index = IdIndex(source.ids)
        self._source = source

    @classmethod
    def of_file(cls, place: Path | Place) -> Self:
        """Return the vectors of a file, to be read once and looked up batch by batch.

        Raises:
            DataError: If it cannot be read, or its ids and vectors do not fit together.
        """
        place = place if isinstance(place, Place) else Place(place, None)
        return cls(open_vectors(place).in_memory(), str(place.path))

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return `lookup` of a batch."""
        return self.lookup(batch.track_ids)

    def lookup(self, track_ids: np.ndarray) -> np.ndarray:
        """Return the vectors of tracks, (n, dim) float32.

        Args:
            track_ids: (n,) str.

        Raises:
            EmbeddingError: If a track has no vector, naming the ids.
            DataError: If the vectors cannot be read.
        """
        rows = self._rows(track_ids)
        if (rows < 0).any():
            raise EmbeddingError(
                _absent(self._index, track_ids, rows),
                where=self._where,
                allowed=_ALLOWED,
                next_step=_NEXT,
            )
        return reading(Path(self._where), lambda: self._source.rows(rows))

    def _rows(self, track_ids: np.ndarray) -> np.ndarray:
        return self._index.exact(track_ids)


class LenientVectorTable(VectorTable):
    """Vectors by track id, or else by the last part of the id."""

    _reported = False

    def _rows(self, track_ids: np.ndarray) -> np.ndarray:
        rows = super()._rows(track_ids)
        if (absent := rows < 0).any():
            rows[absent] = self._index.by_last_part(track_ids[absent])
            if not self._reported and (rows[absent] >= 0).any():
                self._reported = True
                progress.say(printable(f"{self._where}: ids match by their last part, such as {self._index.shown()}"))
        return rows


def build_precomputed(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the vectors of the file named after the colon, which are read where they are looked up."""
    place = place_of(argument or "")
    return LenientVectorTable(open_vectors(place), str(place.path))


def check_precomputed(argument: str | None, dataset: Dataset, splits: Sequence[SplitName]) -> None:
    """Check beforehand, by headers and ids, that a file can give the vectors of some splits.

    Raises:
        DataError: If it cannot.
        MissingPartError: If a package is missing that reads it.
    """
    place = place_of(argument or "")
    require_vectors(open_vectors(place), str(place.path), dataset, splits)


def require_vectors(source: Source, where: str, dataset: Dataset, splits: Sequence[SplitName]) -> None:
    """Check by their ids that there are vectors for all tracks of some splits.

    Raises:
        DataError: If there are not.
    """
    index = IdIndex(source.ids)
    for name in splits:
        track_ids = dataset.split(name).track_ids
        rows = index.exact(track_ids)
        absent = (rows < 0).any()
        ambiguity = index.ambiguity(dataset.tracks["track_id"]) if absent else None
        if absent and not ambiguity:
            rows = np.where(rows < 0, index.by_last_part(track_ids), rows)
        if (rows < 0).any():
            why = f"; by the last part of the ids they cannot be found, since {ambiguity}" if ambiguity else ""
            raise DataError(
                f"{_absent(index, track_ids, rows)} ({name} split){why}", where=where, allowed=_ALLOWED, next_step=_NEXT
            )


def _absent(index: IdIndex, track_ids: np.ndarray, rows: np.ndarray) -> str:
    absent = track_ids[rows < 0]
    return f"{len(absent)} of {len(rows)} tracks have no vector: {named(absent)}; ids of the file: {index.shown()}"


def precomputed_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the file, or of the files of a folder, of the ids beside it, and of the column's name.

    Raises:
        DataError: If there is no such file.
    """
    place = place_of(argument or "")
    with storage_errors(place.path, "read"):
        files = files_of(place.path)
        digests = _digests(tuple((str(each.absolute()), *_stamp(each)) for each in files))
    parts: list[object]
    if place.path.is_dir():
        names = [each.relative_to(place.path).as_posix() for each in files]
        parts = [list(pair) for pair in zip(names, digests, strict=True)]
    else:
        parts = [digests[0], digests[1] if len(digests) > 1 else None]
    return digest([*parts, {"column": place.column}] if place.column else parts)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=32)
def _digests(files: tuple[tuple[str, int, int], ...]) -> tuple[str, ...]:
    """Return the digests of files, remembered while sizes and times stay as they are: a folder may hold a million."""
    return tuple(digest_file(Path(path)) for path, _, _ in files)
