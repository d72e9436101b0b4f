"""Metrics of ranked lists against held-out tracks (protocol rule 8).

With G held-out tracks, hit_r = 1 if the track at rank r is held out, and D(k) = sum over r <= k of 1 / log2(r + 1):

* recall@K = (sum over r <= K of hit_r) / G
* ndcg@K = (sum over r <= K of hit_r / log2(r + 1)) / D(min(G, K)): binary gain (Jarvelin & Kekalainen 2002)
* hit_rate@K = 1 if any of the first K is a hit
* mrr@40 = 1 / rank of the first hit, 0 if there is none in the first 40
* map@40 = (sum over r <= 40 of hit_r * precision@r) / min(G, 40)
* unique_artist_share@K = distinct artists among the first K, over the number of tracks listed (at most K)
* coverage@K, of all lists together: tracks that are in the first K of any list, over the number of candidates

Each function is pure and works on whole blocks of playlists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larpbench.datasets.schema import Interactions

CUTOFFS = (10, 20, 40)
LIST_LENGTH = 40
COLD_CUTOFFS = (10, 20, 50, 100)
"""Those of cold tracks for known listeners, whose histories are longer than playlists."""


@dataclass(frozen=True)
class MetricSpec:
    """A metric by name and cut-off.

    Attributes:
        name: Such as ``recall``.
        k: Cut-off.
        per_query: Whether each playlist has a value of its own.
        quality: Whether more is better and chance and ceiling are defined; otherwise it only describes the lists.
        whole_list: Whether it still tells rankings apart where K reaches the number of candidates, so that there is no
            reason to print n/a.
        compute: Returns its values, (p,) float64, from the hits among the first K, (p, K) bool, the numbers of held-out
            tracks, (p,) int, and the artists of the first K, (p, K) int, -1 where a list has ended; None for those that
            `list_quality` computes together.
    """

    name: str
    k: int
    per_query: bool = True
    quality: bool = True
    whole_list: bool = False
    compute: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None

    @property
    def column(self) -> str:
        """Name in tables: ``recall@10``."""
        return f"{self.name}@{self.k}"


def discounts(k: int) -> np.ndarray:
    """Return 1 / log2(r + 1) for r = 1 .. k, float64."""
    return 1.0 / np.log2(np.arange(2, k + 2))


def ideal_gain(k: int) -> np.ndarray:
    """Return D(0), D(1), .., D(k), float64: the DCG of a list that begins with that many hits."""
    return np.concatenate([[0.0], np.cumsum(discounts(k))])


def find_hits(lists: np.ndarray, heldout: Interactions, n_items: int) -> np.ndarray:
    """Return which ranked tracks are held out.

    Args:
        lists: (p, k) item rows by rank, -1 for none.
        heldout: Held-out tracks of the same p playlists.
        n_items: Number of candidates.

    Returns:
        (p, k) bool.
    """
    hits = np.empty(lists.shape, dtype=bool)
    rows = max(1, min(len(lists), 2**23 // max(n_items, 1)))
    marked = np.zeros((rows, n_items + 1), dtype=bool)  # the last column stays false: where -1 points
    for start in range(0, len(lists), rows):
        stop = min(start + rows, len(lists))
        low, high = heldout.offsets[start], heldout.offsets[stop]
        flat = np.repeat(np.arange(stop - start) * (n_items + 1), np.diff(heldout.offsets[start : stop + 1]))
        flat = flat + heldout.tracks[low:high]
        marked.ravel()[flat] = True
        places = lists[start:stop] + (np.arange(stop - start) * (n_items + 1))[:, None]
        places[lists[start:stop] < 0] = n_items
        np.take(marked.ravel(), places, out=hits[start:stop])
        marked.ravel()[flat] = False
    return hits


def recall_and_ndcg(hits: np.ndarray, n_heldout: np.ndarray, cutoffs: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return recall@K and ndcg@K of each playlist.

    Args:
        hits: (p, k) bool, k >= max(cutoffs).
        n_heldout: (p,) int, at least 1 each.
        cutoffs: The Ks.

    Returns:
        Column name -> (p,) float64.
    """
    weights, ideal = discounts(max(cutoffs)), ideal_gain(max(cutoffs))
    columns: dict[str, np.ndarray] = {}
    count: np.ndarray = np.zeros(len(hits))
    gain: np.ndarray = np.zeros(len(hits))
    done = 0
    for k in sorted(cutoffs):
        part = hits[:, done:k].astype(np.float64)
        count += part.sum(axis=1)
        gain += part @ weights[done:k]
        done = k
        columns[f"recall@{k}"] = count / n_heldout
        columns[f"ndcg@{k}"] = np.minimum(gain / ideal[np.minimum(n_heldout, k)], 1.0)  # 1 + 2e-16 is a rounding error
    return columns


def list_quality(hits: np.ndarray, n_heldout: np.ndarray, cutoffs: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return recall, NDCG and hit rate at each K, and MRR and MAP at the largest.

    Args:
        hits: (p, k) bool, k = max(cutoffs).
        n_heldout: (p,) int, at least 1 each.
        cutoffs: The Ks, ascending.

    Returns:
        Column name -> (p,) float64.
    """
    length = cutoffs[-1]
    columns = recall_and_ndcg(hits, n_heldout, cutoffs)
    ranks = np.arange(1, length + 1)
    for k in cutoffs:
        columns[f"hit_rate@{k}"] = np.asarray(hits[:, :k].any(axis=1), dtype=np.float64)
    first = hits.argmax(axis=1)
    columns[f"mrr@{length}"] = np.where(hits.any(axis=1), 1.0 / (first + 1), 0.0)
    precision = hits.cumsum(axis=1) / ranks
    columns[f"map@{length}"] = (precision * hits).sum(axis=1) / np.minimum(n_heldout, length)
    return columns


def per_playlist(
    hits: np.ndarray, n_heldout: np.ndarray, artists: np.ndarray, cutoffs: tuple[int, ...] = CUTOFFS
) -> dict[str, np.ndarray]:
    """Return every per-playlist metric of `metrics_at`.

    Args:
        hits: (p, k) bool, k = max(cutoffs).
        n_heldout: (p,) int, at least 1 each.
        artists: (p, k) int artist numbers of the ranked tracks, -1 where the list has ended.
        cutoffs: The Ks, ascending.

    Returns:
        Column name -> (p,) float64.
    """
    others = {
        spec.column: spec.compute(hits[:, : spec.k], n_heldout, artists[:, : spec.k])
        for spec in metrics_at(cutoffs)
        if spec.compute
    }
    return list_quality(hits, n_heldout, cutoffs) | others


def unique_artist_share(hits: np.ndarray, n_heldout: np.ndarray, artists: np.ndarray) -> np.ndarray:
    """Return the distinct artists of each list over its length, see `MetricSpec.compute`."""
    ordered = np.sort(artists, axis=1)
    new = np.ones(ordered.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    listed = (artists >= 0).sum(axis=1)
    return (new & (ordered >= 0)).sum(axis=1) / np.maximum(listed, 1)


def metrics_at(cutoffs: tuple[int, ...]) -> tuple[MetricSpec, ...]:
    """Return all metrics of ranked lists at some cut-offs; MRR and MAP are of the whole list.

    Args:
        cutoffs: The Ks, ascending; the largest is the length of the lists.
    """
    return (
        *(MetricSpec(name, k) for name in ("recall", "ndcg", "hit_rate") for k in cutoffs),
        MetricSpec("mrr", cutoffs[-1]),
        MetricSpec("map", cutoffs[-1]),
        *(MetricSpec("unique_artist_share", k, quality=False, compute=unique_artist_share) for k in cutoffs),
        *(MetricSpec("coverage", k, per_query=False, quality=False) for k in cutoffs),
    )


METRICS = metrics_at(CUTOFFS)
