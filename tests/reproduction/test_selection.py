"""`larpbench reproduce --encoders --recommenders --seeds`: parts of the papers' tables, and own rows beside them."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.small_data import build_heard, write_library
from support.small_graphs import small_toy
from support.small_larp import small_recipe

from larpbench.encoders.larp import specs
from larpbench.encoders.run import pipeline
from larpbench.reproduction.artist_similarity import FIGURE_1A, FIGURE_1B
from larpbench.reproduction.selection import select, select_encoders, shown_name
from larpbench.results.published import published_scores
from larpbench.tasks.artist_similarity import settings

TRACKS = 30


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """A small data set with audio, and vectors for its tracks."""
    folder = tmp_path_factory.mktemp("heard")
    data = build_heard(folder / "heard", write_library(folder / "library", TRACKS), TRACKS)
    ids = data.tracks["track_id"].to_numpy().astype(str)
    np.savez(folder / "mine.npz", ids=ids, embeddings=np.random.default_rng(0).normal(size=(len(ids), 4)))
    return data


@pytest.fixture
def reproduce(cli, heard, tmp_path):
    def call(*arguments):
        where = ("--results", tmp_path / "results", "--output", tmp_path / "made")
        return cli("reproduce", *arguments, "--dataset", heard.folder, "--budget", "1", *where)

    return call


def lines(folder, target, metric="recall@10"):
    with (folder / "made" / f"{target}.csv").open(newline="") as stream:
        return [line for line in csv.DictReader(stream) if line["metric"] == metric]


def ours(found):
    return [(line["recommender"], line["encoder"]) for line in found if line["source"] == "larpbench"]


def printed(found):
    return {(line["recommender"], line["encoder"], line["dataset"]) for line in found if line["source"] == "the paper"}


def test_a_part_of_a_table_with_its_published_numbers(reproduce, tmp_path):
    done = reproduce(
        "table2", "--encoders", "random,clap-pt,jukebox", "--recommenders", "ridge,itemknn", "--seeds", "2"
    )
    assert done.code == 0, done.err
    found = lines(tmp_path, "table2")
    encoders = ("jukebox", "clap-pt", "random")  # in the order of the paper's table
    assert ours(found) == [(recommender, each) for recommender in ("itemknn", "ridge") for each in encoders]
    assert printed(found) == {("ItemKNN", name, d) for name in ("Jukebox", "CLAP-PT") for d in ("MPD", "LFM")}
    assert {line["seeds"] for line in found if line["encoder"] == "random"} == {"2"}
    told = [line for line in done.err.splitlines() if line.startswith("not run: ")]
    assert [line.rpartition(": ")[2] for line in told[2:]] == [
        "not asked for (--encoders).",
        "not asked for (--recommenders).",
    ]
    for line, name in zip(told[:2], ("jukebox", "clap-pt"), strict=True):
        assert line.startswith(f"not run: {name}: missing-")
        assert "(next: " in line, "what gets the weights"
    beside = "centred:handcrafted+centred:tfidf, factors"
    assert f"mule, co-playlist, clap-ft, larp-tpc-fusion, {beside}, handcrafted, tfidf, same-artist:" in told[2]
    assert "dropoutnet, dropoutnet-content, clcrec:" in told[3]
    text = (tmp_path / "made" / "table2.md").read_text()
    for line in told:
        assert f"- {line}" in text.replace("\\", "")


def test_own_rows_stand_beside_all_that_the_paper_has(reproduce, heard, tmp_path):
    vectors = heard.folder.parent / "mine.npz"
    names = f"tfidf,mine=precomputed:{vectors},precomputed:{vectors}"
    done = reproduce("table3", "--encoders", names, "--recommenders", "itemknn,itemknn-dot")
    assert done.code == 0, done.err
    found = lines(tmp_path, "table3")
    own = ("tfidf", "mine", "precomputed:mine.npz")
    assert ours(found) == [(recommender, name) for recommender in ("itemknn", "itemknn-dot") for name in own]
    assert all(line["value"] and line["ci_low"] and line["chance"] for line in found if line["source"] == "larpbench")
    assert printed(found) == {(row.recommender, row.encoder, row.dataset) for row in published_scores("table3")}
    beside = "centred:handcrafted+centred:tfidf, factors"
    assert (
        f"not run: bert, htsat, larp-untrained, larp-wtc, larp-ttc, larp-tpc, larp-tpc-fusion, {beside}, " in done.err
    )
    for path in (tmp_path / "made").glob("table3.*"):
        assert str(heard.folder.parent) not in path.read_text(), "no folder of the user's machine"


def test_figures_of_some_encoders(reproduce, heard, tmp_path):
    own = f"mine=precomputed:{heard.folder.parent / 'mine.npz'}"
    done = reproduce("table1", "figure3", "figure5", "--encoders", f"larp-wtc,{own}", "--seeds", "1")
    assert done.code == 2
    assert "note: --encoders changes nothing of table1\n" in done.err
    assert "error: figure5: figure5 shows recall over epochs, and mine is not trained" in done.err
    with (tmp_path / "made" / "figure3.csv").open() as stream:
        assert {line["encoder"] for line in csv.DictReader(stream)} == {"larp-wtc", "mine"}
    beside = "centred:handcrafted+centred:tfidf, factors"
    assert f"not run: bert, htsat, larp-untrained, larp-ttc, larp-tpc, larp-tpc-fusion, {beside}: not ask" in done.err
    curves = reproduce("figure5", "--encoders", "larp-wtc,first=larp-wtc", "--seeds", "1")
    assert curves.code == 0, curves.err
    text = (tmp_path / "made" / "figure5.md").read_text()
    assert "| first |" in text
    assert f"- not run: larp-ttc, larp-tpc-fusion, {beside}: not asked for (--encoders)." in text


def test_wrong_input(reproduce, cli, heard):
    for arguments, said in (
        (("table3", "--encoders", "tfidff"), "unknown encoder 'tfidff'; did you mean tfidf"),
        (("table3", "--recommenders", "itemkn"), "unknown recommender 'itemkn'; did you mean itemknn"),
        (("table3", "--encoders", ","), "names nothing"),
        (("table1", "--encoders", "tfidf"), "--encoders changes nothing of table1"),
        (("figure4", "--encoders", "tfidf"), "--encoders changes nothing of figure4"),
        (("figure3", "--recommenders", "ridge"), "--recommenders changes nothing of figure3"),
        (("table3", "--encoders", "a=tfidf,a=random"), "'a'"),
    ):
        done = reproduce(*arguments)
        assert done.code == 2, (arguments, done.err)
        assert said in done.err
    alone = reproduce("table3", "--encoders", "bert")
    assert alone.code == 3
    assert "none of the encoders can run on 'heard': bert: " in alone.err


def test_features_and_layers_of_the_second_paper(cli, tmp_path, monkeypatch):
    quick = {name: replace(training, epochs=1, width=16) for name, training in settings.TRAINING.items()}
    monkeypatch.setattr(settings, "TRAINING", quick)
    toy = small_toy(tmp_path / "toy")
    where = ("--seeds", "1", "--results", tmp_path / "results", "--output", tmp_path / "made")
    part = ("--encoders", "clap+acousticbrainz,mine=clap", "--recommenders", "gnn-sage-0")
    done = cli("reproduce", "artist-similarity", "--dataset", toy, *part, *where)
    assert done.code == 0, done.err
    with (tmp_path / "made" / "artist-similarity.csv").open() as stream:
        found = [line for line in csv.DictReader(stream) if line["metric"] == "ndcg_paper@200"]
    assert {line["layers"] for line in found} == {"0"}
    run = {line["features"]: line for line in found if line["mean"]}
    assert set(run) == {"acousticbrainz+clap", "mine"}
    assert run["acousticbrainz+clap"]["published_mean"]
    assert not run["mine"]["published_mean"]
    others = [line for line in found if not line["mean"]]
    assert len(others) == 7
    assert all(line["published_mean"] and line["note"] == "not asked for" for line in others)
    assert "not run: gnn-sage-1, gnn-sage-2, gnn-sage-3, gnn-sage-4: not asked for (--recommenders)." in done.err
    part = ("--encoders", "mine=clap,default", "--recommenders", "gnn-sage-0")
    whole = cli("reproduce", "artist-similarity", "--dataset", toy, *part, *where)
    assert whole.code == 0, whole.err
    assert "(--encoders)" not in whole.err, "default stands for the rows of the paper"
    with (tmp_path / "made" / "artist-similarity.csv").open() as stream:
        run = {line["features"] for line in csv.DictReader(stream) if line["mean"]}
    assert run == {*FIGURE_1A, *FIGURE_1B, "mine"}
    wrong = cli("reproduce", "artist-similarity", "--dataset", toy, "--recommenders", "ridge", *where)
    assert wrong.code == 2
    assert "unknown recommender 'ridge'" in wrong.err


@pytest.mark.parametrize(
    ("asked", "names", "own", "left_out"),
    [
        ((), "abc", "", ""),
        (("default",), "abc", "", ""),
        (("c", "a", "c"), "ac", "", "b"),
        (("x", "b", "x"), "bx", "x", "ac"),
        (("x", "default"), "abcx", "x", ""),
        (("all",), "abcz", "z", ""),
        (("all", "b"), "abcz", "z", ""),
        (("B",), "b", "", "ac"),
    ],
)
def test_what_names_stand_for(asked, names, own, left_out):
    found = select(asked, tuple("abc"), lambda: tuple("zcab"), str.lower)
    assert (found.names, found.own, found.left_out) == (tuple(names), tuple(own), tuple(left_out))


def test_other_spellings_of_the_papers_encoders():
    of_paper = ("mule", "larp-tpc-fusion@mpd:paper", "larp-tpc-fusion:paper", "clap-ft:paper")
    written = ("larp", "larp@mpd", "clap-ft", "larp-tpc-fusion:tiny", "mine=larp", "mule")
    found = select_encoders(SimpleNamespace(encoders=written, size="paper"), of_paper)
    assert found.names == (*of_paper, "larp-tpc-fusion:tiny", "mine=larp")
    assert not found.left_out


def test_names_that_are_shown_hold_no_folder():
    assert shown_name("mine=text:/data/mine/model") == "mine"
    assert shown_name("text:/data/mine/model") == "text:model"
    assert shown_name("text:someone/model") == "text:someone/model"
    assert shown_name("mule") == "mule"
