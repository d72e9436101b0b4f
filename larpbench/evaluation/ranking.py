"""Exact top-K ranking by inner product, in tiles of bounded memory.

Protocol ``cold-start-v1``, rules 5 and 7: every track of the split is a candidate except the playlist's own seeds, and
equal scores are ordered by a fixed pseudo-random order of the candidates. Sampled or approximate search would change
the metric, so neither is offered.

Scores are float32 products of 128 queries and a tile of items, on one thread of the CPU, always of the same shape for a
number of items: a score depends neither on the other queries nor on the number of threads. What is among the best so
far is picked out of a tile while it is in the cache (`larpbench.evaluation.best`). A GPU, or a CPU with AMX, first
rules out nearly all items, with a proof (`larpbench.evaluation.pruning`); the others are scored in the same tiles, so
that lists and scores are the same to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from larpbench.errors import ProtocolError
from larpbench.evaluation.best import Best, compile_once
from larpbench.evaluation.pruning import Pruner, require_device, worth_pruning
from larpbench.runtime import ieee_products, one_thread

BLOCK_ROWS = 128
"""Queries that are scored at once."""
_TILE = 1_024  # 128 x 1,024 scores are 512 kB: they stay in the second level of the cache
_SHARING = 4  # blocks of queries that use a tile of items while it is in the cache
_PRUNED_AT_ONCE = 64  # blocks, whose queries without a certificate are ranked again together


@dataclass(frozen=True)
class RankedBlock:
    """The ranked lists of consecutive queries.

    Attributes:
        start: Row of the block's first query.
        items: (rows, k) int64, item rows by rank; -1 where a query has fewer than k candidates.
        scores: (rows, k) float32, their scores; -inf where `items` is -1.
        tied_at: (rows, k) bool; ``[:, r]`` is true where the items at ranks r + 1 and r + 2 have equal scores, so that
            a list cut at K = r + 1 hangs on the tie order.
    """

    start: int
    items: np.ndarray
    scores: np.ndarray
    tied_at: np.ndarray


def tie_order(candidate_ids: np.ndarray) -> np.ndarray:
    """Return the fixed pseudo-random order that settles equal scores (rule 7).

    The order is keyed by the *sorted* ids: it depends on which candidates there are, not on how they are stored, and on
    nothing that an encoder could know.

    Args:
        candidate_ids: (n,) array of str, unique.

    Returns:
        (n,) int64; of two items with equal scores, the one with the smaller number comes first.
    """
    by_id = np.argsort(candidate_ids, kind="stable")
    key = hashlib.sha256("\x1f".join(candidate_ids[by_id].tolist()).encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))
    order = np.empty(len(candidate_ids), dtype=np.int64)
    order[by_id] = generator.random(len(candidate_ids)).argsort(kind="stable").argsort(kind="stable")
    return order


def tile_width(n_items: int) -> int:
    """Return how many items are scored at once: fixed by the number of items alone, so scores never depend on it."""
    tiles = max(-(-n_items // _TILE), 1)
    return max(min(n_items, -(-n_items // tiles // 16) * 16), 1)


def rank(
    queries: np.ndarray,
    items: np.ndarray,
    *,
    masked_offsets: np.ndarray,
    masked_items: np.ndarray,
    order: np.ndarray,
    k: int,
    device: str = "cpu",
) -> Iterator[RankedBlock]:
    """Rank all items for every query by inner product and yield the top k, block by block.

    Args:
        queries: (p, d) float32.
        items: (n, d) float32.
        masked_offsets: (p + 1,) int64; query i may not be given the items
            ``masked_items[masked_offsets[i]:masked_offsets[i + 1]]``.
        masked_items: int array of item rows (the playlists' seeds).
        order: (n,) tie order, see `tie_order`.
        k: Length of the lists.
        device: ``cpu`` or ``cuda``: where most items are ruled out, if that pays. Lists and scores are the same.

    Yields:
        Blocks in the order of the queries.

    Raises:
        ProtocolError: If the best score of a query is NaN or infinite (vectors too large, or too small, for float32).
        UsageError: If there is no such device.
    """
    require_device(device)
    compile_once()
    width = min(k + 1, len(items))  # one more than asked for, to see whether the cut falls between equal scores
    problem = _Problem(queries, items, masked_offsets, masked_items, np.array(order, dtype=np.int64), width)
    pays = worth_pruning(len(queries), len(items), width, device)
    pruner = Pruner(problem.vectors, width, device) if pays else None
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        start = 0
        while start < len(queries):
            at_once = (_PRUNED_AT_ONCE if pruner else threads * _SHARING) * BLOCK_ROWS
            rows = np.arange(start, min(start + at_once, len(queries)))
            if pruner:
                best, certified = problem.best_left_in(rows, pruner, pool)
                if 2 * certified < len(rows):
                    pruner = None  # it does not pay for these vectors
            else:
                best = problem.best(problem.shares(rows, threads), pool)
            unusable = best.not_finite | problem.lacks_scores(rows, best)
            if unusable.any():
                raise ProtocolError(
                    f"the scores of query {start + int(unusable.argmax())} are not finite: the vectors are too "
                    "large, or too small, for float32 products",
                    next_step="scale the embeddings to lengths near 1",
                )
            yield _cut(start, best, k)
            start += len(rows)


@dataclass(frozen=True)
class _Lists:
    """The best items of some queries, (rows, width), as `Best` has them."""

    scores: np.ndarray
    items: np.ndarray
    not_finite: np.ndarray


class _Problem:
    """All queries and items; see `rank`."""

    def __init__(
        self,
        queries: np.ndarray,
        items: np.ndarray,
        offsets: np.ndarray,
        masked: np.ndarray,
        order: np.ndarray,
        width: int,
    ) -> None:
        self.vectors = torch.from_numpy(np.ascontiguousarray(items, dtype=np.float32))
        self._queries, self._offsets, self._masked = queries, offsets, masked
        self._order, self._width = order, width
        self._all = np.arange(len(items))

    def shares(self, rows: np.ndarray, threads: int) -> list[np.ndarray]:
        """Return whole blocks of queries for each thread."""
        blocks = -(-len(rows) // BLOCK_ROWS)
        share = BLOCK_ROWS * min(_SHARING, -(-blocks // threads))
        return [rows[start : start + share] for start in range(0, len(rows), share)]

    def best(self, shares: Sequence[np.ndarray], pool: ThreadPoolExecutor, left: Sequence[np.ndarray] = ()) -> _Lists:
        """Return the best items of all shares of queries, one after the other.

        Args:
            shares: Rows of queries.
            pool: As many threads as torch uses.
            left: For each share, the items that are left in, ascending; none: all items.
        """
        alone = torch.get_num_threads() == 1
        with ieee_products(), nullcontext() if alone else one_thread():
            found = [*(map if alone else pool.map)(self._share, shares, left or [self._all] * len(shares))]
        return _joined(found)

    def best_left_in(self, rows: np.ndarray, pruner: Pruner, pool: ThreadPoolExecutor) -> tuple[_Lists, int]:
        """Return the same, after most items have been ruled out, and of how many queries that was certain."""
        blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]
        left, certified = zip(*(self._left_in(block, pruner) for block in blocks), strict=True)
        best = self.best(blocks, pool, left)
        again = np.flatnonzero(~np.concatenate(certified))
        if len(again):
            redone = self.best(self.shares(rows[again], torch.get_num_threads()), pool)
            for name, values in vars(redone).items():
                getattr(best, name)[again] = values
        return best, len(rows) - len(again)

    def lacks_scores(self, rows: np.ndarray, best: _Lists) -> np.ndarray:
        """Return for each query whether its list is short of candidates: some have a score of minus infinity."""
        masked = self._offsets[rows + 1] - self._offsets[rows]
        return (best.items >= 0).sum(axis=1) < np.minimum(len(self._all) - masked, self._width)

    def _left_in(self, rows: np.ndarray, pruner: Pruner) -> tuple[np.ndarray, np.ndarray]:
        query_of, masked = self._masks(rows)
        left, certified = pruner.candidates(self._padded(rows)[: len(rows)], query_of, masked)
        if len(left) < (least := tile_width(len(self._all))):
            left = np.union1d(left, self._all[:least])  # any others: a tile is never narrower
        return left, certified

    def _share(self, rows: np.ndarray, left: np.ndarray) -> _Lists:
        """Return the best of some items, on one thread."""
        tile = torch.empty(BLOCK_ROWS, tile_width(len(self._all)), dtype=torch.float32, device="cpu")
        blocks = [
            (self._padded(part), self._best(part))
            for part in (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))
        ]
        everything = left is self._all
        for start in range(0, len(left), tile.shape[1]):
            first = min(start, len(left) - tile.shape[1])  # the last tile is as wide as the others
            columns = left[first : first + tile.shape[1]]
            part = self.vectors[first : first + tile.shape[1]] if everything else self.vectors[columns]
            for queries, best in blocks:
                torch.mm(queries, part.t(), out=tile)
                best.add(tile.numpy(), start - first, columns)
        for _, best in blocks:
            best.sort()
        return _joined([_Lists(best.scores, best.items, best.not_finite) for _, best in blocks])

    def _best(self, rows: np.ndarray) -> Best:
        query_of, masked = self._masks(rows)
        offsets = np.searchsorted(query_of, np.arange(len(rows) + 1))
        return Best(len(rows), self._width, self._order, offsets, masked)

    def _padded(self, rows: np.ndarray) -> torch.Tensor:
        """Return the vectors of up to 128 queries and zeros: the product always has the same shape."""
        padded = torch.zeros(BLOCK_ROWS, self._queries.shape[1], dtype=torch.float32, device="cpu")
        padded[: len(rows)] = torch.from_numpy(np.ascontiguousarray(self._queries[rows], dtype=np.float32))
        return padded

    def _masks(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return place in `rows` and item of everything that is masked, ascending."""
        lengths = self._offsets[rows + 1] - self._offsets[rows]
        query_of = np.repeat(np.arange(len(rows)), lengths)
        places = np.arange(len(query_of)) + np.repeat(self._offsets[rows] - np.cumsum(lengths) + lengths, lengths)
        masked = self._masked[places].astype(np.int64)
        ordered = np.lexsort((masked, query_of))
        return query_of, masked[ordered]


def _joined(parts: Sequence[_Lists]) -> _Lists:
    names = vars(parts[0])
    return _Lists(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _cut(start: int, best: _Lists, k: int) -> RankedBlock:
    """Cut lists at k, and note the ties."""
    count, width = best.scores.shape
    kept = min(k, width)
    tied = (best.scores[:, :-1] == best.scores[:, 1:]) & (best.items[:, :-1] >= 0)
    items = np.full((count, k), -1, dtype=np.int64)
    scores = np.full((count, k), -np.inf, dtype=np.float32)
    tied_at = np.zeros((count, k), dtype=bool)
    items[:, :kept], scores[:, :kept] = best.items[:, :kept], best.scores[:, :kept]
    tied_at[:, : tied.shape[1]] = tied[:, :k]
    return RankedBlock(start, items, scores, tied_at)
