"""Cold tracks for known listeners, from tables to slices, on the command line."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from support.small_listeners import random_listens, some_tracks

from larpbench import load_dataset


@pytest.fixture
def tables(tmp_path):
    """Tables of tracks and listens, and vectors; the split is drawn or, in split.csv, given."""
    tracks = some_tracks()
    random_listens().rename({"listener_id": "playlist_id"}).write_csv(tmp_path / "listens.csv")
    tracks.write_csv(tmp_path / "tracks.csv")
    split = pl.Series((["train"] * 3 + ["valid", "test"]) * 30)
    tracks.with_columns(split=split).write_csv(tmp_path / "split.csv")
    vectors = np.random.default_rng(0).normal(size=(tracks.height, 8)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", ids=tracks["track_id"].to_numpy().astype(str), embeddings=vectors)
    return tmp_path


def build(tables, tracks="tracks.csv", *more):
    listed = ("--tracks", tables / tracks, "--playlists", tables / "listens.csv", "--output", tables / "data")
    return ("dataset", "build", "csv", *listed, *more)


def test_from_given_splits_to_a_table_with_slices(cli, tables):
    built = cli(*build(tables, "split.csv"))
    assert built.code == 0, built.err
    assert "a data set of listeners, for larpbench run --task cold-tracks" in built.err
    assert cli("dataset", "check", tables / "data").code == 0
    vectors = f"precomputed:{tables / 'vectors.npz'}"
    run = ("run", "--task", "cold-tracks", "--dataset", tables / "data", "--output", tables / "r", "--budget", 1)
    outcome = cli(*run, "--seeds", 1, "--encoders", vectors, "--recommenders", "itemknn,itemknn-log,ridge", "--json")
    assert outcome.code == 0, outcome.err
    lines = json.loads(outcome.out)["tables"][0]["rows"]
    assert lines
    records = [json.loads(path.read_text()) for path in (tables / "r").rglob("*.json")]
    assert {each["cell"]["recommender"] for each in records} == {"itemknn", "itemknn-log", "ridge"}
    assert all(each["protocol"] == "cold-tracks-v1" and each["status"] == "ok" for each in records)
    names = {metric["name"] for metric in records[0]["metrics"]}
    assert {"recall@10", "ndcg@20", "recall@50", "recall@100", "hit_rate@50", "mrr@100", "map@100"} <= names
    assert records[0]["counts"]["candidates_min"] == records[0]["counts"]["tracks"] == 30  # nothing is masked
    for by, values in (("discovery", ["discovery"]), ("profile", ["low", "middle", "high"]), ("popularity", ["low"])):
        table = cli("table", tables / "r", "--by", by, "--dataset", tables / "data")
        assert table.code == 0, table.err
        assert all(value in table.out for value in values)
    unknown = cli("table", tables / "r", "--by", "seeds", "--dataset", tables / "data")
    assert unknown.code == 2
    assert "profile" in unknown.err
    first, second = cli("table", tables / "r", "--all"), cli(*run, "--encoders", vectors, "--seeds", 1)
    assert first.code == second.code == 0
    assert "1 kept" in second.err or "2 kept" in second.err


def test_a_drawn_fraction_and_a_split_by_time(cli, tables):
    assert cli(*build(tables), "--task", "cold-tracks", "--cold-fraction", 0.5).code == 0
    data = load_dataset(tables / "data")
    assert data.manifest.split.rule == "cold-tracks"
    assert data.manifest.split.cold_fraction == 0.5
    timed = cli(*build(tables)[:-1], tables / "timed", "--task", "cold-tracks", "--split-by", "first_time:100,300")
    assert timed.code == 0, timed.err
    assert "no profile" in timed.err
    assert load_dataset(tables / "timed").manifest.split.column == "first_time"
    dates = pl.read_csv(tables / "listens.csv").with_columns(
        first_time=pl.from_epoch(pl.col("first_time") * 86_400).dt.date()
    )
    dates.write_csv(tables / "listens.csv")
    by_date = ("--task", "cold-tracks", "--split-by", "first_time:1970-04-11,1970-10-28")
    assert cli(*build(tables)[:-1], tables / "dated", *by_date).code == 0
    same = [load_dataset(tables / name).manifest.digests["playlists"] for name in ("timed", "dated")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--cold-fraction", 0.2), "--task cold-tracks"),
        (("--task", "cold-tracks", "--cold-fraction", 1.2), "0 < fraction < 1"),
        (("--task", "cold-tracks", "--min-length", 3), "--min-length would change nothing"),
        (("--task", "cold-tracks", "--cold-fraction", 0.2, "--split-by", "x:1,2"), "one of the two"),
        (("--task", "cold-tracks", "--split-by", "released:1,2"), "no column 'released'"),
    ],
)
def test_options_that_make_no_sense_are_refused(cli, tables, more, message):
    outcome = cli(*build(tables), *more)
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tables / "data").exists()


def test_seeds_and_a_track_in_two_splits_are_refused(cli, tables):
    listens = pl.read_csv(tables / "listens.csv")
    owner = pl.read_csv(tables / "split.csv").select("track_id", "split")
    joined = listens.join(owner, on="track_id")
    joined.with_columns(role=pl.lit("seed")).write_csv(tables / "listens.csv")
    seeds = cli(*build(tables))
    assert seeds.code == 2
    assert "have seeds" in seeds.err
    torn = pl.int_range(pl.len()) == joined.with_row_index().filter(pl.col("track_id") == "t001")["index"][0]
    joined.with_columns(split=pl.when(torn).then(pl.lit("test")).otherwise("split")).write_csv(tables / "listens.csv")
    outcome = cli(*build(tables), "--task", "cold-tracks")
    assert outcome.code == 2
    assert "1 tracks are in two splits: 't001'" in outcome.err


def test_tasks_refuse_the_other_kind_and_name_the_command(cli, tables, small):
    assert cli(*build(tables, "split.csv")).code == 0
    known = cli("run", "--dataset", tables / "data", "--output", tables / "r")
    assert known.code == 2
    assert "larpbench run --task cold-tracks --dataset data" in known.err
    unknown = cli("run", "--task", "cold-tracks", "--dataset", small.folder / "small", "--output", tables / "r")
    assert unknown.code == 2
    assert "larpbench run --task continuation --dataset small" in unknown.err
    assert "larpbench dataset build csv --task cold-tracks" in unknown.err
    draws = cli("run", "--task", "cold-tracks", "--dataset", tables / "data", "--draws", 2, "--encoders", "random")
    assert draws.code == 2
    assert "--draws is 2" in draws.err


def test_counts_that_nobody_knows_leave_itemknn_log_out(cli, tables):
    pl.read_csv(tables / "listens.csv").drop("count", "first_time").write_csv(tables / "listens.csv")
    assert cli(*build(tables, "split.csv")).code == 0
    run = ("run", "--task", "cold-tracks", "--dataset", tables / "data", "--output", tables / "r")
    outcome = cli(*run, "--encoders", "random", "--recommenders", "itemknn-log")
    assert outcome.code == 3
    assert "nothing says how often tracks of 'data' were played" in outcome.err


def test_stats_and_a_smoke_run(cli, tables):
    assert cli(*build(tables, "split.csv")).code == 0
    bounds = json.loads(cli("dataset", "stats", tables / "data", "--json").out)["bounds"]
    chance = {row["metric"]: row["chance"] for row in bounds if row["split"] == "test"}
    assert chance["recall@10"] == pytest.approx(10 / 30)
    assert "run --task cold-tracks" in cli("describe", "dataset", tables / "data").out
    run = ("run", "--task", "cold-tracks", "--dataset", tables / "data", "--output", tables / "r", "--limit", 5)
    outcome = cli(*run, "--encoders", "random", "--recommenders", "itemknn", "--seeds", 1)
    assert outcome.code == 0, outcome.err
    assert "5 listeners counted" in outcome.out
    assert "rank itemknn: 5 of 5 listeners" in outcome.err
