"""Arithmetic on rows of vectors: unit length, columns of one scale, and rows around their mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from larpbench.mapped import empty_rows

if TYPE_CHECKING:
    import polars as pl

_TINY = 1e-12
_ROWS = 8_192


def unit_rows(vectors: np.ndarray, double: bool = True) -> np.ndarray:
    """Scale rows to length 1; a zero row stays zero.

    Args:
        vectors: (n, dim) float32 or float64.
        double: Whether lengths are computed in float64, as vectors for scoring require; else in the dtype of the rows.

    Returns:
        (n, dim) of the same dtype.
    """
    if not double:
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
    inverse, (count, dim) = inverse_lengths(vectors), vectors.shape
    unit = empty_rows(count, dim, vectors.dtype)
    for start in range(0, count, _ROWS):
        part = slice(start, start + _ROWS)
        np.multiply(vectors[part], inverse[part, None], out=unit[part])
    return unit


def inverse_lengths(vectors: np.ndarray) -> np.ndarray:
    """Return what rows are multiplied by to have length 1, computed in float64; 1 for a zero row.

    Args:
        vectors: (n, dim) float32 or float64.

    Returns:
        (n,) of the same dtype.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1.0
    inverse: np.ndarray = (1.0 / lengths).astype(vectors.dtype)
    return inverse


class Standardiser:
    """Each column minus its mean, divided by its standard deviation; a column that never varies becomes 0.

    Args:
        reference: (n, dim) float32, the rows that mean and deviation are taken of: train rows.
        largest: Standardised values are cut to [-largest, largest], so that one outlier in one column does not decide
            all inner products; None: no cut.
    """

    def __init__(self, reference: np.ndarray, largest: float | None = 10.0) -> None:
        exact = reference.astype(np.float64)
        self.mean, deviation = exact.mean(axis=0), exact.std(axis=0)
        varies = deviation > 1e-6 * np.abs(self.mean)  # less is the rounding of float32
        self.scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
        self.largest = largest

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32."""
        scaled = (vectors - self.mean) * self.scale
        return (scaled if self.largest is None else np.clip(scaled, -self.largest, self.largest)).astype(np.float32)


@contextmanager
def within_float32(values: np.ndarray, ids: np.ndarray | pl.Series) -> Iterator[None]:
    """Name the number that is too large, where values become float32 inside the block and some are.

    Args:
        values: (n, ...) of any real type, n > 0.
        ids: What the rows belong to; those of another number are not named.

    Raises:
        ValueError: If a finite value is infinite in float32.
    """
    try:
        with np.errstate(over="raise"):
            yield
    except FloatingPointError as error:
        largest = int(np.where(np.isfinite(values), np.abs(values), 0).argmax())
        row = largest * len(values) // values.size
        name = repr(str(ids[row])) if len(ids) == len(values) else f"row {row}"
        raise ValueError(
            f"the vector of {name} holds {values.flat[largest]:.4g}, which is too large for float32, whose largest "
            f"number is {np.finfo(np.float32).max:.4g}"
        ) from error


def on_host(values: Any) -> Any:  # noqa: ANN401 - an array of any library
    """Return an array of any library, or a list of them, as numpy can read it; tensors of torch as float32."""
    if isinstance(values, list | tuple):
        holds_numbers = not values or isinstance(values[0], int | float)
        return values if holds_numbers else [on_host(each) for each in values]
    return values.detach().cpu().float().numpy() if hasattr(values, "detach") else values


class Centring:
    """Each row minus the mean row, scaled to length 1; a row that equals the mean becomes 0.

    Args:
        reference: (n, dim) float32, the rows that the mean is taken of: train rows.
    """

    def __init__(self, reference: np.ndarray) -> None:
        self.mean = reference.mean(axis=0, dtype=np.float64)
        self.shortest = 1e-6 * float(np.linalg.norm(self.mean))  # less is the rounding of float32

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32."""
        centred = empty_rows(*vectors.shape)
        for start in range(0, len(vectors), _ROWS):  # a copy of all rows in float64 may be too large
            rows = vectors[start : start + _ROWS] - self.mean
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            equal = lengths <= self.shortest
            centred[start : start + _ROWS] = np.where(equal, 0.0, rows / np.where(equal | (lengths == 0), 1.0, lengths))
        return centred


def permuted(rows: np.ndarray, key: str) -> np.ndarray:
    """Return the rows in an order that is drawn by a key, the same on every machine.

    Args:
        rows: (n, d).
        key: Hexadecimal digits of a digest.
    """
    return rows[np.random.Generator(np.random.PCG64(int(key, 16))).permutation(len(rows))]
