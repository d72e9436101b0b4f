"""Ranking in pieces: blocks of queries go to the workers of an engine, and the vectors to its object store, once.

The pieces begin and end where the blocks of `rank` do, so that lists and scores are equal to the bit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from larpbench.engine.base import Engine, Shared, current
from larpbench.errors import ProtocolError
from larpbench.evaluation.ranking import BLOCK_ROWS, RankedBlock, rank

LEAST_PRODUCTS = 2**32
"""Multiplications of a piece that are worth sending: about a tenth of a second of a core."""
_PIECES_PER_WORKER = 8


@dataclass(frozen=True)
class _Piece:
    """Consecutive queries, and what they may not be given."""

    start: int
    queries: np.ndarray
    masked_offsets: np.ndarray
    masked_items: np.ndarray


def rank_in_pieces(
    queries: np.ndarray,
    items: np.ndarray,
    *,
    masked_offsets: np.ndarray,
    masked_items: np.ndarray,
    order: np.ndarray,
    k: int,
    device: str = "cpu",
) -> Iterator[RankedBlock]:
    """Rank as `rank` does, on the workers of the current engine where that is worth it.

    Args:
        queries: As of `rank`, and so are the others.
        items: See there.
        masked_offsets: See there.
        masked_items: See there.
        order: See there.
        k: See there.
        device: See there.

    Yields:
        Blocks in the order of the queries; a piece that was ranked elsewhere is one block.

    Raises:
        ProtocolError: If the best score of a query is NaN or infinite.
    """
    here = functools.partial(
        rank,
        queries,
        items,
        masked_offsets=masked_offsets,
        masked_items=masked_items,
        order=order,
        k=k,
        device=device,
    )
    engine = current()
    size = piece_rows(len(queries), len(items), queries.shape[1], engine)
    if engine.is_local or size >= len(queries):
        yield from here()
        return
    pieces = (_piece(queries, masked_offsets, masked_items, start, size) for start in range(0, len(queries), size))
    ranked = functools.partial(_ranked, engine.share(items), engine.share(order), k, device)
    try:
        yield from engine.map(ranked, pieces)
    except ProtocolError:  # which names a row of its piece
        yield from here()


def piece_rows(n_queries: int, n_items: int, dim: int, engine: Engine) -> int:
    """Return how many queries a piece has: a multiple of the rows of a block."""
    worth = math.ceil(LEAST_PRODUCTS / max(n_items * dim, 1))
    even = math.ceil(n_queries / (_PIECES_PER_WORKER * engine.workers))
    return math.ceil(max(worth, even) / BLOCK_ROWS) * BLOCK_ROWS


def _piece(queries: np.ndarray, masked_offsets: np.ndarray, masked_items: np.ndarray, start: int, size: int) -> _Piece:
    offsets = masked_offsets[start : start + size + 1]
    masked = masked_items[offsets[0] : offsets[-1]]
    return _Piece(start, queries[start : start + size], offsets - offsets[0], masked)


def _ranked(items: Shared[np.ndarray], order: Shared[np.ndarray], k: int, device: str, piece: _Piece) -> RankedBlock:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable")  # they lie in the object store, and are only read
        blocks = [
            *rank(
                piece.queries,
                items.get(),
                masked_offsets=piece.masked_offsets,
                masked_items=piece.masked_items,
                order=order.get(),
                k=k,
                device=device,
            )
        ]
    columns = ("items", "scores", "tied_at")
    joined = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in columns}
    return replace(blocks[0], start=piece.start, **joined)
