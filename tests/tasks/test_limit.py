"""``--limit``: a smoke run reads the first playlists of each split, and its results stay apart."""

from __future__ import annotations

import dataclasses
import json

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given, settings
from support.small_data import build_split_tables
from support.small_graphs import small_toy

import larpbench
from larpbench.datasets.schema import SPLITS
from larpbench.datasets.splits.limited import first_playlists
from larpbench.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return build_split_tables(tmp_path_factory.mktemp("limit") / "data", tracks=60, playlists=14)


def playlists(dataset, split):
    return set(dataset.split(split).entries["playlist_id"])


@given(limit=st.integers(1, 16), more=st.integers(0, 16), shuffle=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_a_smaller_limit_is_part_of_a_larger_one_whatever_the_order_of_rows(data, limit, more, shuffle):
    mixed = dataclasses.replace(data, playlists=data.playlists.sample(fraction=1, shuffle=True, seed=shuffle))
    small, large = first_playlists(data, limit), first_playlists(mixed, limit + more)
    for name in SPLITS:
        whole, part = data.split(name), small.split(name)
        chosen = playlists(small, name)
        assert len(chosen) == min(limit, 14)
        assert chosen <= playlists(large, name) <= playlists(data, name)
        assert part.entries.equals(whole.entries.filter(pl.col("playlist_id").is_in(chosen)))
        held = whole.track_ids if limit >= 14 else part.entries["track_id"]
        assert part.tracks.equals(whole.tracks.filter(pl.col("track_id").is_in(set(held))))


def test_only_playlists_that_count_are_taken_for_tests_and_any_for_training(data):
    counted = sorted(playlists(data, "test"))[5:8]
    without = data.playlists.filter(
        (pl.col("split") != "test") | (pl.col("role") == "seed") | pl.col("playlist_id").is_in(counted)
    )
    part = first_playlists(dataclasses.replace(data, playlists=without), 2)
    assert playlists(part, "test") < set(counted)
    assert [len(playlists(part, name)) for name in SPLITS] == [2, 2, 2]


def test_smoke_runs_are_marked_and_never_stand_beside_whole_runs(data, cli, tmp_path):
    def run(*options):
        names = ("--encoders", "tfidf,random", "--recommenders", "itemknn,ridge", "--seeds", "1", "--budget", "1")
        done = cli("run", "--dataset", data.folder, *names, "--output", tmp_path / "results", *options)
        assert done.code == 0, done.err
        return done.out

    assert "limit" not in (whole := run())
    smoke = run("--limit", "6")
    assert "## continuation: data (limit=6)" in smoke
    assert "Smoke run (--limit 6)" in smoke
    assert "6 playlists counted" in smoke
    assert "Protocol cold-start-v1/limit=6" in smoke
    assert run() == whole  # the whole run's cells are kept, and nothing has come into its table
    more_than_there_are = run("--limit", "100")
    assert "data (limit=100)" in more_than_there_are
    assert "14 playlists counted" in more_than_there_are

    tables = {table.variant: table for table in larpbench.load_results(tmp_path / "results")}
    assert sorted(tables) == ["", "limit=100", "limit=6"]
    for variant, limit in (("", None), ("limit=100", 100), ("limit=6", 6)):
        assert {record.limit for record in tables[variant].records} == {limit}
    for column, score in tables[""].rows[0].scores.items():  # the same playlists and tracks, to the bit
        assert tables["limit=100"].rows[0].scores[column] == score
    for path in (tmp_path / "results").rglob("*.json"):
        record = json.loads(path.read_text())
        assert ("limit" in record) == ("limit" in record["protocol"])

    compared = cli("compare", tmp_path / "results", "tfidf", "random")
    assert "data (limit=6)" in compared.out
    report = cli("report", tmp_path / "results", "--output", tmp_path / "report")
    assert report.code == 0, report.err
    assert "limit=6" in (tmp_path / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("limit", "end"),
    [
        (1, "This holds for all metrics of the table: raise --limit (now 1), or leave it out."),
        (5, "For more candidates: raise --limit (now 5), or leave it out."),
    ],
)
def test_where_too_few_tracks_are_read_the_table_says_what_to_raise(data, cli, tmp_path, limit, end):
    command = ("run", "--dataset", data.folder, "--encoders", "random", "--seeds", "1", "--limit", limit)
    done = cli(*command, "--output", tmp_path / "results")
    (note,) = [line for line in done.out.splitlines() if line.startswith("- n/a: ")]
    assert note.endswith(f"so every ranking would score the same. {end}")


@pytest.mark.usefixtures("with_demo")
def test_a_smoke_run_encodes_and_learns_from_its_own_tracks_only(tmp_path):
    data = larpbench.load_dataset("demo")

    def cell(encoder, limit=None):
        (found,) = larpbench.plan(data, encoders=[encoder], seeds=1, limit=limit, output=tmp_path).cells
        return found

    smoke = larpbench.plan(data, encoders=["tfidf"], limit=3, output=tmp_path)
    tracks = first_playlists(data, 3).split("test").tracks.height
    assert smoke.queries == 3
    assert smoke.cells[0].tracks_to_encode == tracks < data.split("test").tracks.height
    (own,), (smaller,) = cell("co-playlist").trainings, cell("co-playlist", limit=3).trainings
    (elsewhere,) = cell("co-playlist@demo", limit=3).trainings
    assert own.checkpoint == elsewhere.checkpoint != smaller.checkpoint
    keys = {cell("tfidf", limit).key for limit in (None, 3, 4, 10_000, 20_000)}
    assert len(keys) == 5


def test_limits_that_make_no_sense_are_refused(data, tmp_path, cli):
    for limit in (0, -3):
        with pytest.raises(UsageError, match=f"the limit is {limit}"):
            larpbench.plan(data, limit=limit, output=tmp_path)
    assert cli("run", "--dataset", data.folder, "--limit", "0").code == 2
    artists = small_toy(tmp_path / "artists")
    refused = cli("plan", "--task", "artist-similarity", "--dataset", artists, "--limit", "5")
    assert refused.code == 2
    assert "'artist-similarity' cannot be limited to 5 artists" in refused.err
