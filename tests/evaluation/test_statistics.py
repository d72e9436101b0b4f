from __future__ import annotations

import numpy as np

from larpbench.evaluation.statistics import bootstrap_interval


def test_the_interval_of_a_normal_mean_is_the_textbook_one():
    values = np.random.default_rng(0).normal(0.3, 0.2, size=(1, 4_000, 2))
    low, high = bootstrap_interval(values)
    half = 1.96 * values[0].std(axis=0) / np.sqrt(4_000)
    np.testing.assert_allclose(low, values[0].mean(axis=0) - half, atol=0.1 * half.max())
    np.testing.assert_allclose(high, values[0].mean(axis=0) + half, atol=0.1 * half.max())


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(generator.beta(2, 5, size=(1, 120, 1)))
        covered += bool(low[0] <= 2 / 7 <= high[0])
    assert 0.88 <= covered / 200 <= 0.99


def test_seeds_that_differ_widen_the_interval():
    generator = np.random.default_rng(2)
    playlists = generator.beta(2, 5, size=300)
    same = np.stack([playlists] * 3)[:, :, None]
    apart = np.stack([playlists - 0.1, playlists, playlists + 0.1])[:, :, None]
    (low_same,), (high_same,) = bootstrap_interval(same)
    (low_apart,), (high_apart,) = bootstrap_interval(apart)
    assert high_apart - low_apart > 1.5 * (high_same - low_same)


def test_the_same_values_have_the_same_interval():
    values = np.random.default_rng(3).random((2, 50, 3))
    for first, second in zip(bootstrap_interval(values), bootstrap_interval(values.copy()), strict=True):
        np.testing.assert_array_equal(first, second)
    low, high = bootstrap_interval(np.full((1, 30, 1), 0.25))
    assert low[0] == high[0] == 0.25
