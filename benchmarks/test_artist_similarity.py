"""An epoch of artist similarity at the second paper's size, beside the bare forward and backward of its network."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from artist_graphs import large_graph
from paired import paired_ratio
from pytest_benchmark.fixture import BenchmarkFixture

from larpbench.tasks.artist_similarity.gnn import GraphNetwork
from larpbench.tasks.artist_similarity.models import ArtistNet
from larpbench.tasks.artist_similarity.queries import directed, visible_pairs
from larpbench.tasks.artist_similarity.scorers import ScoringInputs
from larpbench.tasks.artist_similarity.settings import CORRECTED

LAYERS, STEPS = 2, 16
CORES = 2

pytestmark = [pytest.mark.benchmark(timer=time.process_time), pytest.mark.slow]
Figure = Callable[[str, str, str], None]

_MEMORY = """
import resource
from dataclasses import replace
from artist_graphs import large_graph
from larpbench.tasks.artist_similarity.gnn import GraphNetwork
from larpbench.tasks.artist_similarity.scorers import ScoringInputs
from larpbench.tasks.artist_similarity.settings import CORRECTED
graph, features = large_graph()
short = replace(CORRECTED, epochs=1, steps_per_epoch=2)
GraphNetwork("sage", 2, short).test_vectors(ScoringInputs(graph, "all", features))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def test_an_epoch(benchmark: BenchmarkFixture, figure: Figure) -> None:
    graph, features = large_graph()
    problem = ScoringInputs(graph, "all", features)
    method = GraphNetwork("sage", LAYERS, replace(CORRECTED, epochs=1, steps_per_epoch=STEPS))
    rows = len(graph.rows("train"))
    net = ArtistNet(features.shape[1], "sage", LAYERS, CORRECTED.width, CORRECTED.output)
    inputs = torch.from_numpy(features[:rows])
    messages = torch.from_numpy(directed(visible_pairs(graph, "train"), symmetric=True))
    matrix = net.prepared(messages, rows)
    spent: list[float] = []

    def epoch() -> None:
        _, fit = method.test_vectors(problem)
        assert fit is not None
        spent.append(fit.cost.cpu_s)

    def bare(shown: torch.Tensor) -> None:
        for _ in range(STEPS):
            net.zero_grad()
            net(inputs, shown).square().mean().backward()

    size = f"{len(graph.ids):,} artists, {len(graph.pairs):,} edges, {features.shape[1]}-d, {LAYERS} layers"
    benchmark.pedantic(epoch, rounds=1)
    for name, shown in (("PyG's list of messages", messages), ("a sparse matrix", matrix)):
        ratio = paired_ratio(epoch, lambda shown=shown: bare(shown), rounds=2)
        benchmark.extra_info |= {name: asdict(ratio), "target": "<= 1.2x"}
        figure(f"an epoch / bare forward and backward on {name}, {size}", "<= 1.2x", ratio)
    most = CORRECTED.epochs * min(spent)
    figure(
        f"all {CORRECTED.epochs} epochs, extrapolated", f"<= {8 * 60 * CORES} CPU s", f"{most:.0f} CPU s", value=most
    )


def test_memory(figure: Figure) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    figure(
        "peak memory of a training, the same size",
        "< 2.5 GB",
        f"{float(done.stdout.split()[-1]):.2f} GB",
        value=float(done.stdout.split()[-1]),
    )
