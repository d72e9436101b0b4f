"""Synthetic ranking problems, and the matrix product that no exact ranking can do without."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from larpbench.evaluation.ranking import rank, tile_width

LIST_LENGTH = 40
_CLUSTERS = 200
_ROWS_AT_ONCE = 8_192
_BLOCK_ROWS = 128
_BLOCK_BYTES = 100 * 2**20


@dataclass(frozen=True)
class Problem:
    """What `larpbench.evaluation.ranking.rank` is asked.

    Attributes:
        queries: (playlists, dim) float32.
        items: (tracks, dim) float32.
        masked_offsets: (playlists + 1,) int64.
        masked_items: Item rows of the playlists' seeds, ascending within a playlist.
        order: (tracks,) int64 tie order.
    """

    queries: np.ndarray
    items: np.ndarray
    masked_offsets: np.ndarray
    masked_items: np.ndarray
    order: np.ndarray


def make_problem(playlists: int, tracks: int, dim: int = 256, *, constant: bool = False) -> Problem:
    """Return playlists of 5 to 20 seeds among tracks with clustered, normalised embeddings.

    Args:
        playlists: Number of playlists.
        tracks: Number of tracks.
        dim: Width of the embeddings.
        constant: Give every track the same embedding instead, so that all scores are equal.
    """
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(5, 21, playlists))])
    seeds = np.concatenate(
        [np.sort(rng.choice(tracks, n, replace=False, shuffle=False)) for n in np.diff(offsets)]
    ).astype(np.int64)
    if constant:
        items = np.full((tracks, dim), dim**-0.5, dtype=np.float32)
    else:
        items = rng.standard_normal((tracks, dim), dtype=np.float32)
        centres = rng.standard_normal((_CLUSTERS, dim), dtype=np.float32)
        cluster_of = rng.integers(0, _CLUSTERS, tracks)
        for start in range(0, tracks, _ROWS_AT_ONCE):
            part = items[start : start + _ROWS_AT_ONCE]
            part += centres[cluster_of[start : start + _ROWS_AT_ONCE]]
            part /= np.linalg.norm(part, axis=1, keepdims=True)
    queries = np.empty((playlists, dim), dtype=np.float32)
    for start in range(0, playlists, _ROWS_AT_ONCE):
        bounds = offsets[start : start + _ROWS_AT_ONCE + 1]
        sums = np.add.reduceat(items[seeds[bounds[0] : bounds[-1]]], bounds[:-1] - bounds[0], axis=0)
        queries[start : start + _ROWS_AT_ONCE] = sums / np.diff(bounds)[:, None].astype(np.float32)
    return Problem(queries, items, offsets, seeds, rng.permutation(tracks))


def run_ranking(problem: Problem) -> None:
    """Rank, and let go of every block as soon as it is there."""
    blocks = rank(
        problem.queries,
        problem.items,
        masked_offsets=problem.masked_offsets,
        masked_items=problem.masked_items,
        order=problem.order,
        k=LIST_LENGTH,
    )
    deque(blocks, maxlen=0)


def run_product(problem: Problem) -> None:
    """Compute all scores in float32, 128 playlists at a time, or fewer where 100 MiB do not hold them; nothing else."""
    items = torch.from_numpy(problem.items).t()
    rows = _BLOCK_ROWS
    while rows > 8 and rows * items.shape[1] * 4 > _BLOCK_BYTES:
        rows //= 2
    scores = torch.empty(rows, items.shape[1])
    for block in torch.from_numpy(problem.queries).split(rows):
        torch.mm(block, items, out=scores[: len(block)])


def run_tiles(problem: Problem) -> None:
    """Compute all scores in float32 in tiles of the very size that the ranking uses: the fastest product there is."""
    items, width = torch.from_numpy(problem.items), tile_width(len(problem.items))
    scores = torch.empty(_BLOCK_ROWS, width)
    for block in torch.from_numpy(problem.queries).split(_BLOCK_ROWS):
        for tile in items.split(width):
            torch.mm(block, tile.t(), out=scores[: len(block), : len(tile)])
