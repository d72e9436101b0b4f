"""What is hidden, what may be seen: edges for messages, edges to be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.datasets.schema import SPLITS, Interactions, SplitName
from larpbench.errors import ProtocolError

VisibleEdges = Literal["all", "none"]


@dataclass(frozen=True)
class Question:
    """Artists of a split who are similar to others of the same split, and to whom.

    Attributes:
        split: Which split.
        rows: (c,) int64 numbers of the candidates: all artists of the split.
        ids: (c,) str, their ids.
        asked: (p,) int64 places in `rows` of the artists that are asked about: those with a hidden edge.
        hidden: For each asked artist, the places in `rows` of those to be found.
        visible: (p,) int64, how many edges of each asked artist may be seen.
        left_out: Reason -> number of artists that are not asked about.
    """

    split: SplitName
    rows: np.ndarray
    ids: np.ndarray
    asked: np.ndarray
    hidden: Interactions
    visible: np.ndarray
    left_out: dict[str, int]


def hidden_pairs(graph: ArtistGraph, split: SplitName) -> np.ndarray:
    """Return (e, 2) the edges between two artists of a split: those to be found."""
    return graph.pairs[(graph.split_numbers[graph.pairs] == SPLITS.index(split)).all(axis=1)]


def visible_pairs(graph: ArtistGraph, split: SplitName, visible: VisibleEdges = "all") -> np.ndarray:
    """Return (e, 2) the edges that may be seen when a split is asked about.

    For train, its own edges, which are also what is learnt. For valid and test, the edges among artists of earlier
    splits, and with `visible` ``all`` also those from the asked artists to artists of earlier splits; never one between
    two asked artists, and never one of a later split.
    """
    level = SPLITS.index(split)
    splits = graph.split_numbers[graph.pairs]
    low, high = splits.min(axis=1), splits.max(axis=1)
    if level == 0:
        return graph.pairs[high == 0]
    earlier = high < level
    touching = (high == level) & (low < level)
    return graph.pairs[earlier | touching if visible == "all" else earlier]


def directed(pairs: np.ndarray, symmetric: bool) -> np.ndarray:
    """Return (2, m) messages, source above target: both ways, or from the artist of the smaller number only.

    The published code stores each edge once and sends messages along it that way only.
    """
    one_way = pairs.T
    return np.concatenate([one_way, one_way[::-1]], axis=1) if symmetric else np.ascontiguousarray(one_way)


def question(graph: ArtistGraph, split: SplitName, visible: VisibleEdges = "all") -> Question:
    """Return what is asked about a valid or test split.

    Raises:
        ProtocolError: If no two artists of the split are similar to each other.
    """
    rows = graph.rows(split)
    pairs = hidden_pairs(graph, split) - rows[0]
    if not len(pairs):
        raise ProtocolError(
            f"no two artists of the {split} split are similar to each other: there is nothing to find",
            allowed="edges between artists of that split",
            next_step="larpbench dataset stats DATASET says how many edges each split has",
        )
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    ends = ends[np.lexsort((ends[:, 1], ends[:, 0]))]
    counts = np.bincount(ends[:, 0], minlength=len(rows))
    asked = np.flatnonzero(counts)
    seen = np.bincount(visible_pairs(graph, split, visible).ravel(), minlength=len(graph.ids))[rows]
    ids = graph.ids[rows]
    hidden = Interactions(ids[asked], np.concatenate([[0], np.cumsum(counts[asked])]), ends[:, 1])
    return Question(split, rows, ids, asked, hidden, seen[asked], {"without a hidden edge": int((counts == 0).sum())})
