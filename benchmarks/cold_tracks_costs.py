"""What each recommender of the task `cold-tracks` costs on a generated world: CPU seconds, the plan's, peak memory.

    python benchmarks/cold_tracks_costs.py FOLDER                     # 20,000 x 55,000 x 600, 500,000 entries
    python benchmarks/cold_tracks_costs.py FOLDER 2000000 artist-mean # as many entries, some recommenders

The world is that of `listener_worlds.py`; it is written into FOLDER if it is not there. Every recommender runs in a
process of its own, with ``--budget 1 --seeds 1``: what several share, such as the factors, is counted for each.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from listener_worlds import COLD, ENTRIES, LISTENERS, WARM, write_world
from test_large_run import estimate, larpbench

_CONTROLS = ("popular-artist", "artist-mean")
_RECOMMENDERS = (*_CONTROLS, "itemknn", "itemknn-log", "ridge", "clcrec", "dropoutnet", "dropoutnet-content")


@dataclass(frozen=True)
class Cost:
    """What one recommender took.

    Attributes:
        cpu_s: CPU seconds of the whole command.
        planned_s: What ``larpbench plan`` said.
        peak_mb: Peak memory.
    """

    cpu_s: float
    planned_s: float
    peak_mb: float


def measure(world: Path, recommenders: tuple[str, ...] = _RECOMMENDERS) -> list[Cost]:
    """Run each recommender; print a line for each, and the sums."""
    costs = []
    for name in recommenders:
        encoder = "none" if name in _CONTROLS else "provided:planted"
        with tempfile.TemporaryDirectory() as results:
            cell = ("--dataset", world, "--encoders", encoder, "--recommenders", name, "--output", results)
            options = ("--task", "cold-tracks", *cell, "--budget", "1", "--seeds", "1")
            planned_s = estimate(*options)
            cpu_s, peak_mb = larpbench("run", *options)
        costs.append(cost := Cost(cpu_s, planned_s, peak_mb))
        print(f"{name:18} {cost.cpu_s:7.1f} CPU s, plan {cost.planned_s:7.1f}, {cost.peak_mb:5.0f} MB", flush=True)
    total, planned = sum(each.cpu_s for each in costs), sum(each.planned_s for each in costs)
    print(f"{'all':18} {total:7.1f} CPU s, plan {planned:7.1f}")
    return costs


if __name__ == "__main__":
    folder, *more = sys.argv[1:]
    entries = int(more[0]) if more else ENTRIES
    place = Path(folder) / f"listeners-{entries}"
    if not place.exists():
        write_world(place, LISTENERS, WARM, COLD, entries)
    measure(place, tuple(more[1:]) or _RECOMMENDERS)
