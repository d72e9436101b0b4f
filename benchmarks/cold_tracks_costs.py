"""What each recommender of the task `cold-tracks` costs on a generated world: CPU seconds, the plan's, peak memory.

    python benchmarks/cold_tracks_costs.py FOLDER                     # 20,000 x 55,000 x 600, 500,000 entries
    python benchmarks/cold_tracks_costs.py FOLDER 2000000 artist-mean # as many entries, some recommenders

The world is that of `listener_worlds.py`; it is written into FOLDER if it is not there. Every recommender runs in a
process of its own, with ``--budget 1 --seeds 1``: what several share, such as the factors, is counted for each.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from listener_worlds import COLD, ENTRIES, LISTENERS, WARM, write_world
from test_large_run import estimate, larpbench

_CONTROLS = ("popular-artist", "artist-mean")
_RECOMMENDERS = (*_CONTROLS, "itemknn", "itemknn-log", "ridge", "clcrec", "dropoutnet", "dropoutnet-content")


def measure(world: Path, recommenders: tuple[str, ...]) -> None:
    """Print a line for each recommender, and the sums."""
    sums = [0.0, 0.0]
    for name in recommenders:
        encoder = "none" if name in _CONTROLS else "provided:planted"
        with tempfile.TemporaryDirectory() as results:
            cell = ("--dataset", world, "--encoders", encoder, "--recommenders", name, "--output", results)
            options = ("--task", "cold-tracks", *cell, "--budget", "1", "--seeds", "1")
            planned = estimate(*options)
            cpu_s, peak_mb = larpbench("run", *options)
        sums = [sums[0] + cpu_s, sums[1] + planned]
        print(f"{name:18} {cpu_s:7.1f} CPU s, plan {planned:7.1f}, {peak_mb:5.0f} MB", flush=True)
    print(f"{'all':18} {sums[0]:7.1f} CPU s, plan {sums[1]:7.1f}")


if __name__ == "__main__":
    folder, *more = sys.argv[1:]
    entries = int(more[0]) if more else ENTRIES
    place = Path(folder) / f"listeners-{entries}"
    if not place.exists():
        write_world(place, LISTENERS, WARM, COLD, entries)
    measure(place, tuple(more[1:]) or _RECOMMENDERS)
