"""The decomposition and the ridge, against the same in dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.datasets.schema import Interactions
from larpbench.encoders.factors.closed_form import Ridge, track_factors
from larpbench.errors import DataError
from larpbench.vectors import unit_rows


def interactions(lists):
    rows = [np.unique(each) for each in lists]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows])]).astype(np.int64)
    tracks = np.concatenate(rows).astype(np.int64) if rows else np.empty(0, np.int64)
    return Interactions(np.array([f"p{p}" for p in range(len(rows))]), offsets, tracks)


def dense(lists, n):
    matrix = np.zeros((len(lists), n))
    for p, each in enumerate(lists):
        matrix[p, each] = 1
    degrees, lengths = matrix.sum(axis=0), matrix.sum(axis=1)
    held = degrees > 0
    return matrix[:, held] / np.sqrt(np.outer(lengths, degrees[held])), held


def drawn(seed, playlists, tracks):
    draw = np.random.default_rng(seed)
    return [draw.choice(tracks, size=draw.integers(1, min(9, tracks) + 1), replace=False) for _ in range(playlists)]


class TestFactors:
    @given(seed=st.integers(0, 2**32 - 1), playlists=st.integers(3, 30), tracks=st.integers(4, 40))
    @settings(deadline=None, max_examples=40)
    def test_they_are_the_singular_vectors_without_the_first(self, seed, playlists, tracks):
        """Compared by inner products: which basis of equal singular values, and which sign, is arbitrary."""
        lists = drawn(seed, playlists, tracks)
        matrix, held = dense(lists, tracks)
        _, singular, right = np.linalg.svd(matrix, full_matrices=False)
        if (singular > 1 - 1e-6).sum() > 1 or ((singular > 1e-6) & (singular < 1e-2)).any():
            return  # several graphs apart: the first vector is any of theirs; or a rank that float32 cannot tell
        rank = int((singular > 1e-6).sum())
        if rank < 2:
            with pytest.raises(DataError):
                track_factors(interactions(lists), tracks, 256)
            return
        found = track_factors(interactions(lists), tracks, 256)
        assert (found.shape, found.dtype) == ((tracks, rank - 1), np.float32)
        assert not found[~held].any()
        scaled = (right[1:rank] * singular[1:rank, None]).T
        sure = np.linalg.norm(scaled, axis=1) > 1e-3  # a shorter row has no direction in float32
        expected, found = unit_rows(scaled[sure]), found[held][sure]
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=2e-3)

    def test_no_more_than_are_asked_for_and_always_the_same(self):
        lists = drawn(0, 300, 120)
        found = track_factors(interactions(lists), 120, 7)
        assert found.shape == (120, 7)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(found, track_factors(interactions(lists), 120, 7))

    def test_playlists_apart_are_told_apart(self):
        """Two groups of playlists without a common track: a vector of a singular value of 1 tells them apart."""
        lists = [[0, 1, 2], [1, 2, 3], [0, 3], [5, 6], [6, 7], [5, 7, 8]]
        found = track_factors(interactions(lists), 9, 1)
        assert not found[4].any()
        assert len(set(np.sign(found[[0, 1, 2, 3], 0]))) == 1
        assert np.sign(found[0, 0]) == -np.sign(found[5, 0])

    @pytest.mark.parametrize("lists", [[[0, 1, 2]], [[0, 1], [0, 1]], [[3], [3]], []])
    def test_playlists_that_are_all_the_same(self, lists):
        with pytest.raises(DataError, match="nothing to learn"):
            track_factors(interactions(lists), 4, 256)


class TestRidge:
    @pytest.mark.parametrize("rows", [5, 60, 9_000])
    def test_it_minimises_the_penalised_error(self, rows):
        draw = np.random.default_rng(rows)
        x, y = (draw.normal(size=(rows, width)).astype(np.float32) for width in (8, 3))
        y[::5] = 0  # tracks without a playlist: left out
        known = y.any(axis=1)
        ridge = Ridge(x, y)
        for l2 in (0.3, 10.0):
            a, b = x[known].astype(np.float64), y[known].astype(np.float64)
            expected = np.linalg.lstsq(
                np.vstack([a, np.sqrt(l2) * np.eye(8)]), np.vstack([b, np.zeros((8, 3))]), rcond=None
            )[0]
            np.testing.assert_allclose(ridge.solve(l2), expected, atol=1e-4)
