"""An encoder that was trained on one data set and is tested on another, which share tracks (protocol rule 13)."""

from __future__ import annotations

import json

import polars as pl
import pytest
from support.small_data import build_heard, build_split_tables, split_tables, write_library
from support.small_larp import small_recipe

from larpbench import load_dataset, load_results
from larpbench.encoders.larp import specs
from larpbench.encoders.run import pipeline
from larpbench.results.store import playlists_path, read_records

TRAINED = "larp-wtc:text@other"
ENCODERS = f"{TRAINED},tfidf,random"
SHARED = {"test-1-001": "valid-0-004"}  # an id that the other data set has too
SAME_SONG = "test-1-000"  # a song that it has under another id
RULE = (
    "Protocol rule 13: 2 of 24 test tracks are left out for every encoder, because a training has seen them: that on "
    "other (1 by id, 1 more by artist and title)."
)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("library"))


@pytest.fixture
def other(home, library):
    """The data set that encoders are trained on, known by its name."""
    return build_heard(home / "datasets" / "other", library)


@pytest.fixture
def tested(tmp_path, cli, other):
    """A data set that shares two of its 24 test tracks with the other's train and valid tracks."""
    tables = split_tables(tmp_path / "tables", seeds=dict.fromkeys(("train", "valid", "test"), 1))
    tracks, playlists = pl.read_csv(tables.tracks), pl.read_csv(tables.playlists)
    known = other.tracks.filter(pl.col("track_id") == "train-0-003").row(0, named=True)
    for column in ("title", "artist"):
        changed = pl.when(pl.col("track_id") == SAME_SONG).then(pl.lit(known[column].upper())).otherwise(column)
        tracks = tracks.with_columns(changed.alias(column))
    renamed = pl.col("track_id").replace(SHARED)
    tracks.with_columns(renamed).drop("audio").write_csv(tables.tracks)
    playlists.with_columns(renamed).write_csv(tables.playlists)
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    built = cli(*build, "--output", tmp_path / "tested")
    assert built.code == 0, built.err
    return load_dataset(tmp_path / "tested")


def planned(cli, data, encoders):
    made = cli("plan", "--dataset", data.folder, "--encoders", encoders, "--json")
    assert made.code == 0, made.err
    return json.loads(made.out)


def test_shared_tracks_leave_for_every_row(cli, tested, tmp_path):
    options = ("--dataset", tested.folder, "--encoders", ENCODERS, "--recommenders", "itemknn,ridge")
    options = (*options, "--seeds", "2", "--budget", "1", "--output", tmp_path / "r")
    assert RULE in cli("plan", *options).out
    run = cli("run", *options)
    assert run.code == 0, run.err
    assert run.out.startswith("## continuation: tested less 2 tracks of other\n")
    assert f"- {RULE}" in run.out

    gone = {*SHARED.values(), SAME_SONG}
    entries = tested.split("test").entries
    found = read_records(tmp_path / "r")
    assert {record.cell.encoder for _, record in found} == {TRAINED, "tfidf", "random"}
    assert {record.cell.recommender for _, record in found} == {"itemknn", "ridge"}
    assert {record.encoder.learnt_from for _, record in found if record.cell.encoder == TRAINED} == {"other"}
    assert "trained elsewhere" not in run.out
    frames = [pl.read_parquet(playlists_path(path)).sort("playlist_id") for path, _ in found]
    for (_, record), frame in zip(found, frames, strict=True):
        assert record.counts.tracks == 24 - len(gone)
        removed = record.removal
        assert (removed.tracks, removed.of, removed.seeds + removed.heldout) == (
            2, 24, entries.filter(pl.col("track_id").is_in(gone)).height,
        )  # fmt: skip
        assert [(each.dataset, each.by_id, each.by_song) for each in removed.sources] == [("other", 1, 1)]
        assert [metric.chance for metric in record.metrics] == [metric.chance for metric in found[0][1].metrics]
        sizes = ["playlist_id", "n_seeds", "n_heldout", "n_candidates"]
        assert frame.select(sizes).equals(frames[0].select(sizes))
        assert not gone & set(frame["ranked"].explode())
        assert (frame["n_candidates"] == 24 - len(gone) - frame["n_seeds"]).all()
        assert frame["n_heldout"].sum() == entries.filter(
            (pl.col("role") == "heldout") & ~pl.col("track_id").is_in(gone)
            & pl.col("playlist_id").is_in(frame["playlist_id"].implode())
        ).height  # fmt: skip
    again = cli("run", *options)
    assert "0 cells computed" in again.err
    assert again.out == run.out


def test_rows_of_other_candidates_are_in_a_table_of_their_own(cli, tested, tmp_path):
    for encoders in (f"{TRAINED},tfidf", "tfidf,random"):
        run = cli("run", "--dataset", tested.folder, "--encoders", encoders, "--seeds", "1", "--output", tmp_path / "r")
        assert run.code == 0, run.err
        assert run.out.count("## ") == 1
    alone, less = load_results(tmp_path / "r")
    assert (alone.tested, {row.encoder for row in alone.rows}) == ("tested", {"tfidf", "random"})
    assert (less.tested, {row.encoder for row in less.rows}) == (
        "tested less 2 tracks of other", {TRAINED, "tfidf"},
    )  # fmt: skip
    assert alone.removal is None
    assert alone.chance["recall@10"] < less.chance["recall@10"]
    printed = cli("table", tmp_path / "r", "--format", "csv").out
    assert "continuation,tested,tfidf," in printed
    assert "continuation,tested less 2 tracks of other,tfidf," in printed
    compared = cli("compare", tmp_path / "r", "tfidf", TRAINED)
    assert "| tested less 2 tracks of other | itemknn |" in compared.out
    assert "| tested | itemknn |" not in compared.out


def test_where_nothing_is_shared_nothing_changes(cli, tmp_path, other):
    apart = build_split_tables(tmp_path / "apart", seeds=dict.fromkeys(("train", "valid", "test"), 1))
    alone, beside = (planned(cli, apart, encoders) for encoders in ("tfidf", f"tfidf,{TRAINED}"))
    assert alone["removal"] is beside["removal"] is None
    assert alone["cells"][0]["key"] == beside["cells"][0]["key"]
    itself = planned(cli, other, f"tfidf,{TRAINED}")
    assert itself["removal"] is None
    assert itself["cells"][0]["key"] == planned(cli, other, "tfidf")["cells"][0]["key"]


def test_a_removal_changes_the_cells_of_all_encoders(cli, tested):
    alone, beside = (planned(cli, tested, encoders) for encoders in ("tfidf", f"tfidf,{TRAINED}"))
    assert (alone["removal"], beside["removal"]["tracks"]) == (None, 2)
    assert alone["cells"][0]["key"] != beside["cells"][0]["key"]
    assert beside["cells"][0]["tracks_to_encode"] == 24  # vectors are shared with runs that test all tracks


def test_a_test_that_the_training_has_seen_whole(cli, tmp_path, other):
    tables = tmp_path / "tables"
    tables.mkdir()
    other.split("train").tracks.select("track_id", "title", "artist", "album").write_csv(tables / "t.csv")
    other.split("train").entries.select("playlist_id", "track_id").write_csv(tables / "p.csv")
    build = ("dataset", "build", "csv", "--tracks", tables / "t.csv", "--playlists", tables / "p.csv")
    assert cli(*build, "--train-fraction", "0", "--min-length", "2", "--output", tmp_path / "seen").code == 0
    refused = cli("run", "--dataset", tmp_path / "seen", "--encoders", ENCODERS, "--output", tmp_path / "r")
    assert refused.code == 1
    assert "12 of 12 test tracks were in the training on 'other'" in refused.err
    assert not (tmp_path / "r").exists()
