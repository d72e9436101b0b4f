from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from larpbench.datasets.schema import Interactions
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.training.trainer import batches

N_TRACKS = 12
playlists = st.lists(st.sets(st.integers(0, N_TRACKS - 1), max_size=6), max_size=8)


def interactions(lists) -> Interactions:
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in lists])]).astype(np.int64)
    tracks = np.array([track for each in lists for track in sorted(each)], dtype=np.int64)
    return Interactions(np.array([f"p{n}" for n in range(len(lists))], dtype=str), offsets, tracks)


def graph(lists) -> PlaylistGraph:
    return PlaylistGraph(interactions(lists), N_TRACKS)


@settings(max_examples=60, deadline=None)
@given(playlists, st.integers(0, 5), st.integers(0, 10**6))
def test_a_pair_shares_the_playlist_and_neighbours_are_its_other_tracks(lists, neighbours, seed):
    made = graph(lists)
    kept = [each for each in lists if len(each) >= 2]
    assert set(made.paired_tracks.tolist()) == set().union(*kept)
    if not kept:
        return
    drawn = made.sample(np.repeat(made.paired_tracks, 4), neighbours, np.random.default_rng(seed))
    for row, track in enumerate(drawn.tracks):
        playlist = kept[drawn.playlists[row]]
        assert {track, drawn.partners[row]} <= playlist
        assert track != drawn.partners[row]
        found = drawn.neighbours[row][drawn.present[row]].tolist()
        assert len(found) == len(set(found)) == min(neighbours, len(playlist) - 1)
        assert set(found) <= playlist - {track}


@settings(max_examples=60, deadline=None)
@given(playlists)
def test_sharing_and_holding_are_what_the_playlists_say(lists):
    made, everyone = graph(lists), np.arange(N_TRACKS)
    kept = [each for each in lists if len(each) >= 2]
    expected = [[any({a, b} <= each for each in kept) for b in everyone] for a in everyone]
    np.testing.assert_array_equal(made.share_playlist(everyone, everyone), expected)
    held = [[track in each for track in everyone] for each in kept]
    found = made.holds(np.arange(len(kept)), everyone)
    np.testing.assert_array_equal(found, np.array(held, dtype=bool).reshape(len(kept), N_TRACKS))


def test_partners_and_neighbours_are_uniform():
    made = graph([{0, 1, 2, 3}, {0, 4}])
    drawn = made.sample(np.zeros(40_000, dtype=np.int64), 2, np.random.default_rng(1))
    shares = np.bincount(drawn.partners, minlength=5) / 40_000
    np.testing.assert_allclose(shares, [0, 1 / 6, 1 / 6, 1 / 6, 1 / 2], atol=0.01)
    first = drawn.playlists == 0
    seen = np.bincount(drawn.neighbours[first].ravel(), minlength=5) / first.sum()
    np.testing.assert_allclose(seen[1:4], 2 / 3, atol=0.02)


@pytest.mark.parametrize(("n", "size", "sizes"), [(10, 4, [4, 4]), (3, 4, [3]), (8, 4, [4, 4]), (1, 1, [1])])
def test_batches_are_full_and_take_nobody_twice(n, size, sizes):
    made = list(batches(np.arange(n), size, np.random.default_rng(0)))
    assert [len(each) for each in made] == sizes
    assert len(np.unique(np.concatenate(made))) == sum(sizes)
