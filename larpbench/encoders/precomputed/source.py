"""What every format is read into: ids, the shape of the vectors, and a way to take rows of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.errors import DataError, clipped, named

ID_NAMES = ("track_id", "track_ids", "id", "ids", "uri", "uris", "track_uri", "item_id", "__index_level_0__")
"""Columns and arrays that hold ids; where several are there, the first of these. The last is the index of pandas."""
VECTOR_NAMES = ("embedding", "embeddings", "vector", "vectors", "embed", "features")
"""Columns and arrays that hold vectors."""

Take = Callable[[np.ndarray], np.ndarray]
"""Given (n,) int64 rows, returns their vectors, (n, dim) of any real type."""


@dataclass(frozen=True)
class Source:
    """Vectors in a file or folder, of which ids and headers have been read.

    Attributes:
        ids: Text, one a row.
        shape: Of all vectors together: (rows, dim) if they are what they should be.
        kind: The name of their type.
        real: Whether that is one of real numbers.
        load: Reads what must be read to take rows.
    """

    ids: pl.Series
    shape: tuple[int, ...]
    kind: str
    real: bool
    load: Callable[[], Take]


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
