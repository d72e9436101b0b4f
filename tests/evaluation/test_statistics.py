from __future__ import annotations

import numpy as np
import pytest

from larpbench.evaluation.statistics import bootstrap_interval, difference_interval, resampled_means

POPULATIONS = ("mpd-chance", "lfm-chance", "weak", "larp")


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


def test_binary_values_have_the_score_interval_of_wilson():
    hits = (np.arange(400) < 40).astype(float)
    low, high = bootstrap_interval(hits[None, :, None])
    z, m, n = 1.96, 0.1, 400
    centre = (m + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(m * (1 - m) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    assert low[0] == pytest.approx(centre - half, abs=2e-3)
    assert high[0] == pytest.approx(centre + half, abs=2e-3)


def test_where_nothing_was_hit_the_interval_says_how_little_is_known():
    low, high = bootstrap_interval(np.stack([np.zeros((1, 100)), np.ones((1, 100))], axis=2))
    assert (low[0], high[1]) == (0, 1)
    assert high[0] == pytest.approx(1 - low[1])
    assert 0.03 < high[0] < 0.04  # Wilson's for 0 of 100


@pytest.mark.parametrize("scale", [1e-4, 0.3, 1.0])
def test_the_interval_holds_its_mean_and_stays_in_0_to_1(scale):
    values = np.random.default_rng(4).random((2, 40, 6)) ** 8 * scale
    low, high = bootstrap_interval(values)
    mean = values.mean(axis=(0, 1))
    assert ((low >= 0) & (low < mean) & (mean < high) & (high <= 1)).all()


def test_a_difference_has_the_percentile_interval():
    differences = np.random.default_rng(5).normal(0.02, 0.1, size=400)
    low, high = difference_interval(differences)
    assert low == pytest.approx(differences.mean() - 1.96 * differences.std() / 20, abs=1.5e-3)
    assert high == pytest.approx(differences.mean() + 1.96 * differences.std() / 20, abs=1.5e-3)


def population(name, generator, shape):
    """Recall@10 of playlists with 16 to 51 held-out tracks.

    ``*-chance``: random ranking of as many tracks as MPD's and LFM's test splits have; ``weak`` and ``larp``: playlists
    of which some are far easier than others, at recalls of about 0.004 and 0.05.
    """
    heldout = generator.integers(16, 52, size=shape)
    if name.endswith("chance"):
        candidates = {"mpd-chance": 6_978, "lfm-chance": 17_439}[name] - 49
        return generator.hypergeometric(heldout, candidates - heldout, 10) / heldout
    easy = {"weak": (0.1, 8.33), "larp": (0.35, 1.9)}[name]
    return generator.binomial(10, generator.beta(*easy, size=shape)) / heldout


def covered(name, playlists, tables=1_000):
    """Share of tables whose interval holds the truth: ours, and the percentiles of the same resamples."""
    generator = np.random.default_rng(playlists)
    truth = population(name, generator, (4_000, 1_000)).mean()
    values = population(name, generator, (playlists, tables))
    ours, percentiles = (
        bootstrap_interval(values[None]),
        np.quantile(resampled_means(values[None]), [0.025, 0.975], axis=0),
    )
    return [float(((low <= truth) & (truth <= high)).mean()) for low, high in (ours, percentiles)]


def test_near_chance_it_covers_the_truth_where_percentiles_do_not():
    ours, percentiles = covered("lfm-chance", 100, tables=800)
    assert ours > 0.94
    assert percentiles < 0.90


@pytest.mark.parametrize("playlists", [100, 1_000])
@pytest.mark.parametrize("name", POPULATIONS)
def test_coverage_as_documented(name, playlists):
    ours, percentiles = covered(name, playlists)
    assert ours > 0.905
    assert ours > percentiles - 0.005
