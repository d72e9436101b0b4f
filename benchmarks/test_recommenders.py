"""What a step of training costs beside the work that it cannot do without, and WMF beside its library."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch
from paired import paired_ratio
from pytest_benchmark.fixture import BenchmarkFixture
from scipy import sparse
from threadpoolctl import threadpool_limits

from larpbench.datasets.schema import Interactions
from larpbench.recommenders import clcrec, dropoutnet
from larpbench.recommenders.training import Entries
from larpbench.recommenders.wmf import FACTORS, alternating_least_squares

TRACKS, PLAYLISTS, LENGTH, DIM = 98_552, 20_000, 50, 256
WMF_SIDE, WMF_ENTRIES, WMF_ITERATIONS = 100_000, 5_000_000, 1
STEPS = 20

pytestmark = pytest.mark.benchmark(timer=time.process_time)
Figure = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def entries() -> Entries:
    generator = np.random.default_rng(0)
    tracks = np.sort(generator.integers(0, TRACKS // LENGTH, (PLAYLISTS, LENGTH)) * LENGTH + np.arange(LENGTH), axis=1)
    offsets = np.arange(0, PLAYLISTS * LENGTH + 1, LENGTH)
    return Entries(Interactions(np.arange(PLAYLISTS).astype(str), offsets, tracks.ravel()), TRACKS)


def test_clcrec_encodes_its_batch_only(benchmark: BenchmarkFixture, entries: Entries, figure: Figure) -> None:
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(TRACKS, DIM)).astype(np.float32)
    content = torch.from_numpy(vectors)
    net = clcrec.ContentNet(DIM)
    z_p, z_s = clcrec._identities(PLAYLISTS), clcrec._identities(TRACKS)
    optimisers = [torch.optim.Adam(net.parameters()), torch.optim.SparseAdam([z_p.weight, z_s.weight])]

    def step(playlists: np.ndarray, tracks: np.ndarray, encoded: torch.Tensor) -> float:
        held, same = entries.observed(playlists, tracks), tracks[:, None] == tracks
        replaced = np.arange(len(tracks)) % 2 == 0
        rows = [torch.from_numpy(each) for each in (playlists, tracks, replaced, held, same)]
        loss = clcrec.Batch(z_p(rows[0]), z_s(rows[1]), encoded, *rows[2:]).loss(2.0, 0.1)
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        return loss.item()

    batches = [batch for batch, _ in zip(entries.batches(generator), range(STEPS), strict=False)]
    state = iter(range(10**9))

    def ours() -> float:
        playlists, tracks = batches[next(state) % STEPS]
        return step(playlists, tracks, net(torch.from_numpy(vectors[tracks])))

    def every_track() -> float:
        playlists, tracks = batches[next(state) % STEPS]
        return step(playlists, tracks, net(content)[torch.from_numpy(tracks)])

    tracks = batches[0][1]
    torch.testing.assert_close(net(content)[torch.from_numpy(tracks)], net(torch.from_numpy(vectors[tracks])))
    benchmark.pedantic(ours, rounds=3)
    ratio = paired_ratio(every_track, ours, rounds=STEPS)
    benchmark.extra_info |= asdict(ratio) | {"target": ">= 10x"}
    figure(f"encoding every track / a CLCRec step, {TRACKS:,} tracks x {DIM}", ">= 10x", ratio)


@pytest.mark.parametrize("batch", [256, 1_024])
def test_a_dropoutnet_step(benchmark: BenchmarkFixture, entries: Entries, figure: Figure, batch: int) -> None:
    generator = np.random.default_rng(2)
    counts = PLAYLISTS, TRACKS
    factors = [generator.normal(size=(rows, FACTORS)).astype(np.float32) for rows in counts]
    contents = [dropoutnet.Content.of(generator.normal(size=(rows, DIM)).astype(np.float32)) for rows in counts]
    sides = [dropoutnet.Side(*pair, 0.2) for pair in zip(factors, contents, strict=True)]
    playlists, tracks = entries.sample(batch, generator)
    inputs = [torch.randn(batch, width) for width in (FACTORS, DIM, FACTORS, DIM)]

    def step() -> None:
        scores = sides[0].warm(contents[0], playlists, generator) @ sides[1].warm(contents[1], tracks, generator).T
        targets = sides[0].factors(playlists) @ sides[1].factors(tracks).T
        observed = torch.from_numpy(entries.observed(playlists, tracks))
        dropoutnet.balanced_loss(scores, targets, observed).backward()

    def bare() -> None:
        scores = sides[0].tower(*inputs[:2]) @ sides[1].tower(*inputs[2:]).T
        (scores**2).mean().backward()

    benchmark.pedantic(step, rounds=3)
    ratio = paired_ratio(step, bare, rounds=15)
    benchmark.extra_info |= asdict(ratio) | {"target": "<= 1.2x"}
    figure(f"a DropoutNet step / bare forward and backward, {batch:,} entries x {DIM}", "<= 1.2x", ratio)


def test_wmf(benchmark: BenchmarkFixture, figure: Figure) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    generator = np.random.default_rng(3)
    rows, columns = generator.integers(0, WMF_SIDE, (2, WMF_ENTRIES))
    confidence = sparse.csr_matrix((np.full(WMF_ENTRIES, 41.0, np.float32), (rows, columns)), (WMF_SIDE, WMF_SIDE))
    start = generator.random((WMF_SIDE, FACTORS), dtype=np.float32) * 0.01

    def ours() -> np.ndarray:
        return alternating_least_squares(confidence, start, 0.1, WMF_ITERATIONS, threads=1).tracks

    def library() -> np.ndarray:
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                FACTORS, regularization=0.1, use_cg=False, iterations=WMF_ITERATIONS, num_threads=1, random_state=0
            )
            model.item_factors = start.copy()
            model.fit(confidence, show_progress=False)
            return model.item_factors

    found = benchmark.pedantic(ours, rounds=1)
    np.testing.assert_array_equal(found, library())
    ratio = paired_ratio(ours, library, rounds=3)
    benchmark.extra_info |= asdict(ratio) | {"target": "<= 1.1x"}
    figure(f"WMF / implicit alone, {WMF_SIDE:,} x {WMF_SIDE:,}, {WMF_ENTRIES:,} entries", "<= 1.1x", ratio)
