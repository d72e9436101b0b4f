from __future__ import annotations

import itertools

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.datasets.schema import Interactions
from larpbench.errors import ProtocolError
from larpbench.evaluation.arithmetic import check_scores, ndcg_bounds
from larpbench.evaluation.bounds import ceiling, chance
from larpbench.evaluation.metrics import CUTOFFS, LIST_LENGTH, find_hits, per_playlist

_TREC = {"recall": "recall", "ndcg": "ndcg_cut", "hit_rate": "success"}
_CUT = {f"{name}.10,20,40" for name in _TREC.values()}


def interactions(sets):
    rows = [sorted(each) for each in sets]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    flat = np.array([item for row in rows for item in row], dtype=np.int64)
    return Interactions(np.array([f"p{i}" for i in range(len(rows))]), offsets, flat)


def random_question(generator, n_playlists, n_items):
    """Random lists of all candidates, cut at 40, and random held-out sets."""
    lists, heldout, candidates = [], [], []
    for _ in range(n_playlists):
        order = generator.permutation(n_items)
        seeds = int(generator.integers(1, max(2, n_items // 2)))
        left = order[seeds:]
        heldout.append(set(generator.permutation(left)[: int(generator.integers(1, len(left) + 1))].tolist()))
        candidates.append(len(left))
        lists.append(np.concatenate([left[:LIST_LENGTH], np.full(max(0, LIST_LENGTH - len(left)), -1)]))
    return np.array(lists), interactions(heldout), np.array(candidates)


def scores(lists, heldout, n_items):
    hits = find_hits(lists, heldout, n_items)
    return per_playlist(hits, heldout.lengths, np.where(lists >= 0, lists % 5, -1))


def test_by_hand():
    lists = np.full((1, LIST_LENGTH), -1)
    lists[0, :4] = [7, 3, 9, 8]
    found = scores(lists, interactions([{3, 8, 11}]), 20)
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found["recall@10"][0] == pytest.approx(2 / 3)
    assert found["ndcg@10"][0] == pytest.approx(gain / ideal)
    assert found["hit_rate@20"][0] == 1
    assert found["mrr@40"][0] == 1 / 2
    assert found["map@40"][0] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert found["unique_artist_share@10"][0] == 3 / 4  # artists 2, 3, 4 and 3 again


def test_agrees_with_trec_eval():
    generator = np.random.default_rng(11)
    lists, heldout, _ = random_question(generator, 1_000, 120)
    found = scores(lists, heldout, 120)
    rows = [heldout.tracks[low:high] for low, high in itertools.pairwise(heldout.offsets)]
    qrels = {f"q{i}": {f"t{track}": 1 for track in row} for i, row in enumerate(rows)}
    run = {f"q{i}": {f"t{t}": 1 / (r + 1) for r, t in enumerate(row) if t >= 0} for i, row in enumerate(lists)}
    names = {f"{name}@{k}": f"{theirs}_{k}" for name, theirs in _TREC.items() for k in CUTOFFS} | {
        "mrr@40": "recip_rank"
    }
    judged = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"} | _CUT).evaluate(run)
    for ours, theirs in names.items():
        expected = [judged[f"q{i}"][theirs] for i in range(1_000)]
        np.testing.assert_allclose(found[ours], expected, atol=1e-6, err_msg=ours)  # it reads scores as float32


@settings(max_examples=40, deadline=None)
@given(n_items=st.integers(3, 90), seed=st.integers(0, 2**16))
def test_a_perfect_ranking_reaches_the_ceiling_and_passes_the_check(n_items, seed):
    lists, heldout, candidates = random_question(np.random.default_rng(seed), 12, n_items)
    perfect = []
    for row in range(12):
        wanted = heldout.tracks[heldout.offsets[row] : heldout.offsets[row + 1]]
        others = np.setdiff1d(lists[row][lists[row] >= 0], wanted)
        whole = np.concatenate([wanted, others])[:LIST_LENGTH]
        perfect.append(np.concatenate([whole, np.full(LIST_LENGTH - len(whole), -1)]))
    found = scores(np.array(perfect), heldout, n_items)
    best = ceiling(candidates, heldout.lengths)
    for name, values in best.items():
        np.testing.assert_allclose(found[name], values, atol=1e-12, err_msg=name)
    check_scores(found, best, heldout.lengths)


@pytest.mark.parametrize("n_items", [9, 30, 60, 200])
def test_random_rankings_score_as_chance(n_items):
    generator = np.random.default_rng(n_items)
    seeds, held = n_items // 4, max(1, n_items // 5)
    rounds = 20_000
    orders = np.argsort(generator.random((rounds, n_items - seeds)), axis=1)[:, :LIST_LENGTH]
    lists = np.full((rounds, LIST_LENGTH), -1)
    lists[:, : orders.shape[1]] = orders
    heldout = interactions([set(range(held))] * rounds)
    found = scores(lists, heldout, n_items)
    expected = chance(np.array([n_items - seeds]), np.array([held]))
    for name, value in expected.items():
        error = found[name].std() / np.sqrt(rounds) + 1e-5
        assert abs(found[name].mean() - value[0]) < 4.5 * error, name


def test_chance_by_hand():
    low = chance(np.array([50]), np.array([4]))
    discounted = (1 / np.log2(np.arange(2, 42))).cumsum()
    assert low["recall@20"][0] == 20 / 50
    assert low["ndcg@10"][0] == pytest.approx(4 / 50 * discounted[9] / discounted[3])


@settings(max_examples=60, deadline=None)
@given(k=st.sampled_from(CUTOFFS), held=st.integers(1, 80), seed=st.integers(0, 2**16))
def test_every_list_lies_within_the_bounds_of_its_recall(k, held, seed):
    hits = np.random.default_rng(seed).random((50, LIST_LENGTH)) < 0.4
    hits &= hits.cumsum(axis=1) <= held
    n_heldout = np.full(50, held)
    found = per_playlist(hits, n_heldout, np.zeros((50, LIST_LENGTH), dtype=int))
    low, high = ndcg_bounds(found[f"recall@{k}"] * held, n_heldout, k)
    assert (low - 1e-12 <= found[f"ndcg@{k}"]).all()
    assert (found[f"ndcg@{k}"] <= high + 1e-12).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("recall@10", 1.2), ("recall@10", float("nan")), ("ndcg@10", 0.9), ("recall@20", 0.0), ("hit_rate@10", -0.1)],
)
def test_impossible_scores_are_refused(name, value):
    lists, heldout, candidates = random_question(np.random.default_rng(1), 5, 80)
    lists[0, :3] = heldout.tracks[:3] if heldout.lengths[0] >= 3 else lists[0, :3]
    found = scores(lists, heldout, 80)
    found["recall@10"][0] = max(found["recall@10"][0], 0.01)
    found[name][0] = value
    with pytest.raises(ProtocolError, match="contradicts arithmetic"):
        check_scores(found, ceiling(candidates, heldout.lengths), heldout.lengths)
