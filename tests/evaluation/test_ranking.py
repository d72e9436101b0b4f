from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from larpbench.errors import ProtocolError
from larpbench.evaluation.ranking import rank, tie_order


def ranked(queries, items, masks, ids, k=40):
    """All blocks of `rank`, put together."""
    offsets = np.concatenate([[0], np.cumsum([len(mask) for mask in masks])]).astype(np.int64)
    masked = np.concatenate([*masks, []]).astype(np.int64)
    blocks = list(
        rank(queries, items, masked_offsets=offsets, masked_items=masked, order=tie_order(np.array(ids)), k=k)
    )
    assert [block.start for block in blocks] == np.cumsum([0, *[len(b.items) for b in blocks[:-1]]]).tolist()
    return tuple(np.concatenate([getattr(b, name) for b in blocks]) for name in ("items", "scores", "tied_at"))


def brute_force(queries, items, masks, ids, k):
    """Full sort by (score descending, tie order) in Python; small integers, so that float32 is exact."""
    order = tie_order(np.array(ids))
    scores = queries.astype(np.float64) @ items.astype(np.float64).T
    lists = []
    for row, mask in zip(scores, masks, strict=True):
        allowed = [item for item in range(len(items)) if item not in set(mask)]
        best = sorted(allowed, key=lambda item: (-row[item], order[item]))[:k]
        lists.append(best + [-1] * (k - len(best)))
    return np.array(lists)


@settings(max_examples=60, deadline=None)
@given(
    n_items=st.integers(1, 700),
    n_queries=st.integers(1, 9),
    dim=st.integers(1, 4),
    spread=st.integers(0, 3),
    k=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
@example(n_items=53, n_queries=2, dim=1, spread=0, k=5, seed=7)  # a tie in a list that its candidates do not fill
def test_equals_a_full_sort_with_ties_and_masks(n_items, n_queries, dim, spread, k, seed):
    generator = np.random.default_rng(seed)
    items = generator.integers(-spread, spread + 1, size=(n_items, dim)).astype(np.float32)
    queries = generator.integers(-spread, spread + 1, size=(n_queries, dim)).astype(np.float32)
    masks = [generator.permutation(n_items)[: generator.integers(0, n_items + 1)] for _ in range(n_queries)]
    ids = [f"t{number}" for number in range(n_items)]
    items_ranked, scores, _ = ranked(queries, items, masks, ids, k)
    np.testing.assert_array_equal(items_ranked, brute_force(queries, items, masks, ids, k))
    listed = items_ranked >= 0
    expected = np.take_along_axis(queries @ items.T, items_ranked.clip(0), axis=1)
    np.testing.assert_array_equal(scores[listed], expected[listed])
    assert (scores[~listed] == -np.inf).all()


@pytest.mark.parametrize(("n_items", "dim"), [(129, 1024), (5_005, 256), (17_439, 64)])
def test_a_batch_of_1_7_or_1000_gives_the_same_scores_to_the_bit(n_items, dim):
    generator = np.random.default_rng(3)
    items = generator.normal(size=(n_items, dim)).astype(np.float32)
    queries = generator.normal(size=(1_000, dim)).astype(np.float32)
    ids = [f"t{number}" for number in range(n_items)]
    whole = ranked(queries, items, [[]] * 1_000, ids)
    for batch in (1, 7):
        starts = range(0, 42, batch)
        parts = [ranked(queries[s : s + batch], items, [[]] * batch, ids) for s in starts]
        for index, expected in enumerate(whole):
            np.testing.assert_array_equal(np.concatenate([part[index] for part in parts]), expected[:42])


def test_several_threads_give_the_same_to_the_bit():
    generator = np.random.default_rng(4)
    items, queries = (generator.normal(size=(count, 32)).astype(np.float32) for count in (3_000, 1_300))
    masks = [generator.permutation(3_000)[:9] for _ in queries]
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            found.append(ranked(queries, items, masks, [f"t{i}" for i in range(3_000)]))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("k", [1, 40, 500, 2_999, 3_000, 4_000])
def test_ascending_scores_of_which_every_one_is_better_than_all_before(k):
    items = np.arange(3_000, dtype=np.float32)[:, None]
    queries = np.array([[1.0], [-1.0], [0.0]], dtype=np.float32)
    ids = [f"t{number}" for number in range(3_000)]
    lists, scores, tied = ranked(queries, items, [[2_999], [], []], ids, k)
    np.testing.assert_array_equal(lists, brute_force(queries, items, [[2_999], [], []], ids, k))
    assert (np.diff(scores[0, : min(k, 2_999)]) == -1).all()
    assert not tied[:2].any()
    assert tied[2, : min(k, 2_999)].all()


def test_equal_items_have_equal_scores_wherever_they_stand():
    generator = np.random.default_rng(5)
    for n_items, dim in [(85, 1_024), (333, 37), (5_005, 256), (17_439, 128)]:
        items = np.repeat(generator.normal(size=(1, dim)), n_items, axis=0).astype(np.float32)
        queries = generator.normal(size=(3, dim)).astype(np.float32)
        _, scores, tied = ranked(queries, items, [[]] * 3, [f"t{i}" for i in range(n_items)])
        assert (scores == scores[:, :1]).all()
        assert tied.all()


def test_the_tie_order_depends_on_the_candidates_only():
    ids = np.array([f"track {number}" for number in range(200)])
    shuffled = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(tie_order(ids)[shuffled], tie_order(ids[shuffled]))
    assert sorted(tie_order(ids)) == list(range(200))
    assert not np.array_equal(tie_order(ids), tie_order(np.char.add(ids, "x")))


def test_a_cut_between_equal_scores_is_seen():
    items = np.array([[3.0], [2.0], [2.0], [1.0]], dtype=np.float32)
    _, _, tied = ranked(np.ones((1, 1), dtype=np.float32), items, [[]], list("abcd"), k=3)
    assert tied.tolist() == [[False, True, False]]


def test_scores_that_overflow_are_refused():
    huge = np.full((60, 4), 1e30, dtype=np.float32)
    with pytest.raises(ProtocolError, match="not finite"):
        ranked(huge[:2], huge, [[], []], [f"t{i}" for i in range(60)])
    with pytest.raises(ProtocolError, match="not finite"):
        ranked(huge[:2] * np.array([1, -1, 1, -1], dtype=np.float32), huge, [[], []], [f"t{i}" for i in range(60)])


@pytest.mark.parametrize("usable", [0, 1, 30])
def test_a_list_that_lacks_candidates_whose_scores_are_minus_infinity_is_refused(usable):
    items = np.full((60, 1), -1e30, dtype=np.float32)
    items[:usable] = 1.0
    ids = [f"t{i}" for i in range(60)]
    with pytest.raises(ProtocolError, match="query 1 are not finite"):
        ranked(np.array([[1.0], [1e30]], dtype=np.float32), items, [[], range(usable // 2)], ids)


def test_without_items_the_lists_are_empty():
    queries, nothing = np.ones((3, 2), dtype=np.float32), np.empty((0, 2), dtype=np.float32)
    items, scores, tied = ranked(queries, nothing, [[]] * 3, [], k=4)
    assert items.tolist() == [[-1] * 4] * 3
    assert (scores == -np.inf).all()
    assert not tied.any()
