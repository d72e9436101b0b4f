"""Recall and NDCG of many lists against plain numpy: a binary search for each ranked track."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from paired import paired_ratio
from pytest_benchmark.fixture import BenchmarkFixture

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.metrics import CUTOFFS, LIST_LENGTH, find_hits, recall_and_ndcg

PLAYLISTS = 100_000
TRACKS = 50_000
HELDOUT = 45  # on average

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def make_lists() -> tuple[np.ndarray, Interactions]:
    """Return (playlists, 40) ranked tracks, about a fifth of them held out, and the held-out tracks."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 2 * HELDOUT, PLAYLISTS)
    # Distinct numbers below TRACKS without a draw for each playlist: a random start and coprime step, modulo a prime.
    starts, steps = rng.integers(0, 49_999, PLAYLISTS), rng.integers(1, 49_999, PLAYLISTS)
    tracks = (starts[:, None] + np.arange(2 * HELDOUT + LIST_LENGTH) * steps[:, None]) % 49_999
    pool, others = tracks[:, : 2 * HELDOUT], tracks[:, 2 * HELDOUT :]
    held = np.arange(2 * HELDOUT) < lengths[:, None]
    ordered = np.sort(np.where(held, pool, TRACKS), axis=1)
    heldout = Interactions(
        np.char.zfill(np.arange(PLAYLISTS).astype(str), 6),
        np.concatenate([[0], np.cumsum(lengths)]),
        ordered[ordered < TRACKS],
    )
    planted = (rng.random((PLAYLISTS, LIST_LENGTH)) < 0.2) & held[:, :LIST_LENGTH]
    lists = np.where(planted, pool[:, :LIST_LENGTH], others)
    return rng.permuted(lists, axis=1), heldout


def larpbench_values(lists: np.ndarray, heldout: Interactions) -> dict[str, np.ndarray]:
    """Return what larpbench says."""
    return recall_and_ndcg(find_hits(lists, heldout, TRACKS), heldout.lengths, CUTOFFS)


def plain_values(lists: np.ndarray, heldout: Interactions) -> dict[str, np.ndarray]:
    """Return the same by a search in the sorted (playlist, track) keys."""
    lengths = np.diff(heldout.offsets)
    keys = np.repeat(np.arange(PLAYLISTS) * TRACKS, lengths) + heldout.tracks
    wanted = lists + (np.arange(PLAYLISTS) * TRACKS)[:, None]
    places = np.searchsorted(keys, wanted.ravel())
    hits = (keys[np.minimum(places, len(keys) - 1)] == wanted.ravel()).reshape(lists.shape)
    weights = 1.0 / np.log2(np.arange(2, LIST_LENGTH + 2))
    ideal = np.cumsum(weights)
    values = {}
    for k in CUTOFFS:
        values[f"recall@{k}"] = hits[:, :k].sum(axis=1) / lengths
        values[f"ndcg@{k}"] = hits[:, :k] @ weights[:k] / ideal[np.minimum(lengths, k) - 1]
    return values


def test_recall_and_ndcg(benchmark: BenchmarkFixture, figure: Callable[[str, str, str], None]) -> None:
    lists, heldout = make_lists()
    expected = plain_values(lists, heldout)
    values = benchmark.pedantic(larpbench_values, args=(lists, heldout), rounds=1)
    assert values.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(values[name], expected[name], rtol=0, atol=1e-12)
    ratio = paired_ratio(lambda: larpbench_values(lists, heldout), lambda: plain_values(lists, heldout), rounds=15)
    benchmark.extra_info |= asdict(ratio) | {"target": "<= 1.2x"}
    figure(f"recall and ndcg / plain numpy, {PLAYLISTS:,} lists of {LIST_LENGTH}", "<= 1.2x", ratio)
