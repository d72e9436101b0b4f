"""Artist similarity from the command line, on a toy graph of 90 artists."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from support.small_graphs import small_toy

from larpbench import load_results
from larpbench.results.store import read_records
from larpbench.tasks.artist_similarity.settings import graph_layers_installed

QUICK = ("-O", "epochs=1")
pytestmark = pytest.mark.skipif(not graph_layers_installed(), reason="needs torch_geometric")


@pytest.fixture
def toy(tmp_path):
    return small_toy(tmp_path / "toy")


def run(cli, toy, *more, task="artist-similarity"):
    return cli("run", "--task", task, "--dataset", toy, "--output", toy.parent / "results", *more)


def test_a_run_from_features_to_table(cli, toy):
    done = run(cli, toy, "--encoders", "random,clap,clap+acousticbrainz", "-O", "layers=0,1", "--seeds", "2", *QUICK)
    assert done.code == 0, done.err
    assert done.out.startswith("## artist-similarity: toy-artists-3 (epochs=1)\n")
    table, breakdown = done.out.split("## artist-similarity")[1:]
    rows = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines() if line.startswith("|")}
    for name in ("random (control)", "clap", "acousticbrainz+clap"):
        assert {(f"{name} (2 seeds)", "gnn-sage-0"), (f"{name} (2 seeds)", "gnn-sage-1")} <= rows
    assert {("none", "common-neighbours"), ("none", "adamic-adar"), ("none", "walk-cosine")} <= rows
    assert ("clap", "feature-cosine") in rows
    assert {("chance", ""), ("ceiling", "")} <= rows
    assert "artists counted (left out:" in table
    assert "NDCG paper@200" in table
    assert "isolated" in breakdown or "1-2 edges" in breakdown
    frame = None
    for path, record in read_records(toy.parent / "results"):
        assert record.protocol == "artist-similarity-v1/epochs=1"
        frame = pl.read_parquet(path.with_suffix(".playlists.parquet"))
        assert frame.columns[0] == "artist_id"
        assert frame.height == record.counts.playlists
        fit = record.recommender.fit
        assert (fit is not None) == record.cell.recommender.startswith("gnn-")
        if fit is not None:
            assert fit.settings["layers"] == int(record.cell.recommender[-1])
            assert [each["epoch"] for each in fit.facts["history"]] == [0, fit.facts["epochs"]] == [0, 1]
            assert record.costs.fit_wall_s > 0
        else:
            assert "fit" not in json.loads(path.read_text())["recommender"]
    again = run(cli, toy, "--encoders", "random,clap,acousticbrainz+clap", "-O", "layers=0,1", "--seeds", "2", *QUICK)
    assert again.out == done.out
    assert "0 cells computed" in again.err
    planned = cli(
        "plan", "--task", "artist-similarity", "--dataset", toy, "--encoders", "default,tfidf", "-O", "layers=0,3",
        *QUICK, "--seeds", "2", "--output", toy.parent / "results", "--json",
    )  # fmt: skip
    states = {(c["encoder"], c["recommender"], c["seed"]): c["state"] for c in json.loads(planned.out)["cells"]}
    assert states["clap", "gnn-sage-0", 1] == "done"
    assert states["clap", "gnn-sage-3", 0] == "missing"
    assert states["none", "adamic-adar", 0] == "done"
    assert {encoder for encoder, _, _ in states} == {
        "random",
        "acousticbrainz",
        "clap",
        "moods-themes",
        "tfidf",
        "none",
    }
    compared = cli("compare", toy.parent / "results", "clap", "random", "--json")
    metrics = {line["metric"] for line in json.loads(compared.out)}
    assert {"ndcg@200", "mrr@200", "ndcg_paper@200"} <= metrics


def test_variants_of_the_protocol_have_tables_of_their_own(cli, toy):
    common = ("--encoders", "random", "-O", "layers=0", "--seeds", "1", *QUICK)
    assert run(cli, toy, *common).code == 0
    paper = run(cli, toy, *common, "-O", "protocol=paper")
    assert paper.code == 0, paper.err
    cold = run(
        cli, toy, *common, "-O", "visible-edges=none", "-O", "songs=all", "-O", "scaling=all", "-O", "triplets=20"
    )
    assert cold.code == 0, cold.err
    tables = {table.variant: table for table in load_results(toy.parent / "results")}
    assert set(tables) == {
        "epochs=1",
        "paper,epochs=1",
        "fixed,visible-edges=none,songs=all,scaling=all,epochs=1,triplets=20".removeprefix("fixed,"),
    }
    assert "(paper,epochs=1)" in paper.out
    assert "(epochs=1)" not in paper.out
    (record,) = (record for record in tables["paper,epochs=1"].records if record.cell.recommender.startswith("gnn"))
    assert record.encoder.card["dim"] == 2_613
    assert record.recommender.fit.settings["symmetric"] is False
    assert record.recommender.fit.facts["selected_by"] == "nothing: the last epoch counts"
    isolated = [line for line in cold.out.splitlines() if "isolated (" in line]
    assert isolated
    assert "edges (" not in isolated[0]


def test_songs_are_pooled(cli, toy):
    from larpbench.datasets.files import read_dataset
    from larpbench.tasks.artist_similarity.features import artist_features, with_songs

    data = read_dataset(toy)
    assert with_songs(data, data.graph, 1).tracks.height == 90
    two = with_songs(data, data.graph, 2)
    assert two.tracks.height == 180
    vectors = {
        name: np.arange(len(two.split(name).track_ids), dtype=np.float32)[:, None]
        for name in ("train", "valid", "test")
    }
    found = artist_features(two, two.graph, vectors, "all")[:, 0]
    of_song = {song: vectors[name][row, 0] for name in vectors for row, song in enumerate(two.split(name).track_ids)}
    songs = two.graph.songs.group_by("artist_id", maintain_order=True).agg("track_id")
    pooled = np.array([np.mean([of_song[song] for song in row]) for row in songs["track_id"].to_list()])
    assert songs["artist_id"].to_list() == data.graph.ids.tolist()
    np.testing.assert_allclose(found, (pooled - pooled.mean()) / pooled.std(), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--encoders", "clup"), "unknown encoder 'clup'; did you mean clap"),
        (("--encoders", "clap+clap"), "joined with itself"),
        (("--recommenders", "gnn-sage"), "unknown recommender 'gnn-sage'; did you mean"),
        (("--recommenders", "itemknn"), "unknown recommender 'itemknn'"),
        (("-O", "layers=0,two"), "the option layers of the task 'artist-similarity' is '0,two'"),
        (("-O", "layers=1", "--recommenders", "gnn-gat-1"), "the same thing twice"),
        (("-O", "layers=9"), "has 9 layers"),
        (("-O", "protocol=papers"), "is 'papers'"),
        (("-O", "visible-edges=some"), "is 'some'"),
        (("-O", "songs=0"), "is '0'"),
        (("-O", "songs"), "no option with a value"),
        (("-O", "songs=2", "-O", "songs=3"), "is there twice"),
        (("-O", "songs=few"), "allowed: Songs that are pooled per artist"),
        (("--draws", "3"), "--draws is 3"),
    ],
)
def test_what_makes_no_sense_is_said(cli, toy, arguments, message):
    done = run(cli, toy, *arguments)
    assert done.code == 2
    assert message in done.err


def test_tasks_and_data_sets_must_fit(cli, toy, small):
    wrong = run(cli, toy, task="continuation")
    assert wrong.code == 2
    assert "reads data sets of kind playlists, and 'toy-artists-3' is of kind artist-graph" in wrong.err
    wrong = run(cli, small.folder / "small")
    assert wrong.code == 2
    assert "reads data sets of kind artist-graph" in wrong.err
    wrong = run(cli, small.folder / "small", "-O", "protocol=paper", task="continuation")
    assert wrong.code == 2
    assert "the task 'continuation' has no option protocol" in wrong.err


def test_a_song_without_a_vector_fails_its_cells_only(cli, toy, tmp_path):
    ids = pl.read_parquet(toy / "tracks.parquet")["track_id"].to_numpy().astype(str)
    vectors = np.ones((len(ids), 2), dtype=np.float32)
    np.savez(tmp_path / "some.npz", ids=ids[3:], embeddings=vectors[3:])
    np.savez(tmp_path / "holes.npz", ids=ids, embeddings=np.where(np.arange(len(ids))[:, None] < 3, np.nan, vectors))
    options = ("-O", "layers=0", "--seeds", "1", *QUICK)
    refused = run(cli, toy, "--encoders", f"precomputed:{tmp_path / 'some.npz'}", *options)
    assert refused.code == 3
    assert "tracks have no vector: 'artist-00000-song-0'" in refused.err
    done = run(cli, toy, "--encoders", f"precomputed:{tmp_path / 'holes.npz'}", *options)
    assert done.code == 1
    assert "tracks: 'artist-00000-song-0'" in done.err
    assert "| none | walk-cosine |" in done.out


def test_the_figure_is_reproduced_and_resumed(cli, toy, tmp_path, monkeypatch):
    from dataclasses import replace

    from larpbench.tasks.artist_similarity import settings

    quick = {name: replace(training, epochs=1, width=16) for name, training in settings.TRAINING.items()}
    monkeypatch.setattr(settings, "TRAINING", quick)
    command = (
        "reproduce", "artist-similarity", "--dataset", toy, "--encoders", "clap,acousticbrainz+clap",
        "--seeds", "2", "--results", tmp_path / "results", "--output", tmp_path / "reproduced",
    )  # fmt: skip
    done = cli(*command)
    assert done.code == 0, done.err
    names = {line.rpartition("/")[2] for line in done.out.split()}
    drawn = ("artist-similarity-figure1a", "artist-similarity-figure1b", "artist-similarity-lines")
    assert names == {f"artist-similarity.{suffix}" for suffix in ("md", "tex", "csv", "json")} | {
        f"{name}.{suffix}" for name in drawn for suffix in ("svg", "png")
    }
    page = (tmp_path / "reproduced" / "artist-similarity.md").read_text()
    assert "| clap | 4 |" in page
    assert "0.3946 ± 0.0018" in page
    assert "walk-cosine" in page
    lines = pl.read_csv(tmp_path / "reproduced" / "artist-similarity.csv", infer_schema_length=None)
    assert lines.height == 2 * 5 * 2
    own = lines.filter(
        (pl.col("features") == "clap") & (pl.col("layers") == 1) & (pl.col("metric") == "ndcg_paper@200")
    )
    assert own["seeds"].item() == 2
    assert own["published_mean"].item() == 0.2974
    svg = (tmp_path / "reproduced" / "artist-similarity-figure1a.svg").read_text()
    again = cli(*command)
    assert again.code == 0
    assert "[1/" not in again.err
    assert (tmp_path / "reproduced" / "artist-similarity-figure1a.svg").read_text() == svg
    refused = cli("reproduce", "artist-similarity", "--dataset", toy, "--encoders", "clap,nothing")
    assert refused.code == 2
    assert "unknown encoder 'nothing'" in refused.err


def test_the_flags_of_larpbench_0_1_are_options_of_the_task(cli, toy):
    command = ("plan", "--task", "artist-similarity", "--dataset", toy, "--encoders", "clap", "--json")
    earlier = cli(*command, "--layers", "0", "--epochs=1", "--songs", "all")
    now = cli(*command, "-O", "layers=0", "-O", "epochs=1", "-O", "songs=all")
    assert (earlier.code, now.code) == (0, 0), earlier.err + now.err
    assert earlier.out == now.out
    assert "note: --epochs is now a task option: -O epochs=1 (--epochs works in this version only)" in earlier.err
    assert now.err == ""
