"""Rows of length 1, and columns of one scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.vectors import Centring, Standardiser, unit_rows


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_rows(double, dtype):
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [1e4, 0.0]], dtype=dtype)
    unit = unit_rows(rows, double)
    assert unit.dtype == dtype
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)


def test_columns_are_standardised_on_the_reference_and_cut():
    reference = np.array([[0, 5], [2, 5]], dtype=np.float32)
    rows = np.array([[3, 9], [1_000, 5]], dtype=np.float32)
    assert Standardiser(reference).apply(rows).tolist() == [[2, 0], [10, 0]]
    assert Standardiser(reference, largest=1.5).apply(rows).tolist() == [[1.5, 0], [1.5, 0]]
    assert Standardiser(reference, largest=None).apply(rows)[1, 0] == 999


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 12),
    dim=st.integers(1, 9),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    offset=st.sampled_from([0.0, 1.0, 100.0]),
)
@settings(deadline=None, max_examples=60)
def test_rows_are_centred_and_of_length_1_or_0(seed, rows, dim, scale, offset):
    """Whatever their scale; and a row that is the mean is no direction of rounding errors."""
    draw = np.random.default_rng(seed)
    reference = (scale * (draw.normal(size=(rows, dim)) + offset)).astype(np.float32)
    centring = Centring(reference)
    mean = reference.mean(axis=0, dtype=np.float64)
    centred = centring.apply(np.vstack([reference, mean.astype(np.float32)]))
    assert centred.dtype == np.float32
    lengths = np.linalg.norm(centred, axis=1)
    assert all(length == 0 or abs(length - 1) < 1e-5 for length in lengths)
    assert lengths[-1] == 0 or offset == 0
    if rows > 1:
        expected = reference.astype(np.float64) - mean
        np.testing.assert_allclose(centred[:-1], unit_rows(expected), atol=1e-4)


def test_many_rows_are_centred_as_few_are():
    rows = np.random.default_rng(0).normal(size=(8_200, 3)).astype(np.float32)
    centring = Centring(rows[:50])
    np.testing.assert_array_equal(centring.apply(rows)[8_190:], centring.apply(rows[8_190:]))


def test_equal_rows_are_no_direction():
    rows = np.full((7, 5), 0.1, dtype=np.float32)
    assert not Centring(rows).apply(rows).any()
    assert not Centring(np.zeros((2, 3), np.float32)).apply(np.zeros((1, 3), np.float32)).any()
