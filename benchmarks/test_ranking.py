"""Exact top-40 ranking against the bare product of the same blocks: what selection and masks cost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from paired import paired_ratio
from problems import LIST_LENGTH, Problem, make_problem, run_product, run_ranking, run_tiles
from pytest_benchmark.fixture import BenchmarkFixture

from larpbench.evaluation import ranking
from larpbench.evaluation.ranking import rank

Figure = Callable[[str, str, str], None]

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def check_lists(problem: Problem, playlists: int = 40) -> None:
    """Assert that the first lists hold the largest scores of float64, and no seed."""
    offsets = problem.masked_offsets[: playlists + 1]
    seeds = problem.masked_items[: offsets[-1]]
    (block,) = rank(
        problem.queries[:playlists],
        problem.items,
        masked_offsets=offsets,
        masked_items=seeds,
        order=problem.order,
        k=LIST_LENGTH,
    )
    scores = problem.queries[:playlists].astype(np.float64) @ problem.items.astype(np.float64).T
    scores[np.repeat(np.arange(playlists), np.diff(offsets)), seeds] = -np.inf
    best = -np.partition(-scores, LIST_LENGTH, axis=1)[:, :LIST_LENGTH]
    best = -np.sort(-best, axis=1)
    np.testing.assert_allclose(np.take_along_axis(scores, block.items, axis=1), best, atol=1e-5)
    np.testing.assert_allclose(block.scores, best, atol=1e-5)
    assert all(len(set(row)) == LIST_LENGTH for row in block.items.tolist())


def measure(benchmark: BenchmarkFixture, figure: Figure, problem: Problem, *, target: str, rounds: int) -> None:
    """Time ranking and product in turn and note the ratio, and that to the fastest product there is."""
    ratio = paired_ratio(lambda: run_ranking(problem), lambda: run_product(problem), rounds)
    benchmark.pedantic(run_ranking, args=(problem,), rounds=1)
    benchmark.extra_info |= asdict(ratio) | {"target": target}
    figure(name_of("ranking / product", problem), target, ratio)
    tiles = paired_ratio(lambda: run_ranking(problem), lambda: run_tiles(problem), max(1, rounds // 3))
    figure(name_of("ranking / product in tiles that fit the cache", problem), "none", tiles)


def name_of(what: str, problem: Problem) -> str:
    """Return the name of a figure."""
    sizes = f"{len(problem.queries):,} x {len(problem.items):,} x {problem.items.shape[1]}"
    return f"{what}, {sizes}" + (", all scores equal" if np.ptp(problem.items) == 0 else "")


def test_ranking_of_a_published_split(benchmark: BenchmarkFixture, figure: Figure) -> None:
    problem = make_problem(1_000, 17_439)
    check_lists(problem)
    measure(benchmark, figure, problem, target="<= 1.25x", rounds=41)


def test_ranking_with_all_scores_equal(benchmark: BenchmarkFixture, figure: Figure) -> None:
    measure(benchmark, figure, make_problem(1_000, 17_439, constant=True), target="none", rounds=11)


@pytest.mark.slow
def test_ranking_of_many_tracks(benchmark: BenchmarkFixture, figure: Figure) -> None:
    problem = make_problem(10_000, 200_000)
    check_lists(problem)
    measure(benchmark, figure, problem, target="<= 1.15x", rounds=5)


@pytest.mark.slow
def test_ranking_after_a_product_in_bfloat16(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forced: without AMX it is never chosen."""
    problem = make_problem(10_000, 200_000)
    monkeypatch.setattr(ranking, "worth_pruning", lambda *sizes: True)
    check_lists(problem)
    ratio = paired_ratio(lambda: run_ranking(problem), lambda: run_product(problem), 3)
    with_amx = torch.cpu._is_amx_tile_supported()
    name = name_of("ranking after bfloat16 / product in float32", problem)
    target = "<= 0.85x" if with_amx else "none: <= 0.85 with AMX"
    figure(name + ("" if with_amx else ", forced: no AMX here"), target, ratio)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize(("call", "target"), [("ranking", "< 300 MB"), ("product", "none")])
def test_memory_of_many_tracks(figure: Figure, call: str, target: str) -> None:
    script = Path(__file__).with_name("peak_memory.py")
    finished = subprocess.run(
        [sys.executable, script, call, "10000", "200000"], check=True, stdout=subprocess.PIPE, text=True
    )
    figure(
        f"peak memory added by the {call}, 10,000 x 200,000 x 256",
        target,
        f"{float(finished.stdout):.0f} MB",
        value=float(finished.stdout),
    )
