r"""Which items need no exact score: a product in low precision, its proven error, and the certificate of each query.

With the exact inner product s of a query q and an item x, the approximate score a, and the float32 score f by which the
protocol ranks (unit roundoff of bfloat16 u = 2^-8, of float32 2^-24; norms are Euclidean; d numbers a vector):

* **Operands.** q^ and x^ are q and x rounded to bfloat16. q.x - q^.x^ = q^.(x - x^) + (q - q^).x, so by Cauchy-Schwarz
  it is at most |q^| |x - x^| + |q - q^| |x|. Both rounding errors are measured, not bounded by u |q| and u |x|.
* **Accumulation.** Products of two bfloat16 numbers are exact in float32. A sum of d terms in any order, each addition
  with a relative error of at most v, is off by at most d v / (1 - d v) sum |q^_i| |x^_i| (Higham 2002, section 4.2).
  v = 2^-24 where additions round to nearest; tensor cores truncate a block of additions to the largest of them (Fasi et
  al. 2021, section 3). v = 2^-21 covers both: at most 2^-20 d |q^| |x^| in all.
* **The result**, rounded to bfloat16: with the accumulated sum A, |A - a| <= u' |a|, u' = u / (1 - u).
* **Float32.** |f - s| <= 2^-23 d |q| |x|, by the same theorem, with a product rounded before it is added.
* **Underflow** of operands, products and sums, flushed to zero or not: at most 2^-120 d (1 + |q| + |x|) in all.

Let E be the sum of all but the third, with the largest |x|, |x^| and |x - x^| of any item. If w items have a >= T, they
have f >= T - u' |T| - E =: B + E. An item with a < t := B - 2 u' |B| has A <= t + u' |t| < B, so f < B + E (t + u' |t|
grows with t). It has a lower score than each of those w: it is neither among the w best, nor tied with one of them.

So a query is certified by construction: only items with a >= t are left in, and t follows from the w-th largest
maximum of groups of columns, which w different items reach. Where too many items are left, or a bound is not finite,
the query is not certified, and is ranked among all items. Items that are left in are scored by the float32 product of
always, in tiles of the same shape, so that lists and scores are equal to the bit, ties included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from larpbench.errors import UsageError
from larpbench.runtime import gains_from_bfloat16, ieee_products

_GROUP = 64
_LEAST_ITEMS = 2**16  # with fewer, what is left in of all queries of a block is no small part
_LEAST_QUERIES = 2**10  # fewer do not pay for rounding and measuring the items
_TILE = {"cpu": 2**12, "cuda": 2**17}
_ROUNDING = 2.0**-8 / (1 - 2.0**-8)
_ACCUMULATION, _FLOAT32, _UNDERFLOW = 2.0**-20, 2.0**-23, 2.0**-120
_LARGEST = 2.0**120  # of |q| |x|: partial sums stay finite
_CROWDED = 16  # times the length of the list: so many groups with an item left in, and the query is not certified
_MOST_LEFT = 0.25  # of the items: with more, all of them may as well be scored
_ROWS_AT_ONCE = 2**12


def require_device(device: str) -> None:
    """Raise unless rankings can be computed on a device.

    Raises:
        UsageError: If it is unknown or not there.
    """
    if device not in _TILE:
        raise UsageError(f"no device is called {device!r}", allowed="cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "cuda: torch finds no GPU here",
            allowed="cpu",
            next_step="leave --device out, or install a build of torch for your GPU: https://pytorch.org",
        )


def worth_pruning(n_queries: int, n_items: int, width: int, device: str) -> bool:
    """Return whether a product in low precision comes first: on a GPU, and on a CPU whose AMX tiles multiply bfloat16.

    A CPU without AMX multiplies bfloat16 hardly faster than float32, or slower.

    Args:
        n_queries: Number of queries.
        n_items: Number of items.
        width: Length of the lists.
        device: As torch names it.
    """
    fast = device != "cpu" or bool(torch.cpu._is_amx_tile_supported())
    return fast and n_queries >= _LEAST_QUERIES and n_items >= _LEAST_ITEMS and 4 * width <= n_items // _GROUP


class _Sizes(NamedTuple):
    """Norms of vectors, of their rounded copies, and of the differences of both: (n,) float64, or one number each."""

    exact: Any
    rounded: Any
    difference: Any


class Pruner:
    """The items, rounded, on a device.

    Args:
        items: (n, d) float32.
        width: How many of the best items of a query must stay.
        device: Where to multiply.
        dtype: What to multiply: bfloat16, or float32 where a GPU does not gain from it.
    """

    def __init__(self, items: Tensor, width: int, device: str, dtype: torch.dtype | None = None) -> None:
        gains = device == "cpu" or gains_from_bfloat16(device)
        self._dtype = dtype or (torch.bfloat16 if gains else torch.float32)
        self._device, self._width = device, width
        self._n, self._dim = items.shape
        self._items = torch.empty(items.shape, dtype=self._dtype, device=device)
        largest = []
        for start in range(0, self._n, _ROWS_AT_ONCE):
            part = items[start : start + _ROWS_AT_ONCE]
            low = part.to(self._dtype)
            self._items[start : start + _ROWS_AT_ONCE] = low
            largest.append([size.max() for size in _sizes(part, low)])
        self._largest = _Sizes(*np.max(largest, axis=0))
        self._shape = (-(-self._n // _TILE[device]), _TILE[device])
        self._scores = torch.empty(0, 0, dtype=self._dtype, device=device)

    def candidates(self, queries: Tensor, query_of: np.ndarray, masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what is left in for some queries together.

        Args:
            queries: (rows, d) float32, on the CPU.
            query_of: (m,) int64, row of each masked item.
            masked: (m,) int64, the masked items.

        Returns:
            (c,) int64 items, ascending, and (rows,) bool: whether the best `width` items of a query and all that are
            tied with them are among these.
        """
        scores, maxima = self._product(queries, query_of, masked)
        best = torch.topk(maxima, self._width, dim=1, sorted=True).values[:, -1]
        limits = self._limits(queries, best.double().cpu().numpy())
        certified = np.isfinite(limits)
        limits[~certified] = np.inf
        floors = _rounded_down(torch.from_numpy(limits), self._dtype).to(self._device)
        crowd = min(_CROWDED * self._width, maxima.shape[1] // 2)
        crowded = (maxima >= floors[:, None]).sum(dim=1) > crowd
        floors[crowded] = torch.inf
        certified &= ~crowded.cpu().numpy()
        left = torch.cat([(tile >= floors[:, None]).any(dim=0) for tile in scores])
        kept = left.nonzero()[:, 0].cpu().numpy()
        if len(kept) > _MOST_LEFT * self._n:
            return kept[:0], np.zeros(len(queries), dtype=bool)
        return kept, certified

    def _product(self, queries: Tensor, query_of: np.ndarray, masked: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return scores (tiles, rows, tile), -inf where masked or no item, and maxima of groups (rows, groups)."""
        rows, (tiles, width) = len(queries), self._shape
        if self._scores.shape[1:2] != (rows,):
            self._scores = torch.full((tiles, rows, width), -torch.inf, dtype=self._dtype, device=self._device)
        by_item = np.argsort(masked, kind="stable")
        places = np.searchsorted(masked[by_item], np.arange(tiles + 1) * width)
        low = queries.to(self._dtype).to(self._device)
        maxima = []
        with ieee_products():
            for number, scores in enumerate(self._scores):
                part = self._items[number * width : (number + 1) * width].t()
                if part.shape[1] == width:
                    torch.mm(low, part, out=scores)
                else:
                    scores[:, : part.shape[1]] = torch.mm(low, part)
                hidden = by_item[places[number] : places[number + 1]]
                scores[
                    torch.from_numpy(query_of[hidden]), torch.from_numpy(masked[hidden] - number * width)
                ] = -torch.inf
                maxima.append(scores.view(rows, _GROUP, -1).amax(dim=1))
        return self._scores, torch.cat(maxima, dim=1)

    def _limits(self, queries: Tensor, best: np.ndarray) -> np.ndarray:
        """Return t of each query, see the module; not finite where there is no bound."""
        sizes = _sizes(queries, queries.to(self._dtype))
        most = self._largest
        with np.errstate(all="ignore"):
            error = sizes.rounded * most.difference + sizes.difference * most.exact
            error += self._dim * _ACCUMULATION * sizes.rounded * most.rounded
            error += self._dim * _FLOAT32 * sizes.exact * most.exact
            error += self._dim * _UNDERFLOW * (1 + sizes.exact + most.exact)
            error *= 1 + 1e-6  # these sums are rounded themselves
            bound = best - _ROUNDING * np.abs(best) - 2 * error
            limits = bound - 2 * _ROUNDING * np.abs(bound)
            limits[~(sizes.exact * most.exact + sizes.rounded * most.rounded < _LARGEST)] = -np.inf
        return limits


def _sizes(exact: Tensor, rounded: Tensor) -> _Sizes:
    difference = exact - rounded.float()  # is exact: both have a sign, and are within a factor of two (Sterbenz)
    vectors = (exact, rounded, difference)
    return _Sizes(*(torch.linalg.vector_norm(each, dim=1, dtype=torch.float64).numpy() for each in vectors))


def _rounded_down(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the largest numbers of a type that are not above float64 values."""
    nearest = values.to(dtype)
    lower = torch.nextafter(nearest, torch.full_like(nearest, -torch.inf))
    return torch.where(nearest.double() > values, lower, nearest)
