"""The best items of each query out of tiles of scores, in one pass over each tile while it is in the cache.

A row keeps the items that may still be among its best, and a floor: the worst of the best so far. Nearly every score
lies below the floor, and the processor compares many with it at once; only the few others are looked at one by one.
Items are ordered by score, and equal scores by the tie order, so that no score is seen twice to settle a tie.
"""

from __future__ import annotations

import numpy as np

from larpbench.compiled import first_use, use_cache

use_cache()  # numba reads it when it is imported
import numba  # noqa: E402

_CHUNK = 128


class Best:
    """The best items of some queries.

    Args:
        rows: Number of queries.
        width: How many items of each.
        order: (n,) int64 tie order.
        offsets: (rows + 1,) int64, where the masked items of each query begin.
        masked: int64 masked items, ascending within a query.

    Attributes:
        not_finite: (rows,) bool, whether a score was NaN or infinite.
    """

    def __init__(self, rows: int, width: int, order: np.ndarray, offsets: np.ndarray, masked: np.ndarray) -> None:
        self._width, self._order, self._offsets, self._masked = width, order, offsets, masked
        self._passed = offsets[:-1].copy()  # masked items that come later
        held = 2 * width + 32
        self._scores = np.full((rows, held), -np.inf, dtype=np.float32)
        self._items = np.full((rows, held), -1, dtype=np.int64)
        self._held = np.zeros(rows, dtype=np.int64)
        self._floors = np.full(rows, -np.inf, dtype=np.float32)
        self._floor_orders = np.full(rows, -1, dtype=np.int64)  # of a floor of -inf nothing is better
        self.not_finite = np.zeros(rows, dtype=bool)

    @property
    def scores(self) -> np.ndarray:
        """(rows, width) float32, descending once `sort` has been called; -inf where a query has fewer items."""
        return self._scores[:, : self._width]

    @property
    def items(self) -> np.ndarray:
        """(rows, width) int64, the items; -1 where there is none."""
        return self._items[:, : self._width]

    def add(self, tile: np.ndarray, skipped: int, columns: np.ndarray) -> None:
        """Look at some more scores; those of masked items are overwritten.

        Args:
            tile: (at least rows, n) float32 scores.
            skipped: How many of its first columns have been looked at before.
            columns: (n,) int64, which item each column is, ascending; greater than all before.
        """
        _add(
            tile,
            skipped,
            columns,
            self._offsets,
            self._masked,
            self._order,
            self._width,
            self._scores,
            self._items,
            self._held,
            self._floors,
            self._floor_orders,
            self.not_finite,
            self._passed,
        )

    def sort(self) -> None:
        """Put the best of each row in order; nothing can be added afterwards."""
        _sort(self._order, self._width, self._scores, self._items, self._held)


def compile_once() -> None:
    """Compile what this module needs, or read it from the cache; one process at a time fills the cache."""
    if not _add.signatures:
        with first_use("best items"):
            zeros = np.zeros(2, dtype=np.int64)
            best = Best(1, 1, zeros, zeros, zeros[:0])
            best.add(np.zeros((1, 1), dtype=np.float32), 0, zeros[:1])
            best.sort()


@numba.njit(nogil=True, cache=True)
def _add(
    tile: np.ndarray,
    skipped: int,
    columns: np.ndarray,
    offsets: np.ndarray,
    masked: np.ndarray,
    order: np.ndarray,
    width: int,
    scores: np.ndarray,
    items: np.ndarray,
    held: np.ndarray,
    floors: np.ndarray,
    floor_orders: np.ndarray,
    not_finite: np.ndarray,
    passed: np.ndarray,
) -> None:
    end = tile.shape[1]
    hits = np.empty(_CHUNK, dtype=np.int64)
    for row in range(len(held)):
        _mask(tile[row], columns, masked, passed, offsets[row + 1], row)
        floor, floor_order, count = floors[row], floor_orders[row], held[row]
        start = skipped
        while start < end:
            part = tile[row, start : start + _CHUNK]
            reached = np.int32(0)
            for place in range(len(part)):  # compiled to comparisons of whole vectors; true for NaN too
                reached += np.int32(not (part[place] < floor))
            if reached:
                found = 0
                for place in range(len(part)):  # without a branch that depends on the score
                    hits[found] = place
                    found += not (part[place] < floor)
                for place in hits[:found]:
                    score, item = part[place], columns[start + place]
                    if score < floor or (score == floor and order[item] >= floor_order):
                        continue
                    if not score < np.inf:
                        not_finite[row] = True
                        continue
                    scores[row, count], items[row, count] = score, item
                    count += 1
                    if count == scores.shape[1]:
                        _split(order, width, scores[row], items[row], count)
                        count = width
                        floor, floor_order = scores[row, width - 1], order[items[row, width - 1]]
            start += len(part)
        held[row], floors[row], floor_orders[row] = count, floor, floor_order


@numba.njit(nogil=True, cache=True)
def _mask(scores: np.ndarray, columns: np.ndarray, masked: np.ndarray, passed: np.ndarray, high: int, row: int) -> None:
    """Make the scores of the next masked items as small as can be, up to the last column."""
    place = passed[row]
    while place < high and masked[place] <= columns[-1]:
        column = np.searchsorted(columns, masked[place])
        if columns[column] == masked[place]:
            scores[column] = -np.inf
        place += 1
    passed[row] = place


@numba.njit(nogil=True, cache=True)
def _split(order: np.ndarray, width: int, scores: np.ndarray, items: np.ndarray, count: int) -> None:
    """Bring the `width` best of `count` items to the front, the worst of them last (Hoare 1961)."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) >> 1
        score, place = scores[middle], order[items[middle]]
        left, right = low, high
        while left <= right:
            while scores[left] > score or (scores[left] == score and order[items[left]] < place):
                left += 1
            while scores[right] < score or (scores[right] == score and order[items[right]] > place):
                right -= 1
            if left <= right:
                scores[left], scores[right] = scores[right], scores[left]
                items[left], items[right] = items[right], items[left]
                left += 1
                right -= 1
        if width - 1 <= right:
            high = right
        elif width - 1 >= left:
            low = left
        else:
            break


@numba.njit(nogil=True, cache=True)
def _sort(order: np.ndarray, width: int, scores: np.ndarray, items: np.ndarray, held: np.ndarray) -> None:
    """Leave the best of each row alone, in order."""
    for row in range(len(held)):
        count = held[row]
        if count > width:
            _split(order, width, scores[row], items[row], count)
            count = width
        gap = count >> 1
        while gap:  # Shell (1959): as good as any on some tens of items
            for place in range(gap, count):
                score, item = scores[row, place], items[row, place]
                free = place
                while free >= gap and (
                    scores[row, free - gap] < score
                    or (scores[row, free - gap] == score and order[items[row, free - gap]] > order[item])
                ):
                    scores[row, free], items[row, free] = scores[row, free - gap], items[row, free - gap]
                    free -= gap
                scores[row, free], items[row, free] = score, item
            gap >>= 1
        for place in range(count, width):
            scores[row, place], items[row, place] = -np.inf, -1
