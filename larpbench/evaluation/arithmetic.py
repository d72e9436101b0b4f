"""What no ranking can score: a check of every record against arithmetic (protocol rule 10)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from larpbench.errors import ProtocolError
from larpbench.evaluation.metrics import CUTOFFS, ideal_gain

_TOLERANCE = 1e-9


def check_scores(
    columns: Mapping[str, np.ndarray],
    ceiling: Mapping[str, np.ndarray],
    n_heldout: np.ndarray,
    cutoffs: tuple[int, ...] = CUTOFFS,
) -> None:
    """Raise if a playlist has a score that its held-out tracks do not allow.

    Values lie in [0, 1] and not above their ceiling; recall grows with K; h hits among the first K allow an NDCG
    between those of the h last and the h first ranks. A perfect ranking reaches every bound.

    Args:
        columns: Column name -> (p,) float64, per playlist.
        ceiling: The same of a perfect ranking.
        n_heldout: (p,) int.
        cutoffs: The Ks, ascending.

    Raises:
        ProtocolError: Naming the metric and the first playlist.
    """
    for name, values in columns.items():
        _require(name, "is in [0, 1]", (values >= 0) & (values <= 1 + _TOLERANCE))
    for name, most in ceiling.items():
        _require(name, "is at most its ceiling", columns[name] <= most + _TOLERANCE)
    for small, large in itertools.pairwise(cutoffs):
        grows = columns[f"recall@{small}"] <= columns[f"recall@{large}"] + _TOLERANCE
        _require(f"recall@{large}", f"is at least recall@{small}", grows)
    for k in cutoffs:
        low, high = ndcg_bounds(columns[f"recall@{k}"] * n_heldout, n_heldout, k)
        ndcg = columns[f"ndcg@{k}"]
        _require(f"ndcg@{k}", "is what its recall allows", (ndcg >= low - _TOLERANCE) & (ndcg <= high + _TOLERANCE))


def ndcg_bounds(hits: np.ndarray, n_heldout: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest NDCG@k that a number of hits among the first k allows.

    Args:
        hits: (p,) number of hits; rounded to whole ones.
        n_heldout: (p,) int.
        k: Cut-off.

    Returns:
        Two (p,) float64 arrays.
    """
    gain = ideal_gain(k)
    count = np.clip(np.rint(hits).astype(np.int64), 0, k)
    best = gain[np.minimum(n_heldout, k)]
    return (gain[k] - gain[k - count]) / best, gain[count] / best


def largest_mean_ndcg(recall: float, k: int, most_heldout: int) -> float:
    """Return the largest mean NDCG@k that a mean recall@k allows, whatever the playlists.

    A playlist with G held-out tracks and h hits among the first k has a recall of h / G and an NDCG of at most
    D(h) / D(min(G, k)); means over playlists lie below the upper hull of all these points.

    Args:
        recall: Mean recall@k, in [0, 1].
        k: Cut-off.
        most_heldout: Held-out tracks of the longest playlist.
    """
    gain = ideal_gain(k)
    best: dict[float, float] = {0.0: 0.0}
    for heldout in range(1, most_heldout + 1):
        for hits in range(1, min(heldout, k) + 1):
            share = hits / heldout
            best[share] = max(best.get(share, 0.0), gain[hits] / gain[min(heldout, k)])
    hull: list[tuple[float, float]] = []
    for point in sorted(best.items()):
        while len(hull) > 1 and not _turns_right(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    shares, values = zip(*hull, strict=True)
    return float(np.interp(recall, shares, values))


def _turns_right(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) < (b[1] - a[1]) * (c[0] - a[0])


def _require(name: str, what: str, holds: np.ndarray) -> None:
    if not holds.all():
        raise ProtocolError(
            f"{name} of {int((~holds).sum())} playlists contradicts arithmetic: not so that it {what}",
            where=f"playlist number {int(np.flatnonzero(~holds)[0])}",
            next_step="this is a fault of larpbench or of a plug-in: please report it with the record",
        )
