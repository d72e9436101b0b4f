"""Numbers on a grid: invented data is drawn and computed in integers, so that every CPU makes the same.

The last bits of float functions, of sums and of matrix products depend on the CPU's instructions, and a decision based
on them (a rounding, an order) changes whole tracks. Here a number x is the int64 ``round(x * ONE)``: sums and products
of those are exact in any order. Functions are tables, made once by decimal arithmetic, which is the same anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache

import numpy as np

FRACTION_BITS = 20
ONE = 1 << FRACTION_BITS
"""What stands for 1."""

_UNIFORMS = 12  # whose sum has a variance of 1
_QUANTILES = 1 << 12
_STEPS = 1 << 8  # of a function's argument between two whole numbers
_STEP_BITS = FRACTION_BITS - 8
_TANH_END = 8
_EXP_BEGIN, _EXP_END = -16, 8


def table(function: Callable[[Decimal], Decimal], arguments: Iterable[int], unit: int = ONE) -> np.ndarray:
    """Return the rounded values of a function.

    Args:
        function: In decimal arithmetic of 34 digits.
        arguments: Whole numbers at which it is taken.
        unit: What stands for 1.

    Returns:
        int64, one value an argument, not to be written to.
    """
    with localcontext(Context(prec=34, rounding=ROUND_HALF_EVEN)):
        values = [int((function(Decimal(argument)) * unit).to_integral_value()) for argument in arguments]
    made = np.array(values, dtype=np.int64)
    made.flags.writeable = False
    return made


def times(a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
    """Return the product of two numbers, rounded down; below 2048 in size, as the product of the integers must fit."""
    result: np.ndarray = np.asarray(a) * np.asarray(b) >> FRACTION_BITS
    return result


def matrix_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the matrix product, rounded down; integers take no BLAS, and their sums are exact in any order."""
    result: np.ndarray = a @ b >> FRACTION_BITS
    return result


def exact_product(a: np.ndarray, b: np.ndarray, dtype: type[np.floating] = np.float64) -> np.ndarray:
    """Return the matrix product of whole numbers, by BLAS and yet exact in any order.

    No partial sum is larger than the length of a row of `a` times that of a column of `b` (Cauchy-Schwarz), and a type
    of floats holds whole numbers exactly up to a power of two.

    Args:
        a: Whole numbers, (n, k).
        b: Whole numbers, (k, m).
        dtype: float64 for products up to 2 ** 53, float32 for those up to 2 ** 24, in half the time.

    Returns:
        (n, m) whole numbers of that type.

    Raises:
        ValueError: If a sum might be too large for the type.
    """
    rows, columns = (np.square(each.astype(np.float64)).sum(axis=1).max(initial=0) for each in (a, b.T))
    held = 1 << (np.finfo(dtype).nmant + 1)
    if rows * columns > 0.99 * held * held:
        raise ValueError(f"a sum of products may be too large: {dtype.__name__} holds up to {held}")
    result: np.ndarray = a.astype(dtype) @ b.astype(dtype)
    return result


def interpolated(values: np.ndarray, at: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the piecewise linear function through some points, rounded down.

    Args:
        values: int64, arguments; those outside of `at` go on along the first or the last line.
        at: int64, (k,), rising arguments of the points.
        levels: int64, (k,), values there.

    Returns:
        int64, of the shape of `values`.
    """
    line = np.clip(np.searchsorted(at, values, side="right") - 1, 0, len(at) - 2)
    rise, run = levels[line + 1] - levels[line], at[line + 1] - at[line]
    result: np.ndarray = levels[line] + rise * (values - at[line]) // run
    return result


def root(x: int) -> int:
    """Return the square root of a number."""
    return math.isqrt(x << FRACTION_BITS)


def unit(rows: np.ndarray) -> np.ndarray:
    """Return the rows of a (n, k) table scaled to length 1."""
    lengths = np.array([math.isqrt(int(square)) for square in (rows * rows).sum(axis=1)], dtype=np.int64)
    return rows * ONE // lengths[:, None]


def spread(values: np.ndarray) -> int:
    """Return the root of the mean square of some values."""
    return math.isqrt(int((values * values).sum()) // values.size)


def as_float32(values: np.ndarray) -> np.ndarray:
    """Return what the values stand for, float32."""
    floats: np.ndarray = np.ldexp(values.astype(np.float32), -FRACTION_BITS)
    return floats


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw numbers of mean 0 and variance 1 that are nearly normal: sums of twelve uniform ones.

    Args:
        rng: Source of randomness.
        *shape: How many.

    Returns:
        int64 of that shape, within 6 of 0.
    """
    drawn: np.ndarray = rng.integers(0, ONE, size=(_UNIFORMS, *shape)).sum(axis=0)
    return drawn - _UNIFORMS * (ONE - 1) // 2


def gumbel(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw Gumbel noise: the order of utilities with it is a draw from their softmax without replacement.

    Args:
        rng: Source of randomness.
        n: How many.

    Returns:
        int64, (n,), each one of 4096 quantiles.
    """
    drawn: np.ndarray = _gumbel_quantiles()[rng.integers(0, _QUANTILES, size=n)]
    return drawn


def pick(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """Draw one column of each row in proportion to its weights.

    Args:
        rng: Source of randomness.
        weights: int64, (n, k), none negative, no row without a weight.

    Returns:
        int64, (n,), columns.
    """
    ends = np.cumsum(weights, axis=1)
    drawn = rng.integers(0, ends[:, -1])
    columns: np.ndarray = (ends <= drawn[:, None]).sum(axis=1)
    return columns


def tanh(values: np.ndarray) -> np.ndarray:
    """Return the hyperbolic tangent, on a grid of 1/256."""
    sizes = _tanh_table()[np.minimum(np.abs(values) >> _STEP_BITS, _TANH_END * _STEPS - 1)]
    return np.where(values < 0, -sizes, sizes)


def exp(values: np.ndarray) -> np.ndarray:
    """Return the exponential function, on a grid of 1/256, of values in [-16, 8); others are brought into it."""
    steps = np.clip(values >> _STEP_BITS, _EXP_BEGIN * _STEPS, _EXP_END * _STEPS - 1)
    powers: np.ndarray = _exp_table()[steps - _EXP_BEGIN * _STEPS]
    return powers


def largest_first(scores: np.ndarray) -> np.ndarray:
    """Return row numbers by falling score; of equal ones, whose order NumPy else leaves to the CPU, the first first."""
    return np.argsort(-scores, kind="stable")


@cache
def _gumbel_quantiles() -> np.ndarray:
    return table(lambda i: -(-((2 * i + 1) / (2 * _QUANTILES)).ln()).ln(), range(_QUANTILES))


@cache
def _tanh_table() -> np.ndarray:
    def function(i: Decimal) -> Decimal:
        squared = ((2 * i + 1) / _STEPS).exp()  # of the middle of a step
        return (squared - 1) / (squared + 1)

    return table(function, range(_TANH_END * _STEPS))


@cache
def _exp_table() -> np.ndarray:
    return table(lambda i: (i / _STEPS).exp(), range(_EXP_BEGIN * _STEPS, _EXP_END * _STEPS))
