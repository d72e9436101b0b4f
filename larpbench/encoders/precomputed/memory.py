"""Vectors that are in memory already: ``(ids, array)``, a dict of id to vector, a frame of polars or pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.precomputed import tables
from larpbench.encoders.precomputed.encoder import LenientVectorTable, require_vectors
from larpbench.encoders.precomputed.source import Source, at_once, checked, ids_of_array, is_real
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, clipped, printable
from larpbench.registry import Origin
from larpbench.vectors import on_host, within_float32

ALLOWED = "(ids, array), a dict of id to vector, or a frame with a column of ids and a column of vectors"
_DIGEST_BYTES = 1 << 24


def are_vectors(value: object) -> bool:
    """Whether something looks like vectors, and not like an encoder or several of them."""
    if isinstance(value, pl.DataFrame | pl.LazyFrame) or _is_pandas(value):
        return True
    if isinstance(value, tuple) and len(value) == 2:
        return _dimensions(value[1]) == 2 or is_array(value[1])  # a wrong shape is named
    return isinstance(value, Mapping) and bool(value) and all(_dimensions(each) == 1 for each in value.values())


def is_array(value: object) -> bool:
    """Whether something is an array of some library."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and not callable(value)


def vectors_encoder(value: object, name: str) -> EncoderSpec:
    """Return the encoder that looks tracks up among vectors in memory.

    Args:
        value: ``(ids, array)`` with an array of shape (tracks, dim), a dict of id to vector, or a frame of polars or
            pandas with a column of ids (``track_id``, ``id``, ..; pandas: or the index) and one of vectors.
        name: What it is called in results.

    Raises:
        DataError: If ids and vectors do not fit together.
    """
    where = f"the vectors of {name!r}"
    try:
        source = checked(_source(value), where)
        key = _digest(source)
    except (ValueError, TypeError, pl.exceptions.PolarsError) as error:
        reason = clipped(printable(str(error)), 600)
        raise DataError(f"the vectors cannot be used: {reason}", where=where, allowed=ALLOWED) from error
    card = EncoderCard(
        name=name,
        version=1,
        summary="vectors that were in memory",
        modalities=(),
        dim=source.shape[1],
        weights="those of the vectors",
        licence="unknown",
        training_data="unknown",
        tracks_per_second=200_000,
    )
    return EncoderSpec(
        card,
        factory=partial(_build, source, where),
        digest=partial(_known_digest, key),
        check=partial(_check, source, where),
        in_place=True,
        origin=Origin.of_object(value),
    )


def _build(source: Source, where: str, context: EncodeContext, argument: str | None) -> Encoder:
    return LenientVectorTable(source, where)


def _known_digest(key: str, context: EncodeContext, argument: str | None) -> str:
    return key


def _check(source: Source, where: str, argument: str | None, dataset: Dataset, splits: Sequence[SplitName]) -> None:
    require_vectors(source, where, dataset, splits)


def _source(value: Any) -> Source:  # noqa: ANN401 - whatever `are_vectors` takes
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if _is_pandas(value):
        value = _of_pandas(value)
    if isinstance(value, pl.DataFrame):
        return tables.of_frame(value)
    ids, rows = (list(value), list(value.values())) if isinstance(value, Mapping) else value
    array = _array(rows)
    ids = ids_of_array(ids if is_array(ids) else list(ids))
    if array.dtype.kind == "f" and array.ndim:
        with within_float32(array, ids):
            array = array.astype(np.float32, copy=False)
    return Source(ids, array.shape, array.dtype.name, is_real(array.dtype), at_once(lambda: array))


def _of_pandas(frame: Any) -> pl.DataFrame:  # noqa: ANN401 - pandas may not be installed
    columns = {str(name): frame[name].to_list() for name in frame.columns}
    index = frame.index
    if type(index).__name__ != "RangeIndex" and not set(columns) & {"track_id", "id"}:
        columns = {"track_id": [str(each) for each in index.to_list()], **columns}
    return pl.DataFrame({name: list(map(_plain, cells)) for name, cells in columns.items()})


def _plain(cell: Any) -> Any:  # noqa: ANN401 - a cell of a frame
    return cell.tolist() if isinstance(cell, np.ndarray) else cell


def _array(rows: Any) -> np.ndarray:  # noqa: ANN401 - a list, or an array of any library
    rows = on_host(rows)
    if isinstance(rows, list) and len(lengths := {np.shape(row) for row in rows}) > 1:
        raise ValueError(f"its vectors have different shapes: {sorted(lengths)[:5]}")
    if np.ma.is_masked(rows):
        raise ValueError("it is a masked array, in which numbers are missing")
    return np.array(rows)  # a copy: what changes afterwards changes no result


def _dimensions(value: object) -> int:
    """Return how many dimensions an array, or a list of numbers, has; 0 for anything else."""
    if isinstance(value, str | bytes | Mapping) or callable(value):
        return 0
    if is_array(value):
        return len(getattr(value, "shape"))  # noqa: B009 - an array of any library
    if isinstance(value, list | tuple) and value:
        first = value[0]
        if isinstance(first, int | float | np.number):
            return 1
        return 1 + inner if (inner := _dimensions(first)) else 0
    return 0


def _is_pandas(value: object) -> bool:
    return type(value).__name__ == "DataFrame" and type(value).__module__.startswith("pandas")


def _digest(source: Source) -> str:
    """Return the sha256 of ids and vectors, in order."""
    hasher = hashlib.sha256()
    hasher.update("\x1f".join(source.ids.to_list()).encode())
    rows = max(1, _DIGEST_BYTES // (4 * source.shape[1]))
    for start in range(0, source.shape[0], rows):
        hasher.update(source.rows(np.arange(start, min(start + rows, source.shape[0]))).data)
    return hasher.hexdigest()
