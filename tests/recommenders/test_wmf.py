from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from support.planted_world import planted

from larpbench.recommenders import wmf as module
from larpbench.recommenders.base import TrainData
from larpbench.recommenders.wmf import alternating_least_squares, train_factors

PARAMS = {"wmf_l2": 0.1, "wmf_alpha": 40.0}


def objective(held, factors, alpha, l2):
    weights = 1 + alpha * held
    fit = (weights * (held - factors.playlists.astype(float) @ factors.tracks.T.astype(float)) ** 2).sum()
    return fit + l2 * ((factors.playlists**2).sum() + (factors.tracks**2).sum())


def test_each_iteration_lowers_the_objective_of_hu_koren_and_volinsky():
    generator = np.random.default_rng(0)
    held = (generator.random((60, 40)) < 0.1).astype(float)
    start = generator.random((40, 8)) * 0.01
    confidence = sparse.csr_matrix(held * 11).astype(np.float32)
    values = [objective(held, alternating_least_squares(confidence, start, 0.5, n), 10, 0.5) for n in (1, 2, 5, 15)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0] < objective(held, module.Factors(np.zeros((60, 8)), start), 10, 0.5)


def test_factors_know_who_is_in_which_playlist():
    world = planted()
    factors = train_factors(world.train, PARAMS, 0)
    assert factors.playlists.shape == (240, 64)
    assert factors.tracks.shape == (240, 64)
    scores = factors.playlists @ factors.tracks.T
    held = np.zeros(scores.shape, dtype=bool)
    interactions = world.train.interactions
    held[np.repeat(np.arange(240), interactions.lengths), interactions.tracks] = True
    assert scores[held].mean() > 0.8
    assert scores[~held].mean() < 0.2


@pytest.mark.parametrize("small", [0, 2**18])  # large problems are remembered, too, but fewer
def test_they_do_not_depend_on_the_encoder_and_are_computed_once(monkeypatch, small):
    monkeypatch.setattr(module, "_SMALL_ROWS", small)
    for remembered in (module._small, module._large):
        remembered.cache_clear()
    world = planted()
    first = train_factors(world.train, PARAMS, 0)
    monkeypatch.setattr(module, "alternating_least_squares", lambda *a, **k: pytest.fail("computed twice"))
    other = TrainData(world.train.split, np.zeros_like(world.train.embeddings))
    assert train_factors(other, PARAMS, 0) is first
    with pytest.raises(pytest.fail.Exception):
        train_factors(world.train, PARAMS, 1)


def test_any_number_of_threads_gives_the_same_bits():
    generator = np.random.default_rng(2)
    confidence = sparse.random(300, 200, 0.05, format="csr", random_state=0, dtype=np.float32)
    start = generator.random((200, 16), dtype=np.float32)
    one, two = (alternating_least_squares(confidence, start, 0.1, 5, threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.tracks, two.tracks)
    np.testing.assert_array_equal(one.playlists, two.playlists)
