"""`larpbench reproduce`: every table and figure of the paper, on a small library."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from collections import Counter

import numpy as np
import polars as pl
import pytest
from support.made_results import write_results
from support.small_baselines import shrink_baselines
from support.small_data import build_heard, split_tables, write_library
from support.small_larp import small_recipe

from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.sources.csv import build_csv
from larpbench.encoders.larp import specs
from larpbench.encoders.run import pipeline
from larpbench.recommenders.training import GradientRecommender
from larpbench.reproduction.targets import OF_PLAYLISTS
from larpbench.results.plots import new_figure, save_figure
from larpbench.results.published import published_scores
from larpbench.results.sheet import SheetCell, text_sheet
from larpbench.results.store import read_records
from larpbench.results.writers import to_html, to_latex, to_markdown

TRACKS = 22  # of each split: more than 20 candidates
QUICK = ("--seeds", "2", "--budget", "1")
FIGURES = ("figure3", "figure4", "figure5")
FROZEN = "centred:handcrafted+centred:tfidf"


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    shrink_baselines(monkeypatch)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)  # no processes beside this one
    monkeypatch.setattr(GradientRecommender, "epochs", 2)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("library"), TRACKS)


@pytest.fixture
def heard(tmp_path, library):
    return build_heard(tmp_path / "heard", library, TRACKS)


@pytest.fixture
def other(tmp_path, heard, library):
    """Another data set of the same library: three of its train tracks are tested in the first."""
    tables = split_tables(tmp_path / "other-tables", tracks=heard.split("test").tracks.height, playlists=6)
    tracks, playlists = pl.read_csv(tables.tracks), pl.read_csv(tables.playlists)
    shared = heard.split("test").track_ids[:3].tolist()
    tracks = tracks.filter((pl.col("split") != "test") | pl.col("track_id").is_in(shared))
    tracks = tracks.with_columns(split=pl.when(pl.col("split") == "test").then(pl.lit("train")).otherwise("split"))
    tracks.write_csv(tables.tracks)
    more = pl.DataFrame({"playlist_id": "train-0-p0", "track_id": shared, "split": "train", "role": None})
    pl.concat([playlists.filter(pl.col("split") != "test"), more.cast(pl.String)]).write_csv(tables.playlists)
    made = BuildOptions("other", "a test", "none")
    policy = AudioPolicy(clip_seconds=1.0)
    return build_csv(tables.tracks, tables.playlists, made, tmp_path / "other", audio=library, policy=policy)


def lines(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_all_writes_every_table_and_figure_and_goes_on_from_what_is_there(cli, heard, other, tmp_path):
    command = (
        "reproduce", "all", "--dataset", heard.folder, "--trained-on", other.folder, "--seeds", "1", "--budget", "1",
        "--results", tmp_path / "results", "--output", tmp_path / "made",
    )  # fmt: skip
    done = cli(*command)
    assert done.code == 0, done.err
    expected = {f"{name}.{suffix}" for name in OF_PLAYLISTS for suffix in ("md", "tex", "csv", "json")}
    expected |= {f"{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png")}
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert set(made) == expected
    assert {line.rpartition("/")[2] for line in done.out.splitlines()} == expected
    for name in FIGURES:
        ElementTree.fromstring(made[f"{name}.svg"])
        assert made[f"{name}.png"].startswith(b"\x89PNG")
    again = cli(*command)
    assert again.code == 0
    assert "train larp" not in again.err
    assert "[1/" not in again.err, "nothing is run twice"
    assert {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()} == made

    ours = [line for line in lines(tmp_path / "made" / "table2.csv") if line["source"] == "larpbench"]
    scored = Counter(line["recommender"] for line in ours if line["metric"] == "recall@10" and line["value"])
    assert set(scored) == {"itemknn", "dropoutnet", "dropoutnet-content", "clcrec", "ridge"}
    assert len(set(scored.values())) == 1, "the same encoders under every recommender"
    for line in ours:
        if line["value"]:
            assert 0 <= float(line["ci_low"]) <= float(line["value"]) <= float(line["ci_high"]) <= 1
            assert float(line["chance"]) > 0
        else:
            assert line["note"], f"{line['encoder']} has neither a number nor a reason"
    assert {line["encoder"] for line in ours} > {"random", "same-artist", FROZEN, "factors@heard"}

    found = [line for line in lines(tmp_path / "made" / "table4.csv") if line["metric"] == "recall@10"]
    transfer = {line["encoder"]: line for line in found if line["source"] == "larpbench"}
    assert transfer["larp-tpc-fusion@other"]["value"]
    assert transfer["larp-tpc-fusion@heard"]["value"]
    assert f"Protocol rule 13: 3 of {TRACKS} test tracks" in (tmp_path / "made" / "table4.md").read_text()
    assert len({line["chance"] for line in transfer.values()}) == 1
    assert all(transfer[name]["value"] for name in (FROZEN, "factors@heard", "factors@other"))

    stages = lines(tmp_path / "made" / "table3.csv")
    beside = [line for line in stages if line["encoder"] in (FROZEN, "factors@heard") and line["value"]]
    assert len({line["encoder"] for line in beside}) == 2
    assert {line["source"] for line in beside} == {"larpbench"}, "the paper has no number for them"
    records = [record for _, record in read_records(tmp_path / "results") if record.training]
    facts = next(each.training.facts["valid"] for each in records if each.cell.encoder == "factors@heard")
    valid = {FROZEN: facts["frozen"], "factors": facts["best"]}
    for figure, column, place in (("figure4", "valid", "j"), ("figure5", "valid_recall@10", "epoch")):
        levels = [line for line in lines(tmp_path / "made" / f"{figure}.csv") if not line[place]]
        assert {line["encoder"].partition("@")[0]: float(line[column]) for line in levels} == valid
        drawn = made[f"{figure}.svg"].decode()
        assert all(f">{name}" in drawn for name in valid)
    assert {*valid} < {line["encoder"] for line in lines(tmp_path / "made" / "figure3.csv")}


def test_the_published_numbers_stand_beside_ours_and_a_row_that_cannot_run_says_why(cli, heard, tmp_path):
    done = cli(
        "reproduce",
        "table3",
        "--dataset",
        heard.folder,
        *QUICK,
        "--output",
        tmp_path / "made",
        "--results",
        tmp_path / "r",
    )
    assert done.code == 0, done.err
    found = lines(tmp_path / "made" / "table3.csv")
    printed = {
        (r["encoder"], r["dataset"], r["metric"]): float(r["value"]) for r in found if r["source"] == "the paper"
    }
    assert printed == {
        (row.encoder, row.dataset, metric): value
        for row in published_scores("table3")
        for metric, value in row.values.items()
    }
    text = (tmp_path / "made" / "table3.md").read_text()
    assert "| itemknn | bert | larpbench, heard | not run |" in text
    assert "- not run: bert: " in text
    assert "Published numbers are of other data sets than heard" in text
    record = json.loads(next((tmp_path / "r").glob("*/*/larp-wtc*/*/*.json")).read_text())
    assert record["training"]["trained_on"] == "heard"


def test_the_curves_are_those_of_valid_and_the_playlist_is_nobodys_choice(cli, heard, tmp_path):
    run = ("--dataset", heard.folder, *QUICK, "--output", tmp_path / "made", "--results", tmp_path / "r")
    assert cli("reproduce", "figure5", "figure3", *run).code == 0
    curves = lines(tmp_path / "made" / "figure5.csv")
    for path in (tmp_path / "r").glob("*/*/larp-*/itemknn/*.json"):
        record = json.loads(path.read_text())
        name = record["cell"]["encoder"].partition("@")[0]
        if name not in {line["encoder"] for line in curves}:
            continue
        curve = [
            (int(c["epoch"]), float(c["valid_recall@10"]))
            for c in curves
            if c["encoder"] == name and int(c["seed"]) == record["cell"]["seed"]
        ]
        assert curve == [(e["epoch"], e["recall@10"]) for e in record["training"]["facts"]["history"]]
        chosen = record["training"]["facts"]["best_epoch"]  # 0: the start stayed, whatever the curve at weight 1
        assert not chosen or dict(curve)[chosen] == max(value for _, value in curve)
    points = lines(tmp_path / "made" / "figure3.csv")
    test = heard.split("test")
    for name in {point["encoder"] for point in points}:
        mine = [point for point in points if point["encoder"] == name]
        assert {point["track_id"] for point in mine} == set(test.track_ids.tolist())
        plane = np.array([[float(point["x"]), float(point["y"])] for point in mine])
        assert np.abs(plane.mean(axis=0)).max() < 1e-3
        assert plane[:, 0].var() >= plane[:, 1].var()
    inside = {point["track_id"] for point in points if point["in_playlist"] == "1"}
    playlists = test.interactions()
    members = [
        set(test.track_ids[playlists.tracks[a:b]].tolist())
        for a, b in zip(playlists.offsets[:-1], playlists.offsets[1:], strict=True)
    ]
    assert inside in members


def test_one_target_that_fails_leaves_the_others_standing(cli, small, tmp_path):
    """A data set without audio has no LARP; the others of its tables are there."""
    run = ("--dataset", small.folder / "small", *QUICK, "--output", tmp_path / "made", "--results", tmp_path / "r")
    done = cli("reproduce", "figure5", "table1", *run)
    assert done.code == 3, done.err
    assert "error: figure5: " in done.err
    assert (tmp_path / "made" / "table1.md").is_file()
    assert not (tmp_path / "made" / "figure5.md").exists()


def test_wrong_input(cli, small, tmp_path):
    named = ("--dataset", small.folder / "small")
    unknown = cli("reproduce", "table5", *named)
    assert unknown.code == 2
    assert "did you mean table" in unknown.err
    assert "next: larpbench reproduce --help" in unknown.err
    artists = cli("reproduce", "table1", "--dataset", "toy-artists", "--output", tmp_path / "artists")
    assert artists.code == 2
    assert "kind playlists" in artists.err
    assert not (tmp_path / "artists").exists()
    nowhere = cli("reproduce", "table4", *named)
    assert nowhere.code == 2
    assert "--trained-on NAME" in nowhere.err
    assert cli("reproduce", "table4", *named, "--trained-on", "nothing-here").code == 2
    (tmp_path / "file").write_text("")
    blocked = cli("reproduce", "table1", *named, "--output", tmp_path / "file" / "made")
    assert blocked.code == 1
    assert "file" in blocked.err


def test_the_earlier_spelling_of_the_folders_works_and_is_named(cli, small, tmp_path):
    named = ("reproduce", "table1", "--dataset", small.folder / "small")
    new = cli(*named, "--output", tmp_path / "new")
    assert new.code == 0, new.err
    assert "--output is now the folder of the tables and figures; results lie in results" in new.err
    old = cli(*named, "--to", tmp_path / "old")
    assert old.code == 0, old.err
    assert "--to is now --output" in old.err
    assert (tmp_path / "old" / "table1.md").read_bytes() == (tmp_path / "new" / "table1.md").read_bytes()
    unread = cli(*named, "--output", tmp_path / "results", "--to", tmp_path / "old")
    assert unread.code == 2
    assert "--results changes nothing of table1" in unread.err  # --output with --to is the folder of results
    twice = cli(
        "reproduce", "table2", "--dataset", small.folder / "small",
        "--output", tmp_path / "x", "--to", tmp_path / "y", "--results", tmp_path / "z",
    )  # fmt: skip
    assert twice.code == 2
    assert "both name the folder" in twice.err


def test_a_folder_of_results_is_refused_as_the_folder_of_tables(cli, small, tmp_path):
    results = write_results(tmp_path / "results", ["a"])
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    refused = cli("reproduce", "table3", "--dataset", small.folder / "small", "--output", results)
    assert refused.code == 2
    assert "this folder holds results" in refused.err
    assert f"--results {results}" in refused.err
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


def test_text_of_the_data_is_only_text():
    hostile = "<script>$x^2$</script> | & \\b {c} **"
    sheet = text_sheet(hostile, (hostile,), ((SheetCell(hostile, "[0, 1]", 1),),), (hostile,), ({"a": hostile},))
    assert "<script>" not in to_markdown([sheet])
    assert "<script>" not in to_html([sheet])
    assert r"\$x" in to_latex([sheet])


def test_a_figure_is_the_same_for_the_same_numbers_and_takes_no_name_for_a_formula(tmp_path):
    for folder in ("one", "two"):
        figure, (axes,) = new_figure(3, 3)
        axes.plot([1, 2], [3, 4], label="a$\\frac{$<b>")
        axes.set_title("50 % of $x_1")
        axes.legend()
        save_figure(figure, tmp_path / folder, "f")
    for suffix in ("svg", "png"):
        assert (tmp_path / "one" / f"f.{suffix}").read_bytes() == (tmp_path / "two" / f"f.{suffix}").read_bytes()
    assert "50 % of $x_1" in (tmp_path / "one" / "f.svg").read_text()
