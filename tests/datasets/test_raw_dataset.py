"""Order and entries of what a source hands over."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larpbench.datasets.raw_dataset import RawDataset, RawPlaylists, text_order
from larpbench.errors import DataError

NAMES = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=("Cs",)), min_size=1)
ALIKE = st.integers(0, 10**6).map(lambda number: f"track_000{number}")


@given(st.lists(NAMES | ALIKE, unique=True))
def test_texts_come_in_the_order_of_their_bytes(names):
    order = text_order(pl.Series(names, dtype=pl.String))
    assert [names[row] for row in order] == sorted(names, key=str.encode)


@given(st.lists(NAMES | ALIKE, unique=True, min_size=1))
def test_sorting_moves_no_track_of_a_playlist(names):
    tracks = pl.DataFrame({"track_id": names, "title": names})
    listed = RawPlaylists(pl.Series(["p"]), np.array([0, len(names)]), np.arange(len(names), dtype=np.uint32), "listed")
    raw = RawDataset(tracks, listed, "", "")
    raw.sort()
    assert raw.tracks["track_id"].to_list() == raw.tracks["title"].to_list() == sorted(names, key=str.encode)
    assert raw.tracks["track_id"].gather(raw.playlists.tracks).to_list() == names


@pytest.mark.parametrize(("names", "what"), [(["b", "a", "b"], "1 track ids occur more than once: 'b'"),
                                             (["a", "b", "b"], "1 track ids occur more than once: 'b'"),
                                             (["b", ""], "1 rows have an empty track_id"),
                                             (["b", None], "1 rows have an empty track_id")])  # fmt: skip
def test_ids_that_are_none_are_refused(names, what):
    nobody = RawPlaylists(pl.Series(dtype=pl.String), np.zeros(1, np.int64), np.empty(0, np.uint32), "listed")
    with pytest.raises(DataError, match=what):
        RawDataset(pl.DataFrame({"track_id": names}), nobody, "", "").sort()


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 5)))))
def test_a_timed_entry_counts_where_its_track_comes_first(playlists):
    tracks = [track for _, listed in playlists for track in listed]
    offsets = np.concatenate([[0], np.cumsum([len(listed) for _, listed in playlists])]).astype(np.int64)
    ids = pl.Series([str(row) for row in range(len(playlists))], dtype=pl.String)
    raw = RawPlaylists(ids, offsets, np.array(tracks, dtype=np.uint32), "timed")
    wanted = np.array([is_wanted for is_wanted, _ in playlists], dtype=bool)
    for chosen in (None, wanted):
        found = [
            (start + row, track)
            for start, _, rows, found in raw.entries(chosen)
            for row, track in zip(rows.tolist(), found.tolist(), strict=True)
        ]
        assert found == [
            (row, track)
            for row, (is_wanted, listed) in enumerate(playlists)
            for track in dict.fromkeys(listed)
            if chosen is None or is_wanted
        ]
