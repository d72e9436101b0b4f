from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.recommenders.ridge import ridge_map


def centred(rows):
    x = rows - rows.mean(axis=0)
    return x / np.sqrt((x**2).sum(axis=1).mean())


@settings(max_examples=40, deadline=None)
@given(n=st.integers(3, 60), dim=st.integers(1, 60), l2=st.floats(0.01, 1e4), seed=st.integers(0, 2**16))
def test_it_solves_the_normal_equations_in_either_shape(n, dim, l2, seed):
    generator = np.random.default_rng(seed)
    rows, targets = generator.normal(3, 2, size=(n, dim)), generator.normal(1, 1, size=(n, 4))
    x, y = centred(rows), targets - targets.mean(axis=0)
    found = ridge_map(rows, targets, l2)
    weights = found.weights * np.sqrt(((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean())
    np.testing.assert_allclose((x.T @ x + l2 * np.eye(dim)) @ weights, x.T @ y, atol=1e-9 * (1 + l2))


def test_it_recovers_a_linear_map():
    generator = np.random.default_rng(0)
    rows, new = generator.normal(size=(400, 20)).astype(np.float32), generator.normal(size=(50, 20)).astype(np.float32)
    truth, offset = generator.normal(size=(20, 64)), generator.normal(size=64)
    found = ridge_map(rows, rows @ truth + offset, 1e-9)
    np.testing.assert_allclose(found(new), new @ truth + offset, atol=1e-4)
    assert found(new).dtype == np.float32


def test_much_l2_leaves_the_mean():
    generator = np.random.default_rng(1)
    rows, targets = generator.normal(size=(40, 5)), generator.normal(size=(40, 3))
    np.testing.assert_allclose(ridge_map(rows, targets, 1e12)(rows), np.tile(targets.mean(axis=0), (40, 1)), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_scale_and_place_of_the_content_do_not_matter(scale):
    generator = np.random.default_rng(2)
    rows, targets = generator.normal(size=(40, 5)), generator.normal(size=(40, 3))
    plain = ridge_map(rows, targets, 3.0)(rows)
    np.testing.assert_allclose(
        ridge_map(rows * scale + 7 * scale, targets, 3.0)(rows * scale + 7 * scale), plain, atol=1e-6
    )


def test_constant_content_gives_the_mean():
    targets = np.random.default_rng(3).normal(size=(10, 3))
    found = ridge_map(np.full((10, 4), 0.5), targets, 1.0)(np.full((2, 4), 0.5))
    np.testing.assert_allclose(found, np.tile(targets.mean(axis=0), (2, 1)), atol=1e-6)
