"""A product in low precision rules items out: never one that the float32 ranking would list."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.small_data import build_split_tables

from larpbench.benchmark.plan import plan
from larpbench.errors import ProtocolError, UsageError
from larpbench.evaluation import pruning, ranking
from larpbench.evaluation.pruning import Pruner
from larpbench.runtime import ieee_products

KINDS = ("gaussian", "clusters", "grid", "near ties", "halfway", "duplicates", "large", "small", "zeros", "one large")


@pytest.fixture
def pruned(monkeypatch):
    """Rule items out of small problems too; returns what each block had left in, and which queries were certified."""
    seen = []

    class Watched(Pruner):
        def candidates(self, *arguments):
            found = super().candidates(*arguments)
            seen.append(found)
            return found

    for name, value in {"_TILE": {"cpu": 64}, "_GROUP": 4, "_MOST_LEFT": 1.0}.items():
        monkeypatch.setattr(pruning, name, value)
    monkeypatch.setattr(ranking, "worth_pruning", lambda *sizes: True)
    monkeypatch.setattr(ranking, "Pruner", Watched)
    return seen


def vectors_of(kind, count, dim, generator):
    """Vectors of a kind that rounding to bfloat16 is unkind to."""
    plain = generator.standard_normal((count, dim))
    match kind:
        case "clusters":
            plain += 4 * generator.standard_normal((5, dim))[generator.integers(0, 5, count)]
        case "grid":  # exact ties
            plain = generator.integers(-2, 3, (count, dim))
        case "near ties":  # closer than bfloat16, and than float32, can tell
            plain = 1 + plain * 10.0 ** generator.integers(-8, -1, (count, 1))
        case "halfway":  # rounded up or down by as much as there is
            plain = 1 + generator.integers(0, 8, (count, dim)) * 2.0**-9
        case "duplicates":
            plain = plain[generator.integers(0, max(1, count // 30), count)]
        case "large":
            plain *= 10.0 ** generator.integers(0, 17, (count, 1))
        case "small":
            plain *= 10.0 ** generator.integers(-40, -15, (count, 1))
        case "zeros":
            plain[generator.random(count) < 0.5] = 0
        case "one large":
            plain[generator.integers(0, count)] *= 1e6
    return plain.astype(np.float32)


def lists_of(queries, items, offsets, masked, order, k, **options):
    blocks = [*ranking.rank(queries, items, masked_offsets=offsets, masked_items=masked, order=order, k=k, **options)]
    return [np.concatenate([getattr(each, name) for each in blocks]) for name in ("items", "scores", "tied_at")]


def sorted_whole(queries, items, offsets, masked, order, k):
    """All float32 scores at once, and a full sort."""
    padded = torch.zeros(-(-len(queries) // 128) * 128, items.shape[1])
    padded[: len(queries)] = torch.from_numpy(queries)
    scores = np.concatenate([torch.mm(block, torch.from_numpy(items).t()).numpy() for block in padded.split(128)])
    scores = scores[: len(queries)]
    for row in range(len(queries)):
        scores[row, masked[offsets[row] : offsets[row + 1]]] = -np.inf
    best = np.array([np.lexsort((order, -row)) for row in scores])
    top = np.take_along_axis(scores, best, axis=1)
    listed = top[:, :k] > -np.inf
    return [np.where(listed, best[:, :k], -1), top[:, :k], (top[:, :k] == top[:, 1 : k + 1]) & listed]


def problem_of(kind_of_items, kind_of_queries, n_queries, n_items, dim, seed, most_masked=30):
    generator = np.random.default_rng(seed)
    items = vectors_of(kind_of_items, n_items, dim, generator)
    queries = vectors_of(kind_of_queries, n_queries, dim, generator)
    masks = [generator.permutation(n_items)[: generator.integers(0, most_masked + 1)] for _ in range(n_queries)]
    offsets = np.concatenate([[0], np.cumsum([len(mask) for mask in masks])]).astype(np.int64)
    return queries, items, offsets, np.concatenate(masks).astype(np.int64), generator.permutation(n_items)


@settings(max_examples=100, deadline=None)
@given(
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    n_queries=st.integers(1, 140),
    n_items=st.integers(200, 700),
    dim=st.integers(1, 40),
    k=st.integers(1, 20),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
    seed=st.integers(0, 2**16),
)
def test_lists_scores_and_ties_are_those_of_a_full_sort_to_the_bit(kinds, n_queries, n_items, dim, k, dtype, seed):
    problem = problem_of(*kinds, n_queries, n_items, dim, seed)
    expected = sorted_whole(*problem, k)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_TILE": {"cpu": 64}, "_GROUP": 4, "_MOST_LEFT": 1.0}.items():
            patch.setattr(pruning, name, value)
        plain = lists_of(*problem, k)
        patch.setattr(ranking, "worth_pruning", lambda *sizes: True)
        patch.setattr(ranking, "Pruner", lambda *arguments: Pruner(*arguments, dtype))
        pruned = lists_of(*problem, k)
    for of_all, of_the_rest, by_sort in zip(plain, pruned, expected, strict=True):
        np.testing.assert_array_equal(of_all, by_sort)
        np.testing.assert_array_equal(of_the_rest, by_sort)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_every_item_that_is_ruled_out_scores_lower_than_the_whole_list(kind, dtype, monkeypatch):
    """Against the exact scores, and by more than float32 can be off: not by the luck of one summation order."""
    monkeypatch.setattr(pruning, "_TILE", {"cpu": 256})
    monkeypatch.setattr(pruning, "_GROUP", 8)
    monkeypatch.setattr(pruning, "_MOST_LEFT", 1.0)
    queries, items, offsets, masked, _ = problem_of(kind, "gaussian", 128, 3_000, 24, seed=1)
    query_of = np.repeat(np.arange(128), np.diff(offsets))
    width = 11
    left, certified = Pruner(torch.from_numpy(items), width, "cpu", dtype).candidates(
        torch.from_numpy(queries), query_of, masked
    )
    exact = queries.astype(np.float64) @ items.astype(np.float64).T
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1), np.linalg.norm(items.astype(np.float64), axis=1)
    bound = 24 * 2.0**-24 * np.outer(*lengths)
    exact[query_of, masked] = -np.inf
    out = np.setdiff1d(np.arange(3_000), left)
    lowest = -np.partition(-(exact - bound), width - 1, axis=1)[:, width - 1]
    highest = (exact + bound)[:, out].max(axis=1, initial=-np.inf)
    assert (highest < lowest)[certified].all()
    if kind in ("gaussian", "clusters"):
        assert certified.mean() > 0.9
        assert len(out) > 500


def test_most_items_are_ruled_out_and_what_is_crowded_is_not_certified(pruned):
    problem = problem_of("gaussian", "gaussian", 128, 4_000, 64, seed=2)
    expected = sorted_whole(*problem, 10)
    problem[0][5] = 0  # all scores are equal
    zero = sorted_whole(*problem, 10)
    found = lists_of(*problem, 10)
    ((left, certified),) = pruned
    assert certified.sum() == 127
    assert not certified[5]
    assert len(left) < 3_000
    for one, other, plain in zip(found, zero, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(np.delete(one, 5, axis=0), np.delete(plain, 5, axis=0))


def test_planted_ties_at_the_cut_are_settled_by_the_tie_order(pruned):
    generator = np.random.default_rng(0)
    items = generator.standard_normal((2_000, 16)).astype(np.float32) * np.float32(0.1)
    best = np.ones(16, dtype=np.float32)
    twins = generator.choice(2_000, 30, replace=False)
    items[twins] = best
    order = generator.permutation(2_000)
    queries = np.repeat(best[None], 3, axis=0)
    none = np.zeros(0, dtype=np.int64)
    lists, scores, tied = lists_of(queries, items, np.zeros(4, dtype=np.int64), none, order, 10)
    assert pruned[0][1].all()
    assert len(pruned[0][0]) < 1_000
    assert lists.tolist() == [twins[np.argsort(order[twins])][:10].tolist()] * 3
    assert (scores == scores[0, 0]).all()
    assert tied.all()


def test_pruning_ends_where_it_does_not_pay(pruned, monkeypatch):
    monkeypatch.setattr(ranking, "_PRUNED_AT_ONCE", 1)
    problem = problem_of("zeros", "zeros", 600, 500, 8, seed=3)
    problem[0][:] = 0
    for one, other in zip(lists_of(*problem, 5), sorted_whole(*problem, 5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(pruned) == 1


def test_scores_that_are_not_finite_are_refused_as_ever(pruned):
    for value in (np.nan, np.inf, 1e30):
        queries, items, *rest = problem_of("gaussian", "gaussian", 200, 500, 8, seed=4)
        queries[150] = 1
        items[7] = value
        if value == 1e30:
            queries[150] = 1e30
        with pytest.raises(ProtocolError, match=r"of query \d+ are not finite"):
            lists_of(queries, items, *rest, 5)


def test_the_precision_that_a_user_has_chosen_for_his_own_work_is_not_used_and_stays(monkeypatch):
    seen, add = [], ranking.Best.add

    def watched(*arguments):
        seen.append(torch.get_float32_matmul_precision())
        add(*arguments)

    monkeypatch.setattr(ranking.Best, "add", watched)
    before, matmul = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul
    reduced = matmul.allow_bf16_reduced_precision_reduction
    try:
        matmul.allow_bf16_reduced_precision_reduction = True
        torch.set_float32_matmul_precision("medium")
        with ieee_products():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not matmul.allow_bf16_reduced_precision_reduction
        assert torch.get_float32_matmul_precision() == "medium"
        assert matmul.allow_bf16_reduced_precision_reduction
        ones, none = np.ones((3, 2), dtype=np.float32), np.empty(0, dtype=np.int64)
        lists_of(ones, ones, np.zeros(4, dtype=np.int64), none, np.arange(3), 2)
        assert seen == ["highest"]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
        matmul.allow_bf16_reduced_precision_reduction = reduced


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9")
def test_so_it_is_if_he_has_chosen_it_by_newer_names():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with ieee_products():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before
    assert torch.get_float32_matmul_precision() == "highest"


def test_it_is_chosen_where_it_pays_and_nowhere_else(monkeypatch):
    large = (10_000, 200_000, 41)
    for has_amx in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_amx=has_amx: has_amx)
        assert pruning.worth_pruning(*large, "cpu") == has_amx
        assert pruning.worth_pruning(*large, "cuda")
        assert not pruning.worth_pruning(10_000, 17_439, 41, "cpu")
        assert not pruning.worth_pruning(100, 200_000, 41, "cpu")
        assert not pruning.worth_pruning(10_000, 200_000, 5_000, "cpu")


def test_a_device_that_is_not_there_is_refused_before_anything_runs(tmp_path, cli, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    printed = cli("run", "--encoders", "random", "--device", "cuda", "--output", tmp_path / "results")
    assert printed.code == 2
    assert "torch finds no GPU here" in printed.err
    assert not (tmp_path / "results").exists()
    with pytest.raises(UsageError, match="no device is called 'tpu'"):
        plan("demo", encoders="random", device="tpu")


def test_results_do_not_depend_on_the_device(tmp_path, monkeypatch):
    data = build_split_tables(tmp_path / "data")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    cells = [plan(data, encoders="random", device=name, output=tmp_path / "results").cells for name in ("cpu", "cuda")]
    assert [cell.key for cell in cells[0]] == [cell.key for cell in cells[1]]


def test_blocks_of_several_threads_give_back_what_was_chosen():
    matmul = torch.backends.cuda.matmul
    before, inside, leave = matmul.allow_bf16_reduced_precision_reduction, threading.Event(), threading.Event()

    def other():
        with ieee_products():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    try:
        matmul.allow_bf16_reduced_precision_reduction = True
        with ieee_products():
            thread.start()
            assert inside.wait(10)
        assert not matmul.allow_bf16_reduced_precision_reduction  # the other thread still multiplies
        leave.set()
        thread.join()
        assert matmul.allow_bf16_reduced_precision_reduction
    finally:
        leave.set()
        matmul.allow_bf16_reduced_precision_reduction = before
