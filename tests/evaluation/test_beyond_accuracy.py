"""Measures beyond accuracy against other libraries and definitions, and their chance values against enumeration."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, percentileofscore
from sklearn.metrics.pairwise import cosine_similarity

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.beyond.chance import (
    expected_coverage,
    expected_list_means,
    expected_new_artist_share,
    expected_similarity,
)
from larpbench.evaluation.beyond.lists import (
    coverage,
    entry_counts,
    gini,
    intra_list_similarity,
    list_means,
    new_artist_share,
    popularity_percentiles,
    self_information,
    set_means,
)
from larpbench.evaluation.beyond.measures import ListContext, ListMeasurer
from larpbench.evaluation.beyond.random_lists import PRECISION, expected_gini, random_lists

OUTSIDE = json.loads((Path(__file__).parents[1] / "fixtures" / "evaluation" / "beyond-accuracy.json").read_text())


def sets_of(*members):
    rows = [sorted(each) for each in members]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
    names = np.array([f"p{number}" for number in range(len(rows))])
    return Interactions(names, offsets, np.array([item for each in rows for item in each], dtype=np.int64))


@st.composite
def questions(draw):
    """A few playlists that mask some of a few items of a few artists."""
    n = draw(st.integers(3, 7))
    masked = draw(st.lists(st.sets(st.integers(0, n - 1), max_size=n - 2), min_size=1, max_size=3))
    artists = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return n, sets_of(*masked), np.unique(artists, return_inverse=True)[1], draw(st.integers(1, 8))


def every_list(n, masked, k):
    """Yield the sets of lists of all playlists that are equally likely."""
    open_ = [[item for item in range(n) if item not in set(masked.tracks[a:b])] for a, b in
             itertools.pairwise(masked.offsets)]  # fmt: skip
    width = min(k, max(map(len, open_)))
    for chosen in itertools.product(*(itertools.combinations(each, min(k, len(each))) for each in open_)):
        yield np.array([[*each, *[-1] * (width - len(each))] for each in chosen])


def test_other_libraries_measure_the_same():
    lists, artists, n = np.array(OUTSIDE["lists"]), np.array(OUTSIDE["artists"]), OUTSIDE["items"]
    recbole, recommenders, lenskit = (OUTSIDE[name] for name in ("recbole", "recommenders", "lenskit"))
    by_track, by_artist = entry_counts(lists, np.arange(n)), entry_counts(lists, artists)
    assert gini(by_track) == pytest.approx(recbole["gini"], abs=1e-12)
    assert gini(by_track) == pytest.approx(lenskit["gini"], abs=1e-12)
    assert gini(by_artist) == pytest.approx(recbole["artist_gini"], abs=1e-12)
    assert coverage(by_track) == recbole["coverage"] == recommenders["catalog_coverage"]
    vectors = np.array(OUTSIDE["vectors"], dtype=np.float32)
    similar = intra_list_similarity(lists, vectors, [lists.shape[1]])[lists.shape[1]]
    assert 1 - similar == pytest.approx(recommenders["user_diversity"], abs=1e-7)
    popularity = np.bincount(np.concatenate(OUTSIDE["playlists"]), minlength=n)
    playlists, entries = len(OUTSIDE["playlists"]), popularity.sum()
    # Theirs is by the share of all entries.
    bits = list_means(lists, self_information(popularity, playlists)).mean()
    assert bits + np.log2(entries / playlists) == pytest.approx(recommenders["novelty"], abs=1e-12)
    ranks = list_means(lists, popularity_percentiles(popularity))
    assert ranks + 0.5 / n == pytest.approx(lenskit["mean_pop_rank"], abs=1e-12)  # theirs counts the track itself


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_popularity_is_a_percentile_rank_with_ties_in_the_middle(counts):
    popularity = np.array(counts)
    found = popularity_percentiles(popularity)
    assert found == pytest.approx([percentileofscore(counts, each, "mean") / 100 for each in counts])
    assert found.mean() == pytest.approx(0.5)
    assert ((found > 0) & (found < 1)).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts):
    x = np.array(counts)
    difference = np.abs(x[:, None] - x).mean() / (2 * x.mean())
    assert gini(x) == pytest.approx(difference, abs=1e-12)
    assert gini(np.stack([x, 3 * x])) == pytest.approx(gini(x), abs=1e-12)
    assert 0 - 1e-12 <= gini(x) <= 1 - 1 / len(x) + 1e-12


def test_novelty_is_in_bits_and_an_unplayed_track_counts_as_played_once():
    assert self_information(np.array([8, 4, 1, 0]), 8).tolist() == [0, 1, 3, 3]


def test_means_and_new_artists_of_lists_that_end_early():
    lists = np.array([[0, 3, -1], [1, 2, 4]])
    values = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    assert list_means(lists, values).tolist() == [4.5, 22 / 3]
    assert set_means(sets_of([0, 4], [2]), values).tolist() == [8.5, 4.0]
    artists = np.array([5, 5, 6, 7, 6])
    assert new_artist_share(lists, sets_of([5], [7]), artists).tolist() == [0.5, 1.0]


def test_similarity_is_the_mean_cosine_of_all_pairs():
    generator = np.random.default_rng(3)
    vectors = generator.normal(size=(30, 7)).astype(np.float32)
    vectors[4] = 0  # standardised vectors may be
    lists = np.array([generator.permutation(30)[:8] for _ in range(50)])
    lists[0, 1:], lists[1, 5:] = -1, -1
    found = intra_list_similarity(lists, vectors, [2, 5, 8])
    cosines = cosine_similarity(vectors.astype(np.float64))
    for k, values in found.items():
        for row, value in zip(lists[:, :k], values, strict=True):
            pairs = [cosines[a, b] for a, b in itertools.combinations(row[row >= 0], 2)]
            assert value == pytest.approx(np.mean(pairs) if pairs else 0.0, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(questions(), st.integers(0, 10**6))
def test_chance_is_the_mean_over_all_lists(question, seed):
    n, masked, artists, k = question
    vectors = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    values = vectors[:, 0].astype(np.float64)
    found = list(itertools.islice(every_list(n, masked, k), 20_000))
    for groups in (np.arange(n), artists):
        mean = np.mean([coverage(entry_counts(lists, groups)) for lists in found])
        assert expected_coverage(groups, masked, k) == pytest.approx(mean, abs=1e-9)
    assert expected_list_means(values, masked) == pytest.approx(
        np.mean([list_means(lists, values) for lists in found], axis=0), abs=1e-9
    )
    known = masked.renumbered(artists)
    assert expected_new_artist_share(known, masked, artists) == pytest.approx(
        np.mean([new_artist_share(lists, known, artists) for lists in found], axis=0), abs=1e-9
    )
    if k > 1 and n - masked.lengths.max() > 1:
        similar = [intra_list_similarity(lists, vectors, [k])[k] for lists in found]
        assert expected_similarity(vectors, masked) == pytest.approx(np.mean(similar, axis=0), abs=1e-7)


def test_the_gini_of_chance_is_simulated_to_its_stated_precision():
    masked, artists = sets_of([0], [1, 2], []), np.array([0, 0, 1, 1, 2])
    found = expected_gini({"": np.arange(5), "artist_": artists}, masked, (1, 2))
    for (name, k), value in found.items():
        groups = artists if name else np.arange(5)
        exact = np.mean([gini(entry_counts(lists, groups)) for lists in every_list(5, masked, k)])
        assert value == pytest.approx(exact, abs=0.03)  # three playlists vary much: 256 rounds are the most
    many = sets_of(*(np.random.default_rng(seed).permutation(300)[:5] for seed in range(400)))
    value = expected_gini({"": np.arange(300)}, many, (10,))["", 10]
    drawn = random_lists(many, 300, 10, np.random.default_rng(5), 60)
    other = np.array([gini(entry_counts(lists, np.arange(300))) for lists in drawn])
    assert abs(value - other.mean()) < 4 * (PRECISION + other.std() / math.sqrt(60))
    assert expected_gini({"": np.arange(300)}, many, (10,))["", 10] == value


def test_random_lists_are_uniform_and_hold_no_masked_and_no_repeated_item():
    masked = sets_of([0, 3, 4], [], [1, 2, 3, 4, 5, 6])
    lists = random_lists(masked, 8, 5, np.random.default_rng(1), 4_000)
    for row, hidden in enumerate(({0, 3, 4}, set(), {1, 2, 3, 4, 5, 6})):
        open_ = sorted(set(range(8)) - hidden)
        drawn = lists[:, row]
        assert all(len(set(each[each >= 0])) == min(5, len(open_)) for each in drawn)
        assert (drawn[:, : len(open_)] >= 0).all()
        assert (drawn[:, len(open_) :] == -1).all()
        for place in range(min(5, len(open_))):
            counts = np.bincount(drawn[:, place], minlength=8)
            assert not counts[sorted(hidden)].any()
            assert chisquare(counts[open_]).pvalue > 1e-4


def test_popular_lists_are_popular_and_chance_does_not_depend_on_the_lists():
    n, generator = 200, np.random.default_rng(2)
    popularity = np.arange(n)
    masked = sets_of(*(generator.permutation(n)[:4] for _ in range(30)))
    heldout = sets_of(*([60, 140] for _ in range(30)))
    artists = np.arange(n) // 5
    context = ListContext(masked, artists, popularity, n, masked.renumbered(artists))
    measurer = ListMeasurer()
    top, bottom, mixed = (
        measurer.measure(np.tile(rows[:20], (30, 1)), context, heldout, n, (10, 20))
        for rows in (np.arange(n)[::-1], np.arange(n), generator.permutation(n))
    )
    assert top.values["popularity@10"].mean() > 0.97 > 0.03 > bottom.values["popularity@10"].mean()
    assert top.values["popularity_bias@10"].mean() > 0.4 > -0.4 > bottom.values["popularity_bias@10"].mean()
    assert top.values["novelty@10"].mean() < mixed.values["novelty@10"].mean() < bottom.values["novelty@10"].mean()
    assert top.chance == bottom.chance == mixed.chance
    assert top.chance["popularity@10"] == pytest.approx(0.5, abs=0.01)
    assert top.totals["gini@10"] == pytest.approx(1 - 10 / n)  # all in the same ten tracks
    assert top.totals["coverage@10"] == 10 / n
    assert top.totals["artist_coverage@10"] == 2 / 40
    drawn = random_lists(masked, n, 20, generator, 50)
    by_chance = [measurer.measure(lists, context, heldout, n, (10, 20)) for lists in drawn]
    for column, expected in top.chance.items():
        means = [each.totals.get(column) or each.values[column].mean() for each in by_chance]
        assert abs(np.mean(means) - expected) <= 4 * (PRECISION + np.std(means) / math.sqrt(50)), column
