from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.planted_world import planted

from larpbench.evaluation.selection import first_within_one_error, recall_at
from larpbench.recommenders import RECOMMENDERS
from larpbench.tasks.validation import ValidationRecall


def test_it_is_recall_by_the_definition():
    world = planted(tracks=90, playlists=60)
    question, embeddings = world.test, world.test_embeddings
    itemknn = RECOMMENDERS.get("itemknn")
    queries, items = itemknn.query_vectors(question.seeds, embeddings), itemknn.item_vectors(embeddings)
    for k in (1, 10, 30):
        found = []
        for p in range(len(question.seeds)):
            scores = queries[p].astype(np.float64) @ items.T.astype(np.float64)
            seeds, held = (
                each.tracks[each.offsets[p] : each.offsets[p + 1]] for each in (question.seeds, question.heldout)
            )
            scores[seeds] = -np.inf
            found.append(np.isin(held, np.argsort(-scores)[:k]).mean())
        assert recall_at(queries, items, question, k) == pytest.approx(np.mean(found))
    assert recall_at(queries, items, question) == recall_at(queries, items, question, 10)


def test_valid_data_score_as_test_will_be_scored():
    world = planted(tracks=90, playlists=60)
    itemknn = RECOMMENDERS.get("itemknn")
    expected = recall_at(
        itemknn.query_vectors(world.valid.queries.seeds, world.valid.embeddings),
        itemknn.item_vectors(world.valid.embeddings),
        world.valid.queries,
    )
    assert world.valid.recall(itemknn) == expected


class TestFirstWithinOneError:
    def test_by_hand(self):
        """Ten playlists: the second candidate is as good as the best but for one playlist."""
        best = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0], dtype=float)
        less = best.copy()
        less[0] = 0  # .1 below, with a standard error of .1
        none = np.zeros(10)  # .5 below, with a standard error of .167
        choice = first_within_one_error([none, less, best])
        assert (choice.index, choice.best) == (1, 2)
        assert choice.means == pytest.approx((0.0, 0.4, 0.5))
        assert choice.below_best == pytest.approx((0.5, 0.1, 0.0))
        assert choice.errors == pytest.approx((np.sqrt(0.25 / 9), 0.1, 0.0))

    @given(
        table=arrays(
            np.float64,
            st.tuples(st.integers(1, 6), st.integers(1, 12)),
            elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
        )
    )
    @settings(deadline=None)
    def test_it_is_the_first_that_cannot_be_told_from_the_best(self, table):
        choice = first_within_one_error(table)
        assert choice.means[choice.best] == max(choice.means)
        assert choice.index <= choice.best
        assert choice.below_best[choice.index] <= choice.errors[choice.index] + 1e-12
        for place in range(choice.index):
            difference = table[choice.best] - table[place]
            error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
            assert difference.mean() > error

    @given(playlists=st.integers(2, 300), gain=st.floats(1e-3, 1.0))
    @settings(deadline=None)
    def test_one_playlist_is_no_reason(self, playlists, gain):
        """Its difference is one standard error, whatever it is."""
        recalls = np.full(playlists, 0.3)
        better = recalls.copy()
        better[0] += gain
        assert first_within_one_error([recalls, better]).index == 0

    @given(seed=st.integers(0, 2**32 - 1), copies=st.integers(2, 5))
    @settings(deadline=None, max_examples=30)
    def test_equal_candidates_change_nothing(self, seed, copies):
        recalls = np.random.default_rng(seed).random(20)
        choice = first_within_one_error(np.tile(recalls, (copies, 1)))
        assert (choice.index, choice.best) == (0, 0)

    def test_it_does_not_depend_on_the_order_of_the_playlists(self):
        draw = np.random.default_rng(1)
        table = draw.random((5, 40)).round(1)
        order = draw.permutation(40)
        assert first_within_one_error(table).index == first_within_one_error(table[:, order]).index


def test_validation_has_a_recall_for_each_playlist_and_knows_chance():
    world = planted(tracks=400, playlists=400)
    asked = world.test
    score = ValidationRecall(asked)
    random = np.random.default_rng(0).normal(size=(len(asked.track_ids), 16)).astype(np.float32)
    each = score.per_playlist(random)
    assert each.shape == (len(asked.seeds),)
    assert score(random) == each.mean()
    assert score.chance == pytest.approx(world.chance)
    assert each.mean() == pytest.approx(score.chance, abs=4 * each.std() / np.sqrt(len(each)))
