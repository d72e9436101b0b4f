"""How the time of the ranking grows with tracks, playlists and dimensions: lines in a log-log plot."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
from figures import Curve, curve
from paired import cpu_seconds
from problems import make_problem, run_ranking

pytestmark = pytest.mark.slow
ROUNDS = 3
CASES = {
    "tracks": ([12_500, 25_000, 50_000, 100_000, 200_000], lambda n: (500, n, 256), "500 playlists, 256 dimensions"),
    "playlists": ([250, 500, 1_000, 2_000, 4_000], lambda n: (n, 50_000, 256), "50,000 tracks, 256 dimensions"),
    "dimensions": ([64, 128, 256, 512, 1_024], lambda n: (500, 50_000, n), "500 playlists, 50,000 tracks"),
}


@pytest.mark.parametrize("size", CASES)
def test_growth_of_the_ranking(size: str, growth: Callable[[Curve], None]) -> None:
    sizes, shape, fixed = CASES[size]
    seconds = []
    for number in sizes:
        problem = make_problem(*shape(number))
        run_ranking(problem)
        seconds.append(statistics.median(cpu_seconds(lambda p=problem: run_ranking(p)) for _ in range(ROUNDS)))
    growth(curve("exact ranking, top 40", size, sizes, seconds, fixed))
