"""A generated artist graph of the size of the second paper's: the same numbers of artists and of edges, drawn."""

from __future__ import annotations

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.datasets.schema import SPLITS

ARTISTS = {"train": 13_489, "valid": 1_679, "test": 1_696}
EDGES = {(0, 0): 63_277, (0, 1): 16_841, (1, 1): 1_082, (0, 2): 15_500, (1, 2): 1_537, (2, 2): 884}
DIM = 512
_COMMUNITIES = 200


def large_graph(seed: int = 0) -> tuple[ArtistGraph, np.ndarray]:
    """Return the graph, 16,864 artists and 99,121 edges, and (artists, 512) float32 features that know of it."""
    generator = np.random.default_rng(seed)
    n = sum(ARTISTS.values())
    split = np.repeat(np.arange(3), list(ARTISTS.values()))
    community = generator.integers(_COMMUNITIES, size=n)
    members = [[np.flatnonzero((split == s) & (community == c)) for c in range(_COMMUNITIES)] for s in range(3)]
    popularity = generator.lognormal(size=n)
    found: set[tuple[int, int]] = set()
    for (one, other), wanted in EDGES.items():
        mine: set[tuple[int, int]] = set()
        first = np.flatnonzero(split == one)
        weights = popularity[first] / popularity[first].sum()
        while len(mine) < wanted:
            for a in generator.choice(first, size=wanted, p=weights).tolist():
                near = (
                    members[other][community[a]] if generator.random() < 0.8 else np.flatnonzero(split == other)[:500]
                )
                if len(near) and len(mine) < wanted and (b := int(near[generator.integers(len(near))])) != a:
                    mine.add((min(a, b), max(a, b)))
        found |= mine
    ids = np.array([f"{number:05d}" for number in range(n)])
    pairs = np.array(sorted(found))
    artists = pl.DataFrame({"artist_id": ids, "name": ids, "split": np.array(SPLITS)[split]})
    songs = pl.DataFrame({"artist_id": ids, "track_id": ids})
    edges = pl.DataFrame({"artist_a": ids[pairs[:, 0]], "artist_b": ids[pairs[:, 1]]})
    middles = generator.normal(size=(_COMMUNITIES, DIM))
    features = middles[community] + 4 * generator.normal(size=(n, DIM))
    return ArtistGraph(artists, songs, edges, {}), features.astype(np.float32)
