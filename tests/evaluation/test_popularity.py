from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables

from larpbench.evaluation.popularity import popularity_split, track_popularity


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory):
    return build_split_tables(tmp_path_factory.mktemp("popularity") / "data")


def test_cold_tracks_are_counted_in_the_test_playlists(dataset):
    counts = Counter(track for _, track, split, _ in dataset.playlists.iter_rows() if split == "test")
    popularity = track_popularity(dataset)
    assert popularity_split(dataset) == "test"
    assert popularity.dtype == np.int64
    assert popularity.tolist() == [counts[track] for track in dataset.split("test").track_ids]
    assert popularity.sum() == dataset.split("test").entries.height


def test_warm_tracks_are_counted_in_train(dataset):
    ids = dataset.split("test").track_ids
    warm = [("w1", ids[3]), ("w2", ids[3]), ("w2", ids[0]), ("w2", ids[0])]
    rows = [(playlist, track, "train", "member") for playlist, track in warm]
    schema = dataset.playlists.schema
    both = replace(dataset, playlists=pl.concat([dataset.playlists, pl.DataFrame(rows, schema, orient="row")]))
    assert popularity_split(both) == "train"
    assert {ids[i]: count for i, count in enumerate(track_popularity(both)) if count} == {ids[3]: 2, ids[0]: 1}
