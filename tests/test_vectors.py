"""Rows of length 1, and columns of one scale."""

from __future__ import annotations

import numpy as np
import pytest

from larpbench.vectors import Standardiser, unit_rows


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
