"""What every format is read into: ids, the shape of the vectors, and a way to read rows of them, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl

from larpbench.errors import DataError, clipped, named
from larpbench.mapped import empty_rows
from larpbench.vectors import within_float32

ID_NAMES = ("track_id", "track_ids", "id", "ids", "uri", "uris", "track_uri", "item_id", "__index_level_0__")
"""Columns and arrays that hold ids; where several are there, the first of these. The last is the index of pandas."""
VECTOR_NAMES = ("embedding", "embeddings", "vector", "vectors", "embed", "features")
"""Columns and arrays that hold vectors."""

Blocks = Callable[[np.ndarray], Iterator[tuple[int, np.ndarray]]]
"""Given (n,) int64 ascending rows, yields blocks of vectors, in the order of the file, that hold all of them: each with
its first row, (m, dim) of any real type."""
BLOCK_BYTES = 1 << 24
"""Rough size of a block of what is read in parts."""
_GAP_BYTES = 1 << 15
"""What is not worth being left out between two rows."""


@dataclass(frozen=True)
class Source:
    """Vectors in a file or folder, of which ids and headers have been read.

    Attributes:
        ids: Text, one a row.
        shape: Of all vectors together: (rows, dim) if they are what they should be.
        kind: The name of their type.
        real: Whether that is one of real numbers.
        blocks: Reads rows.
    """

    ids: pl.Series
    shape: tuple[int, ...]
    kind: str
    real: bool
    blocks: Blocks

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return some vectors, (n, dim) float32, in memory if they are few (`empty_rows`).

        Args:
            rows: (n,) int64, in any order.

        Raises:
            ValueError: If there are fewer rows than the header says, or a number is too large for float32.
        """
        taken = empty_rows(len(rows), self.shape[1])
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        done = 0
        for start, block in self.blocks(ascending):
            low, high = np.searchsorted(ascending, [start, start + len(block)])
            wanted = block[ascending[low:high] - start]
            with within_float32(wanted, self.ids[ascending[low:high]]):
                taken[order[low:high]] = wanted
            done += int(high - low)
        if done < len(rows):
            raise ValueError(f"only {done} of {len(rows)} vectors are there")
        return taken

    def in_memory(self) -> Self:
        """Return the same vectors, read once and kept, for those who read them in many small parts."""
        return replace(self, blocks=at_once(lambda: self.rows(np.arange(self.shape[0]))))


def at_once(read: Callable[[], np.ndarray]) -> Blocks:
    """Return the blocks of vectors that are in memory, or mapped: all in one; they are read when first asked for."""
    known: list[np.ndarray] = []

    def blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        if not known:
            known.append(read())
        yield 0, known[0]

    return blocks


def in_parts(read: Callable[[int, int], np.ndarray], row_bytes: int) -> Blocks:
    """Return the blocks of vectors of which any part can be read: only what is wanted, and small gaps, are.

    Args:
        read: Returns the vectors from a row to before another.
        row_bytes: Size of one vector; the larger, the smaller the gaps and the blocks.
    """

    def blocks(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        most, gap = (max(1, size // max(row_bytes, 1)) for size in (BLOCK_BYTES, _GAP_BYTES))
        for part in np.split(rows, np.flatnonzero(np.diff(rows) > gap) + 1):
            if len(part):
                stop = int(part[-1]) + 1
                for start in range(int(part[0]), stop, most):
                    yield start, read(start, min(start + most, stop))

    return blocks


def checked(source: Source, where: str) -> Source:
    """Return vectors whose ids and headers fit together.

    Raises:
        DataError: If they do not.
    """
    if len(source.shape) != 2 or source.shape[1] == 0 or not source.real:
        raise DataError(
            f"the vectors are a {source.kind} array of shape {source.shape}, not real numbers of shape (tracks, dim)",
            where=where,
        )
    if len(source.ids) != source.shape[0]:
        raise DataError(f"{len(source.ids)} ids for {source.shape[0]} vectors", where=where, allowed="one id a vector")
    if source.ids.is_duplicated().any():
        repeated = source.ids.filter(source.ids.is_duplicated()).unique().sort()
        shown = [clipped(each, 60) for each in repeated.to_list()]
        raise DataError(
            f"{len(repeated)} ids occur more than once: {named(shown)}", where=where, allowed="one vector a track"
        )
    return source


def text_ids(ids: pl.Series) -> pl.Series:
    """Return ids of a column as text.

    Raises:
        ValueError: If they are neither text nor whole numbers, or some are missing.
    """
    kind = ids.dtype
    if not (kind in (pl.String, pl.Binary, pl.Categorical) or isinstance(kind, pl.Enum) or kind.is_integer()):
        raise ValueError(f"its ids (column {ids.name!r}) are of type {kind}, not text or whole numbers")
    if ids.null_count():
        raise ValueError(f"{ids.null_count()} of its {len(ids)} rows have no id (column {ids.name!r})")
    if kind == pl.Binary:
        return pl.Series("ids", [_decoded(each) for each in ids.to_list()], dtype=pl.String)
    return ids.cast(pl.String).alias("ids")


def ids_of_array(ids: np.ndarray | Sequence[object]) -> pl.Series:
    """Return ids of an array as text.

    Raises:
        ValueError: If it is no (tracks,) array of text or whole numbers.
    """
    array = np.asarray(ids)
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1 or array.dtype.kind not in "USiuO":
        raise ValueError(
            f"its ids are a {array.dtype} array of shape {array.shape}, not (tracks,) text or whole numbers"
        )
    values = array.tolist()
    if wrong := {type(each).__name__ for each in values if not isinstance(each, str | bytes | int) or each is True}:
        raise ValueError(f"its ids hold values of type {', '.join(sorted(wrong))}, not text or whole numbers only")
    return pl.Series("ids", [_decoded(e) if isinstance(e, bytes) else str(e) for e in values], dtype=pl.String)


def id_name(names: Sequence[str]) -> str | None:
    """Return which of some columns or arrays holds the ids, None if none does.

    Raises:
        ValueError: If several do, and none of them is called ``track_id``.
    """
    there = [name for name in ID_NAMES[:-1] if name in names] or [name for name in ID_NAMES[-1:] if name in names]
    if len(there) > 1 and there[0] != ID_NAMES[0]:
        raise ValueError(f"it has several sets of ids: {listed(there)}; keep one, or call the right one {ID_NAMES[0]}")
    return there[0] if there else None


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return names out of a file, for a message."""
    return named([clipped(name, 60) for name in names], most) if names else "nothing"


def is_real(dtype: np.dtype) -> bool:
    """Whether numbers of a type are real."""
    return dtype.kind in "iuf"


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"the id {clipped(repr(raw), 60)} is no text: ids of bytes must be UTF-8") from error
