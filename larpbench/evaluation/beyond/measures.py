"""All measures beyond accuracy of one ranking, each with its chance value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from larpbench.datasets.schema import Dataset, Interactions
from larpbench.evaluation.beyond.chance import (
    expected_coverage,
    expected_list_means,
    expected_new_artist_share,
    expected_similarity,
)
from larpbench.evaluation.beyond.lists import (
    coverage,
    entry_counts,
    gini,
    intra_list_similarity,
    list_means,
    new_artist_share,
    popularity_percentiles,
    self_information,
    set_means,
)
from larpbench.evaluation.beyond.random_lists import expected_gini
from larpbench.evaluation.popularity import popularity_split, track_popularity
from larpbench.evaluation.queries import Queries

SIMILARITY = "intra_list_similarity"
RANGES: dict[str, tuple[float, float]] = {
    "popularity": (0, 1),
    "popularity_bias": (-1, 1),
    "novelty": (0, np.inf),
    "new_artists": (0, 1),
    SIMILARITY: (-1, 1),
    "coverage": (0, 1),
    "gini": (0, 1),
    "artist_coverage": (0, 1),
    "artist_gini": (0, 1),
}
"""Name of each measure -> what it can be; those of single lists first, then those of all lists together."""
SHARES = tuple(name for name, bounds in RANGES.items() if bounds == (0, 1))
"""Those that are shares, so that their interval is a score interval."""


@dataclass(frozen=True)
class ListContext:
    """What the measures need to know of the items that were ranked.

    Attributes:
        masked: Items that are no candidates of each query, such as the seeds.
        artists: (n,) int64, a number for each artist; None where the items are artists, which have coverage and
            concentration only.
        popularity: (n,) int64, `track_popularity`; None as above.
        playlists: In how many playlists that was counted.
        known: Artists of what is visible of each query: their numbers; None as above.
    """

    masked: Interactions
    artists: np.ndarray | None = None
    popularity: np.ndarray | None = None
    playlists: int = 0
    known: Interactions | None = None

    def equals(self, other: ListContext) -> bool:
        """Whether all chance values of two contexts are the same."""
        ours, theirs = (
            (
                *(each.masked.offsets, each.masked.tracks, each.artists, each.popularity),
                *((each.known.offsets, each.known.tracks) if each.known else (None, None)),
            )
            for each in (self, other)
        )
        return self.playlists == other.playlists and all(map(_same, ours, theirs))


@dataclass(frozen=True)
class Measures:
    """The measures of one ranking.

    Attributes:
        values: Column, such as ``popularity@10`` -> (p,) float64.
        totals: Column, such as ``gini@10`` -> value of all lists together.
        chance: Column -> expected value for a uniformly random ranking of the same candidates.
    """

    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)


def track_context(dataset: Dataset, queries: Queries) -> ListContext:
    """Return the context of rankings of the test tracks.

    Args:
        dataset: The data set.
        queries: Of its test split.
    """
    split = dataset.split(popularity_split(dataset))
    counted = len(split.interactions())
    return ListContext(queries.masked, queries.artists, track_popularity(dataset), counted, queries.known_artists)


class ListMeasurer:
    """Measures rankings; chance values are computed once for all that share their context.

    Args:
        vectors: (n, dim) float32, the items' vectors by a second encoder; None: no similarity is measured.
    """

    def __init__(self, vectors: np.ndarray | None = None) -> None:
        self._vectors = vectors
        self._last: tuple[ListContext, Interactions, Sequence[int], Mapping[str, float]] | None = None

    def measure(
        self, lists: np.ndarray, context: ListContext, heldout: Interactions, n_items: int, cutoffs: Sequence[int]
    ) -> Measures:
        """Return the measures of one ranking.

        Args:
            lists: (p, k) int rows of the items by rank, -1 for none.
            context: What the items are.
            heldout: Items to be found, of the same queries.
            n_items: Number of items.
            cutoffs: The Ks, ascending, at most k.
        """
        values: dict[str, np.ndarray] = {}
        totals: dict[str, float] = {}
        by_track = _of_tracks(context)
        for k in cutoffs:
            cut = lists[:, :k]
            for name, of in by_track.items():
                values[f"{name}@{k}"] = list_means(cut, of)
            if "popularity" in by_track:
                values[f"popularity_bias@{k}"] = values[f"popularity@{k}"] - set_means(heldout, by_track["popularity"])
            if context.artists is not None and context.known is not None:
                values[f"new_artists@{k}"] = new_artist_share(cut, context.known, context.artists)
            for prefix, groups in _groupings(context, n_items).items():
                counts = entry_counts(cut, groups)
                totals[f"{prefix}coverage@{k}"] = coverage(counts)
                totals[f"{prefix}gini@{k}"] = float(gini(counts))
        if self._vectors is not None:
            similar = intra_list_similarity(lists, self._vectors, cutoffs)
            values |= {f"{SIMILARITY}@{k}": found for k, found in similar.items()}
        return Measures(values, totals, self._chance(context, heldout, n_items, cutoffs))

    def _chance(
        self, context: ListContext, heldout: Interactions, n_items: int, cutoffs: Sequence[int]
    ) -> Mapping[str, float]:
        if self._last:
            known, found, same, chance = self._last
            if known.equals(context) and tuple(same) == tuple(cutoffs) and _same(found.tracks, heldout.tracks):
                return chance
        chance = _chance(context, heldout, n_items, cutoffs, self._vectors)
        self._last = context, heldout, cutoffs, chance
        return chance


def _chance(
    context: ListContext, heldout: Interactions, n_items: int, cutoffs: Sequence[int], vectors: np.ndarray | None
) -> dict[str, float]:
    masked, by_track, groupings = context.masked, _of_tracks(context), _groupings(context, n_items)
    always = {name: float(expected_list_means(of, masked).mean()) for name, of in by_track.items()}
    if "popularity" in by_track:
        always["popularity_bias"] = always["popularity"] - float(set_means(heldout, by_track["popularity"]).mean())
    if context.artists is not None and context.known is not None:
        always["new_artists"] = float(expected_new_artist_share(context.known, masked, context.artists).mean())
    if vectors is not None:
        always[SIMILARITY] = float(expected_similarity(vectors, masked).mean())
    chance = {f"{name}@{k}": value for name, value in always.items() for k in cutoffs}  # the same at every K
    for (prefix, k), value in expected_gini(groupings, masked, cutoffs).items():
        chance[f"{prefix}gini@{k}"] = value
        chance[f"{prefix}coverage@{k}"] = expected_coverage(groupings[prefix], masked, k)
    return chance


def _of_tracks(context: ListContext) -> dict[str, np.ndarray]:
    if context.popularity is None:
        return {}
    return {
        "popularity": popularity_percentiles(context.popularity),
        "novelty": self_information(context.popularity, context.playlists),
    }


def _groupings(context: ListContext, n_items: int) -> dict[str, np.ndarray]:
    found = {"": np.arange(n_items)}
    if context.artists is not None:
        found["artist_"] = np.unique(context.artists, return_inverse=True)[1]
    return found


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
