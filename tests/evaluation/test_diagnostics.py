from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.diagnostics import by_known_artists, hubness, same_artist_share


def test_hubness_is_the_skewness_of_how_often_tracks_are_listed():
    generator = np.random.default_rng(0)
    lists = np.array([generator.permutation(60)[:40] for _ in range(90)])
    lists[::7, 30:] = -1  # lists that have ended
    counts = np.bincount(lists[lists >= 0], minlength=80)
    assert hubness(lists, 80) == pytest.approx(stats.skew(counts))


def test_a_hub_shows_and_its_absence_too():
    generator = np.random.default_rng(1)
    even = np.array([np.roll(np.arange(200), shift)[:40] for shift in range(200)])
    assert hubness(even, 200) == 0
    hubs = np.array([np.concatenate([np.arange(4), 4 + generator.permutation(196)[:6]]) for _ in range(100)])
    assert hubness(hubs, 200) > 5


def test_the_share_of_hits_by_artists_of_the_seeds():
    seeds = Interactions(np.array(["p", "q"]), np.array([0, 2, 3]), np.array([0, 3, 5]))
    artists = np.array([7, 7, 8, 9, 9, 8, 7])
    lists = np.array([[1, 2, 4], [2, 6, -1]])  # artists 7, 8, 9 and 8, 7
    listed = lists >= 0
    known = seeds.renumbered(artists)
    same = by_known_artists(lists, known, artists)
    assert same.tolist() == [[True, False, True], [True, False, False]]
    assert same_artist_share(same, listed) == pytest.approx(3 / 5)
    hits = np.array([[True, True, False], [True, False, False]])
    assert same_artist_share(same, hits) == pytest.approx(2 / 3)
    assert np.isnan(same_artist_share(same, np.zeros_like(hits)))
