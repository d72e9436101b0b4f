"""Hidden edges, which are to be found, and visible edges, along which messages travel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.datasets.schema import SPLITS, Interactions, SplitName
from larpbench.errors import ProtocolError
from larpbench.tasks.artist_similarity.settings import VisibleEdges


@dataclass(frozen=True)
class ArtistQueries:
    """The artists of a split that are similar to others of the same split, and those others.

    Attributes:
        split: Which split.
        rows: (c,) int64 numbers of the candidates: all artists of the split.
        ids: (c,) str, their ids.
        places: (p,) int64 places in `rows` of the queries: the artists with a hidden edge.
        hidden: For each query, the places in `rows` of the artists to be found.
        visible: (p,) int64 number of visible edges of each query.
        left_out: Reason -> number of artists that are no queries.
    """

    split: SplitName
    rows: np.ndarray
    ids: np.ndarray
    places: np.ndarray
    hidden: Interactions
    visible: np.ndarray
    left_out: dict[str, int]


def hidden_pairs(graph: ArtistGraph, split: SplitName) -> np.ndarray:
    """Return (e, 2) the edges between two artists of a split: those to be found."""
    return graph.pairs[(graph.split_numbers[graph.pairs] == SPLITS.index(split)).all(axis=1)]


def visible_pairs(graph: ArtistGraph, split: SplitName, visible: VisibleEdges = "all") -> np.ndarray:
    """Return (e, 2) the edges that are visible when a split is tested.

    For train, its own edges, which are also what is learnt. For valid and test, the edges among artists of earlier
    splits, and with `visible` ``all`` also those from the tested artists to artists of earlier splits. Edges between
    two tested artists and edges of later splits are never visible.
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


def artist_queries(graph: ArtistGraph, split: SplitName, visible: VisibleEdges = "all") -> ArtistQueries:
    """Return the queries of the valid or test split.

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
    places = np.flatnonzero(counts)
    degrees = np.bincount(visible_pairs(graph, split, visible).ravel(), minlength=len(graph.ids))[rows]
    ids = graph.ids[rows]
    hidden = Interactions(ids[places], np.concatenate([[0], np.cumsum(counts[places])]), ends[:, 1])
    without = {"without a hidden edge": int((counts == 0).sum())}
    return ArtistQueries(split, rows, ids, places, hidden, degrees[places], without)
