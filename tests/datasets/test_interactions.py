"""The playlists of a split as arrays: joined once, shared, and never written to."""

from __future__ import annotations

from collections import Counter

import pytest
from support.small_data import build_split_tables

from larpbench.datasets.schema import Split
from larpbench.evaluation.queries import queries_of


def test_a_run_joins_the_tables_once_for_each_split_and_role(cli, tmp_path, monkeypatch):
    build_split_tables(tmp_path / "data")
    joins, join = Counter(), Split._joined

    def counted(split, role):
        joins[split.name, role] += 1
        return join(split, role)

    monkeypatch.setattr(Split, "_joined", counted)
    done = cli(
        "run", "--dataset", tmp_path / "data", "--encoders", "tfidf,random,same-artist",
        "--recommenders", "itemknn,itemknn-dot,ridge", "--output", tmp_path / "results",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert joins["test", "seed"] == joins["test", "heldout"] == 1
    assert set(joins.values()) == {1}


def test_who_reads_the_arrays_cannot_change_them(tmp_path):
    split = build_split_tables(tmp_path / "data").split("test")
    seeds = split.interactions("seed")
    assert split.interactions("seed") is seeds
    assert split.interactions("heldout") is not seeds
    for array in (seeds.playlist_ids, seeds.offsets, seeds.tracks, split.artist_codes, queries_of(split).artists):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = array[1:2]
