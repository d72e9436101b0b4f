from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from larpbench.evaluation.significance import (
    FLIPS,
    adjusted_p_values,
    compare,
    holm,
    indistinguishable_groups,
    letters,
    randomisation_test,
)


def recalls(generator, shape, mean=0.05):
    """Recall of playlists with 16 to 51 held-out tracks, ten listed, some playlists far easier than others."""
    heldout = generator.integers(16, 52, size=shape)
    return generator.binomial(10, generator.beta(0.35, 0.35 * (3 / mean / 10 - 1) + 1e-9, size=shape)) / heldout


def test_p_is_the_share_of_all_sign_patterns_where_they_can_be_counted():
    differences = np.random.default_rng(0).normal(0.4, 1, size=10)
    patterns = np.array(list(itertools.product((-1, 1), repeat=10)))
    exact = (np.abs(patterns @ differences) >= abs(differences.sum()) - 1e-12).mean()
    found = randomisation_test(differences[None])[0]
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / FLIPS) + 1e-3)


@settings(max_examples=60, deadline=None)
@given(differences=arrays.arrays(np.float64, 12, elements=st.floats(-1, 1, width=32)))
def test_small_p_are_never_below_the_share_of_all_sign_patterns(differences):
    """The bound for what 10,000 patterns cannot tell holds for every difference."""
    patterns = np.array(list(itertools.product((-1, 1), repeat=12)))
    rounding = 1e-9 * np.abs(differences).sum()
    exact = (np.abs(patterns @ differences) >= abs(differences.sum()) - rounding).mean()
    z_squared = differences.sum() ** 2 / max(np.square(differences).sum(), 1e-300)
    assert exact <= 2 * np.exp(-z_squared / 2) + 1e-12
    assert randomisation_test(differences[None])[0] <= 2 * np.exp(-z_squared / 2) + 1e-12


def test_rows_are_told_apart_in_a_table_of_many():
    """Sixty rows are 1,770 pairs: corrected for so many, one in 10,001 would never do."""
    generator = np.random.default_rng(4)
    easy = recalls(generator, 1_000)
    values = np.clip(easy + generator.normal(0, 0.02, size=(60, 1_000)), 0, 1)
    values[7] += 0.02
    groups = indistinguishable_groups(values)
    assert groups[7] == [0]
    assert not any(0 in group for row, group in enumerate(groups) if row != 7)


def test_no_difference_gives_p_1_and_the_smallest_p_is_not_0():
    assert randomisation_test(np.zeros((1, 40)))[0] == 1
    assert 0 < randomisation_test(np.ones((1, 200)))[0] < 1 / (FLIPS + 1)
    both = compare(np.full(30, 0.25), np.full(30, 0.25))
    assert (both.difference, both.low, both.high, both.p, both.effect_size) == (0, 0, 0, 1, 0)


@settings(max_examples=40, deadline=None)
@given(values=arrays.arrays(np.float64, (2, 25), elements=st.floats(0, 1, width=32)))
def test_swapping_the_two_swaps_the_signs_only(values):
    one, other = compare(values[0], values[1]), compare(values[1], values[0])
    assert one.p == other.p
    assert one.difference == pytest.approx(-other.difference, abs=1e-12)
    assert one.effect_size == pytest.approx(-other.effect_size, abs=1e-9)
    assert one.low == pytest.approx(-other.high, abs=1e-12)
    assert one.low - 1e-12 <= one.difference <= one.high + 1e-12
    assert 0 < one.p <= 1


def test_the_difference_in_numbers():
    generator = np.random.default_rng(3)
    first, second = recalls(generator, 500), recalls(generator, 500)
    found = compare(first, second)
    d = first - second
    assert found.difference == pytest.approx(d.mean())
    assert found.effect_size == pytest.approx(d.mean() / d.std(ddof=1))
    half = 1.96 * d.std() / np.sqrt(500)
    assert found.low == pytest.approx(d.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(d.mean() + half, abs=0.15 * half)


@settings(max_examples=100, deadline=None)
@given(p=st.lists(st.floats(1e-6, 1), min_size=1, max_size=30))
def test_holm_is_monotone_and_between_the_raw_and_the_bonferroni_p(p):
    raw = np.array(p)
    adjusted = holm(raw)
    order = np.argsort(raw, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(raw * len(raw), 1) + 1e-15).all() or len(raw) > 1
    assert adjusted[order[0]] == min(raw[order[0]] * len(raw), 1)
    assert adjusted.max() <= 1


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


def test_groups_are_shared_exactly_by_those_that_cannot_be_told_apart():
    generator = np.random.default_rng(5)
    noise = generator.normal(0, 0.1, size=200)
    levels = [0.30, 0.31, 0.33, 0.36, 0.40, 0.60, 0.305, 0.62]
    values = np.array([level + noise + generator.normal(0, 0.12, size=200) for level in levels])
    groups, adjusted = indistinguishable_groups(values), adjusted_p_values(values)
    for one, other in itertools.combinations(range(len(levels)), 2):
        assert bool(set(groups[one]) & set(groups[other])) == bool(adjusted[one, other] > 0.05)
    assert 0 in groups[int(values.mean(axis=1).argmax())]
    assert (adjusted == adjusted.T).all()
    assert (adjusted.diagonal() == 1).all()


@pytest.mark.parametrize("rows", [1, 3])
def test_groups_of_equals(rows):
    assert indistinguishable_groups(np.tile(np.random.default_rng(0).random(50), (rows, 1))) == [[0]] * rows


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], ""),
        ([0], "a"),
        ([0, 1, 2, 25, 26], "abcza1"),
        ([1, 3], "bd"),
        ([0, 1, 2, 3], "a-d"),
        ([0, 2, 3, 4, 5, 6, 9, 24, 25, 26, 27, 52], "a c-g j y-b1 a2"),
    ],
)
def test_groups_as_letters(groups, expected):
    assert letters(groups) == expected


@given(groups=st.sets(st.integers(0, 90)).map(sorted))
def test_letters_say_which_groups_and_nothing_else(groups):
    names = [letters([number]) for number in range(91)]
    said = []
    for part in letters(groups).split():
        first, _, last = part.partition("-")
        if last:
            said += range(names.index(first), names.index(last) + 1)
        else:
            said += [names.index(name) for name in re.findall(r"[a-z]\d*", part)]
    assert said == groups


def test_far_apart_rows_have_letters_of_their_own():
    values = np.random.default_rng(1).normal(0, 0.01, size=(3, 100)) + np.array([[0.2], [0.9], [0.5]])
    assert indistinguishable_groups(values) == [[2], [0], [1]]


@pytest.mark.parametrize("playlists", [100, 1_000])
@pytest.mark.parametrize("mean", [0.05, 0.004])
def test_under_the_null_one_in_twenty_is_called_different(playlists, mean):
    tables = 1_000
    generator = np.random.default_rng(playlists)
    differences = recalls(generator, (tables, playlists), mean) - recalls(generator, (tables, playlists), mean)
    share = (randomisation_test(differences) <= 0.05).mean()
    assert abs(share - 0.05) < 3.5 * np.sqrt(0.05 * 0.95 / tables)


def test_a_real_difference_is_found_more_often_the_larger_it_is():
    generator = np.random.default_rng(8)
    power = []
    for gain in (0.0, 0.3, 0.6, 1.2):
        base = recalls(generator, (200, 300))
        better = np.clip(base + recalls(generator, (200, 300), 0.02) * gain, 0, 1)
        power.append((randomisation_test(better - recalls(generator, (200, 300))) <= 0.05).mean())
    assert power == sorted(power)
    assert power[-1] > 0.8


def family_wise_errors(tables):
    """Share of tables of six encoders that are all alike in which any two are called different."""
    generator = np.random.default_rng(9)
    wrong = 0
    for _ in range(tables):
        easy = recalls(generator, 120)
        values = np.clip(easy + generator.normal(0, 0.02, size=(6, 120)), 0, 1)  # six encoders, all alike
        wrong += indistinguishable_groups(values) != [[0]] * 6
    return wrong / tables


def test_the_family_wise_error_rate_of_a_table_is_held():
    assert family_wise_errors(200) < 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.slow
def test_the_family_wise_error_rate_as_documented():
    assert family_wise_errors(2_000) == pytest.approx(0.039, abs=0.01)
