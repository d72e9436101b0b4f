from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


def test_they_do_not_depend_on_the_encoder_and_are_computed_once(monkeypatch):
    module._remembered.clear()
    world = planted()
    first = train_factors(world.train, PARAMS, 0)
    monkeypatch.setattr(module, "alternating_least_squares", lambda *a, **k: pytest.fail("computed twice"))
    other = TrainData(world.train.split, np.zeros_like(world.train.embeddings))
    assert train_factors(other, PARAMS, 0) is first
    with pytest.raises(pytest.fail.Exception):
        train_factors(world.train, PARAMS, 1)


def problem(seed, tracks=1):
    return module.Problem("digest", 1, tracks, 0.1, 40.0, seed)


def factors_of(rows):
    return module.Factors(np.zeros((rows, 64), np.float32), np.zeros((rows, 64), np.float32))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([1, 100, 1_000])), max_size=40), st.integers(0, 2**20))
def test_those_used_last_are_remembered_in_bounded_memory(asked, most):
    remembered, last = module.Remembered(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_REMEMBERED_BYTES", most)
        for seed, rows in asked:
            wanted, made = problem(seed, rows), []
            found = remembered.of(wanted, lambda rows=rows, made=made: made.append(rows) or factors_of(rows))
            assert len(found.tracks) == rows
            last = [each for each in last if each != wanted] + [wanted]
            kept = [each for each in last if each in remembered._kept]
            assert kept == [*remembered._kept] == last[-len(kept) :]
            assert len(kept) >= min(2, len(last))
            assert len(kept) == 2 or len(kept) == len(last) or sum(512 * each.tracks for each in kept) <= most
            assert made == [rows] or wanted in kept


def test_fits_side_by_side_wait_for_the_one_that_computes():
    remembered, made, started = module.Remembered(), [], threading.Barrier(4)

    def slow(seed):
        made.append(seed)
        time.sleep(0.05)
        return factors_of(3)

    def fit(seed):
        started.wait()
        return remembered.of(problem(seed), lambda: slow(seed))

    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(fit, (0, 0, 1, 1))]
    assert sorted(made) == [0, 1]
    assert found[0] is found[1]
    assert found[2] is found[3]


def test_what_fails_is_computed_again():
    remembered = module.Remembered()
    with pytest.raises(MemoryError):
        remembered.of(problem(0), lambda: (_ for _ in ()).throw(MemoryError()))
    assert remembered.of(problem(0), lambda: factors_of(2)).nbytes == 2 * 2 * 64 * 4


def test_any_number_of_threads_gives_the_same_bits():
    generator = np.random.default_rng(2)
    confidence = sparse.random(300, 200, 0.05, format="csr", random_state=0, dtype=np.float32)
    start = generator.random((200, 16), dtype=np.float32)
    one, two = (alternating_least_squares(confidence, start, 0.1, 5, threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.tracks, two.tracks)
    np.testing.assert_array_equal(one.playlists, two.playlists)
