"""Exact top-K ranking by inner product, in blocks of bounded memory.

Protocol ``cold-start-v1``, rules 5 and 7: every track of the split is a candidate except the playlist's own seeds, and
equal scores are ordered by a fixed pseudo-random order of the candidates. Sampled or approximate search would change
the metric, so neither is offered.

Selection is exact in two stages (cheaper than one pass of ``topk`` over all candidates): the columns of a score block
are viewed as groups, the groups with the largest maxima are gathered, and the K best are taken among their members. The
K-th largest score of a row is always inside its K best groups; only *which* of several equal scores comes first is left
open by that, and rows where it matters are settled by the tie order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from larpbench.errors import ProtocolError

_BLOCK_BYTES = 100 * 2**20
_MAX_BLOCK_ROWS = 128
_MIN_BLOCK_ROWS = 8


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


def block_rows(n_items: int) -> int:
    """Return how many queries are scored at once: fixed by the number of items alone, so scores never depend on it."""
    rows = _MAX_BLOCK_ROWS
    while rows > _MIN_BLOCK_ROWS and rows * n_items * 4 > _BLOCK_BYTES:
        rows //= 2
    return rows


def rank(
    queries: np.ndarray,
    items: np.ndarray,
    *,
    masked_offsets: np.ndarray,
    masked_items: np.ndarray,
    order: np.ndarray,
    k: int,
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

    Yields:
        Blocks in the order of the queries.

    Raises:
        ProtocolError: If the best score of a query is NaN or infinite (vectors too large for float32).
    """
    n_items, rows = len(items), block_rows(len(items))
    width = min(k + 1, n_items)  # one more than asked for, to see whether the cut falls between equal scores
    selector = _GroupSelector(n_items, rows, width)
    transposed = torch.from_numpy(np.ascontiguousarray(items, dtype=np.float32)).t()
    padded = torch.zeros(rows, queries.shape[1], dtype=torch.float32, device="cpu")
    for start in range(0, len(queries), rows):
        stop = min(start + rows, len(queries))
        count = stop - start
        padded[:count] = torch.from_numpy(np.ascontiguousarray(queries[start:stop], dtype=np.float32))
        padded[count:] = 0.0  # the product always has the same shape: a score does not depend on its block
        scores = selector.scores
        torch.mm(padded, transposed, out=scores)
        offsets = masked_offsets[start : stop + 1]
        query_of = np.repeat(np.arange(count), np.diff(offsets))
        scores[query_of, masked_items[offsets[0] : offsets[-1]].astype(np.int64)] = -torch.inf
        values, columns = selector.select(count)
        if not (values[:, 0] < torch.inf).all():  # false for NaN too: maxima propagate it
            bad = start + int((~(values[:, 0] < torch.inf)).nonzero()[0])
            raise ProtocolError(
                f"the scores of query {bad} are not finite: the vectors are too large for float32 inner products",
                next_step="scale the embeddings down, or use a recommender that normalises them (itemknn)",
            )
        yield _settle(start, scores, values, columns, order, k)


class _GroupSelector:
    """The largest scores of each row of a reused block, without an order among equal ones."""

    def __init__(self, n_items: int, rows: int, width: int) -> None:
        self.width = width
        # Both stages look at about as many numbers.
        self.group_size = 2 ** max(1, round(math.log2(n_items / width) / 2))
        self.groups = -(-n_items // self.group_size)
        self.two_stage = self.groups > 2 * width
        columns = self.groups * self.group_size if self.two_stage else n_items
        self._block = torch.full((rows, columns), -torch.inf, dtype=torch.float32, device="cpu")
        self.scores = self._block[:, :n_items]

    def select(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values (descending) and columns, each (count, width), of the first `count` rows."""
        if not self.two_stage:
            return torch.topk(self.scores[:count], self.width, dim=1)
        grouped = self._block[:count].view(count, self.group_size, self.groups)
        best_groups = torch.topk(grouped.amax(dim=1), self.width, dim=1, sorted=False).indices
        members = grouped.gather(2, best_groups[:, None, :].expand(-1, self.group_size, -1)).view(count, -1)
        values, places = torch.topk(members, self.width, dim=1)
        columns = (places // self.width) * self.groups + best_groups.gather(1, places % self.width)
        return values, columns


def _settle(
    start: int, scores: torch.Tensor, values: torch.Tensor, columns: torch.Tensor, order: np.ndarray, k: int
) -> RankedBlock:
    """Put equal scores into the tie order and cut the lists at k."""
    top = values.numpy()
    items = np.where(top > -np.inf, columns.numpy(), 0)  # a masked place may be padding, which is no item
    count, width = top.shape
    tied = (top[:, :-1] == top[:, 1:]) & (top[:, :-1] > -np.inf)
    kept = min(k, width)
    for row in np.flatnonzero(tied.any(axis=1)):
        if tied[row, kept - 1 :].any():  # more equal scores than places left: choose among all of them
            cut = top[row, kept - 1]
            equal = np.flatnonzero(scores[row].numpy() == cut)
            above = items[row, :kept][top[row, :kept] > cut]
            wanted = kept - len(above)
            first = equal[np.argpartition(order[equal], wanted - 1)[:wanted]]
            items[row, :kept] = np.concatenate([above, first])
        by_order = np.lexsort((order[items[row, :kept]], -top[row, :kept]))
        items[row, :kept] = items[row, by_order]
    ranked = np.full((count, k), -1, dtype=np.int64)
    ranked[:, :kept] = np.where(top[:, :kept] > -np.inf, items[:, :kept], -1)
    ranked_scores = np.full((count, k), -np.inf, dtype=np.float32)
    ranked_scores[:, :kept] = top[:, :kept]
    tied_at = np.zeros((count, k), dtype=bool)
    tied_at[:, : width - 1] = tied[:, :k]
    return RankedBlock(start, ranked, ranked_scores, tied_at)
