"""Exact ranking and metrics against other libraries that do the same, in one run.

LensKit and RecPack need environments of their own: name their interpreters in ``LARPBENCH_PEER_LENSKIT`` and
``LARPBENCH_PEER_RECPACK``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from paired import Ratio, cpu_seconds, paired_ratio
from problems import LIST_LENGTH, Problem, make_problem

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.metrics import CUTOFFS, find_hits, recall_and_ndcg
from larpbench.evaluation.ranking import rank

Figure = Callable[..., None]
PLAYLISTS, TRACKS = 1_000, 17_439
SIZE = f"{PLAYLISTS:,} x {TRACKS:,} x 256"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def problem() -> Problem:
    """The size of the published LFM split."""
    return make_problem(PLAYLISTS, TRACKS)


@pytest.fixture(scope="module")
def lists(problem: Problem) -> np.ndarray:
    """Our lists."""
    return ranked(problem)


def ranked(problem: Problem) -> np.ndarray:
    """Return (playlists, 40) tracks as larpbench ranks them."""
    masked = {"masked_offsets": problem.masked_offsets, "masked_items": problem.masked_items}
    blocks = rank(problem.queries, problem.items, **masked, order=problem.order, k=LIST_LENGTH)
    return np.concatenate([block.items for block in blocks])


def assert_same_sets(one: np.ndarray, other: np.ndarray) -> None:
    """Sums of float32 in another order may swap near-equal scores at the cut."""
    same = sum(len(set(a) & set(b)) for a, b in zip(one.tolist(), other.tolist(), strict=True))
    assert same >= one.size - 10


def seeds_of(problem: Problem, row: int) -> np.ndarray:
    """Return the tracks that a playlist may not be given."""
    return problem.masked_items[problem.masked_offsets[row] : problem.masked_offsets[row + 1]]


def test_faiss(problem: Problem, lists: np.ndarray, figure: Figure) -> None:
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    faiss.cvar.distance_compute_blas_threshold = 1  # below its default it leaves BLAS, and would be a straw man
    index = faiss.IndexFlatIP(problem.items.shape[1])
    index.add(problem.items)
    most = int(np.diff(problem.masked_offsets).max())

    def search() -> np.ndarray:
        _, found = index.search(problem.queries, LIST_LENGTH + most)
        return np.stack([row[~np.isin(row, seeds_of(problem, n))][:LIST_LENGTH] for n, row in enumerate(found)])

    assert_same_sets(search(), lists)
    figure(f"exact ranking / faiss flat over BLAS, {SIZE}", "<= 1.1", paired_ratio(lambda: ranked(problem), search, 11))


def test_implicit(problem: Problem, lists: np.ndarray, figure: Figure) -> None:
    topk = pytest.importorskip("implicit.cpu.topk")
    from scipy.sparse import csr_matrix

    ones = np.ones(len(problem.masked_items), dtype=np.float32)
    seeds = csr_matrix((ones, problem.masked_items, problem.masked_offsets), (PLAYLISTS, TRACKS))

    def search() -> np.ndarray:
        found, _ = topk.topk(problem.items, problem.queries, LIST_LENGTH, filter_query_items=seeds, num_threads=1)
        return found

    assert_same_sets(search(), lists)
    figure(f"exact ranking / implicit topk, {SIZE}", "<= 1.0", paired_ratio(lambda: ranked(problem), search, 7))


def test_numpy(problem: Problem, lists: np.ndarray, figure: Figure) -> None:
    def search() -> np.ndarray:
        found = np.empty((PLAYLISTS, LIST_LENGTH), dtype=np.int64)
        for row, query in enumerate(problem.queries):
            scores = problem.items @ query
            scores[seeds_of(problem, row)] = -np.inf
            found[row] = np.argsort(-scores)[:LIST_LENGTH]
        return found

    assert_same_sets(search(), lists)
    figure(f"exact ranking / a numpy loop, {SIZE}", "<= 0.5", paired_ratio(lambda: ranked(problem), search, 3))


def heldout_of(problem: Problem, lists: np.ndarray) -> Interactions:
    """Return ten held-out tracks a playlist, none of them a seed, three of them in its list at random ranks."""
    rng = np.random.default_rng(1)
    rows = []
    for row in range(PLAYLISTS):
        free = np.setdiff1d(rng.choice(TRACKS, 100, replace=False), seeds_of(problem, row))
        hit = rng.choice(lists[row], 3, replace=False)
        rows.append(np.sort(np.concatenate([hit, np.setdiff1d(free, lists[row])[:7]])))
    offsets = np.arange(PLAYLISTS + 1) * 10
    return Interactions(np.arange(PLAYLISTS).astype(str), offsets, np.concatenate(rows))


def ours(problem: Problem, heldout: Interactions) -> list[float]:
    """Return the means, recall and NDCG at each cutoff in turn."""
    values = recall_and_ndcg(find_hits(ranked(problem), heldout, TRACKS), heldout.lengths, CUTOFFS)
    return [float(values[f"{name}@{k}"].mean()) for k in CUTOFFS for name in ("recall", "ndcg")]


def test_ranx(problem: Problem, lists: np.ndarray, figure: Figure) -> None:
    ranx = pytest.importorskip("ranx")
    heldout = heldout_of(problem, lists)
    names = [f"{metric}@{k}" for k in CUTOFFS for metric in ("recall", "ndcg")]
    wanted = {
        str(row): {str(track): 1 for track in heldout.tracks[10 * row : 10 * row + 10]} for row in range(PLAYLISTS)
    }
    given = {
        str(row): {str(track): float(-rank) for rank, track in enumerate(found)} for row, found in enumerate(lists)
    }
    qrels, run = ranx.Qrels(wanted), ranx.Run(given)

    def all_scored() -> dict[str, float]:
        return ranx.evaluate(qrels, run, names, threads=1)  # type: ignore[no-any-return]

    np.testing.assert_allclose([all_scored()[name] for name in names], ours(problem, heldout), atol=1e-9)

    def metrics() -> object:
        return recall_and_ndcg(find_hits(lists, heldout, TRACKS), heldout.lengths, CUTOFFS)

    name = f"recall and NDCG at three cutoffs / ranx, {PLAYLISTS:,} lists of {LIST_LENGTH}"
    figure(name, "<= 0.5", paired_ratio(metrics, all_scored, 7))


@pytest.mark.parametrize("peer", ["lenskit", "recpack"])
def test_an_evaluation_from_vectors_to_means(
    peer: str, problem: Problem, lists: np.ndarray, tmp_path: Path, figure: Figure
) -> None:
    python = os.environ.get(f"LARPBENCH_PEER_{peer.upper()}")
    if not python:
        pytest.skip(f"LARPBENCH_PEER_{peer.upper()} names no interpreter")
    heldout = heldout_of(problem, lists)
    np.savez(
        tmp_path / "problem.npz",
        queries=problem.queries,
        items=problem.items,
        masked_offsets=problem.masked_offsets,
        masked_items=problem.masked_items,
        heldout_offsets=heldout.offsets,
        heldout_items=heldout.tracks,
    )
    expected, pairs = ours(problem, heldout), []
    for _ in range(3):
        mine = cpu_seconds(lambda: ours(problem, heldout))
        command = [python, Path(__file__).with_name(f"peer_{peer}.py"), tmp_path / "problem.npz"]
        printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        np.testing.assert_allclose(printed["means"], expected, atol=2e-3)
        pairs.append((mine, printed["cpu_s"]))
    ratios = [a / b for a, b in pairs]
    middle = statistics.median
    ratio = Ratio(middle(ratios), min(ratios), max(ratios), middle(a for a, _ in pairs), middle(b for _, b in pairs))
    figure(f"from vectors to recall and NDCG / {peer}, {SIZE}", "<= 1.0", ratio)
