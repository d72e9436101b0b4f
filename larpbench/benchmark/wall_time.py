"""Wall-clock time of a run with workers: what is spread over them, and what is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from larpbench.benchmark import estimate
from larpbench.benchmark.learned import fit_seconds
from larpbench.benchmark.learning import pair
from larpbench.benchmark.plan import Plan
from larpbench.recommenders.base import TUNING_SEED

CLUSTER_SECONDS = 5.0
"""Starting Ray on this machine, or connecting."""
WORKER_SECONDS = 4.0
"""Starting a worker process: importing the libraries, once for encoding and once for the rest."""


def wall_seconds(plan: Plan, workers: int) -> float:
    """Return the wall-clock time of a run with an engine that has workers.

    Spread are shards of vectors, tunings (each of them whole), and the fits of other seeds. The estimates of their CPU
    seconds are those of the plan.

    Args:
        plan: The plan.
        workers: How many workers there are.
    """
    if not plan.to_run:
        return 0.0
    encoding = [*_shards(plan)]
    tunings, fits = _fits(plan)
    spread = sum(encoding) + sum(tunings) + sum(fits)
    by_clock = sum(_shared_out(pieces, workers) for pieces in (encoding, tunings, fits))
    phases = bool(encoding) + bool(tunings or fits)
    return (
        max(plan.estimated_seconds() + plan.remembered_seconds() - spread, 0.0)
        + by_clock
        + CLUSTER_SECONDS
        + phases * WORKER_SECONDS
    )


def _shared_out(pieces: list[float], workers: int) -> float:
    """Return how long pieces take: no less than an even share, and no less than the longest."""
    return max(sum(pieces) / workers, max(pieces, default=0.0))


def _shards(plan: Plan) -> Iterable[float]:
    """Yield the seconds of each shard that is to be encoded."""
    for each in plan.encodings:
        for start in range(0, each.tracks, each.shard):
            yield min(each.shard, each.tracks - start) / each.tracks_per_second


def _fits(plan: Plan) -> tuple[list[float], list[float]]:
    """Return the seconds of each tuning, and of each fit of another seed."""
    tunings: dict[str, float] = defaultdict(float)
    fits: list[float] = []
    for planned in plan.to_run:
        cell, dim = planned.cell, estimate.dim_of(planned.spec)
        seconds = fit_seconds(planned.recommender, plan.dataset, cell.seed, plan.budget, dim)
        if planned.recommender.learns_from and cell.seed == TUNING_SEED:
            tunings[pair(cell)] += seconds
        elif planned.recommender.learns_from:
            fits.append(seconds)
    return [*tunings.values()], fits
