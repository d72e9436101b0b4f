"""All recommenders, tuned and fitted, by the command line: CPU seconds, and what `plan` says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cold_tracks_costs import measure
from listener_worlds import write_world
from test_large_run import estimate, larpbench

Figure = Callable[..., None]
ENCODERS = "random,oracle,tfidf,same-artist"


@pytest.mark.slow
def test_all_recommenders_on_the_demo(tmp_path: Path, figure: Figure) -> None:
    options = ("--encoders", ENCODERS, "--recommenders", "all", "--seeds", "3", "--output", tmp_path / "results")
    larpbench("run", "--encoders", ENCODERS, "--output", tmp_path / "vectors")  # makes the demo, and encodes it
    planned = estimate(*options)
    cpu_s, _ = larpbench("run", *options)
    name = "run --recommenders all on the demo, 4 encoders, 3 seeds"
    figure(name, "<= 240 CPU s", f"{cpu_s:.0f} CPU s", value=cpu_s)
    figure(f"estimate / CPU, {name}", "0.67 to 1.5", f"{planned / cpu_s:.2f}", value=planned / cpu_s)


@pytest.mark.slow
def test_all_recommenders_of_cold_tracks(tmp_path: Path, figure: Figure) -> None:
    write_world(tmp_path / "listeners")
    costs = measure(tmp_path / "listeners")
    cpu_s, peak_mb = sum(each.cpu_s for each in costs), max(each.peak_mb for each in costs)
    name = (
        "all recommenders of `cold-tracks`, 20,000 listeners x 55,000 x 600 tracks, 500,000 entries, one encoder, "
        "budget 1, seeds 1"
    )
    figure(name, "< 600 CPU s", f"{cpu_s:.0f} CPU s; peak {peak_mb / 1_000:.1f} GB", value=cpu_s)
    ratios = sorted(each.planned_s / each.cpu_s for each in costs)
    whole = sum(each.planned_s for each in costs) / cpu_s
    found = f"{whole:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f} for one recommender)"
    figure(f"estimate / CPU, {name}", "0.67 to 1.5", found, value=whole)
