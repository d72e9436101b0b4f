"""Measures beyond accuracy in records and tables, and `--similarity-by`."""

from __future__ import annotations

import json
import re

import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables
from support.small_graphs import small_toy

import larpbench
from larpbench.errors import UsageError
from larpbench.evaluation.beyond.measures import RANGES, SIMILARITY
from larpbench.evaluation.popularity import track_popularity

CUTOFFS = (10, 20, 40)
ALWAYS = {f"{name}@{k}" for name in RANGES if name != SIMILARITY for k in CUTOFFS}
ALONE = ("recall@10", "popularity@10", "popularity_bias@10", "novelty@10", "new_artists@10")
TOGETHER = ("gini@10", "coverage@10", "artist_gini@10", "artist_coverage@10")


def records(folder):
    return {
        (record["cell"]["encoder"], record["cell"]["seed"]): record
        for path in folder.glob("*/*/*/*/*.json")
        if (record := json.loads(path.read_text()))
    }


def by_name(record):
    return {metric["name"]: metric for metric in record["beyond"]}


@pytest.fixture
def run(cli, small, tmp_path):
    """Run two encoders on the small data set."""

    def call(*more, encoders="random,same-artist"):
        done = cli(
            "run", "--dataset", small.folder / "small", "--encoders", encoders, "--output", tmp_path / "r", *more
        )
        assert done.code == 0, done.err
        return tmp_path / "r"

    return call


def test_every_record_holds_them_with_chance_and_the_lists_give_them(cli, run, small):
    results = run("--seeds", "2")
    dataset = larpbench.load_dataset(small.folder / "small")
    test = dataset.split("test")
    rank = dict(zip(test.track_ids.tolist(), track_popularity(dataset).tolist(), strict=True))
    artist = dict(zip(test.track_ids.tolist(), test.artist_codes.tolist(), strict=True))
    share = {each: np.mean([(n < rank[each]) + (n == rank[each]) / 2 for n in rank.values()]) for each in rank}
    bits = {each: np.log2(30 / max(n, 1)) for each, n in rank.items()}
    seeds = {name: set() for name in test.entries["playlist_id"]}
    for playlist, track in test.entries.filter(pl.col("role") == "seed").select("playlist_id", "track_id").iter_rows():
        seeds[playlist].add(track)
    for path in results.glob("*/*/*/*/*.json"):
        record = json.loads(path.read_text())
        found = by_name(record)
        assert set(found) == ALWAYS
        assert all(metric["ceiling"] is None and metric["chance"] is not None for metric in found.values())
        frame = pl.read_parquet(path.with_suffix(".playlists.parquet"))
        for row in frame.iter_rows(named=True):
            listed, known = row["ranked"][:10], {artist[each] for each in seeds[row["playlist_id"]]}
            popularity = np.mean([share[each] for each in listed])
            assert row["popularity@10"] == pytest.approx(popularity)
            assert row["popularity_bias@10"] == pytest.approx(popularity - np.mean([share[x] for x in row["heldout"]]))
            assert row["novelty@10"] == pytest.approx(np.mean([bits[each] for each in listed]))
            assert row["new_artists@10"] == pytest.approx(np.mean([artist[each] not in known for each in listed]))
        for name in ("popularity@10", "novelty@20", "new_artists@40"):
            assert found[name]["value"] == pytest.approx(frame[name].mean())
            assert found[name]["ci_low"] < found[name]["value"] < found[name]["ci_high"] or not found[name]["value"]
        listed = frame["ranked"].list.head(10).explode()
        assert found["coverage@10"]["value"] == listed.n_unique() / len(rank)
        x = np.sort([listed.to_list().count(each) for each in rank])
        assert found["gini@10"]["value"] == pytest.approx(np.abs(x[:, None] - x).mean() / (2 * x.mean()))
    found = {name: by_name(record) for name, record in records(results).items()}
    assert found["same-artist", 0]["new_artists@10"]["value"] < 0.5 * found["random", 0]["new_artists@10"]["value"]
    one, other = found["random", 0], found["random", 1]
    assert {name: metric["chance"] for name, metric in one.items()} == {
        name: metric["chance"] for name, metric in other.items()
    }
    for name in ("popularity@10", "novelty@10", "new_artists@10", "artist_coverage@10"):
        assert one[name]["value"] == pytest.approx(one[name]["chance"], rel=0.2)
    assert cli("results", "check", results).code == 0


def test_tables_show_them_on_request_only(cli, run, tmp_path):
    results = run("--seeds", "2")
    usual = cli("table", results).out
    assert "opularity" not in usual
    assert "Gini" not in usual
    shown = cli("table", results, "--metrics", ",".join([*ALONE, *TOGETHER]))
    assert shown.code == 0, shown.err
    lines = {line.split(" | ")[0]: line.split(" | ") for line in shown.out.splitlines() if line.startswith("| ")}
    assert "Recall@10 ↑" in shown.out
    assert "Popularity@10 |" in shown.out  # more is not better
    assert lines["| ceiling"][3:-1] == ["n/a"] * 8
    assert all(0 <= float(cell) <= 6 for cell in (*lines["| chance"][2:4], *lines["| chance"][5:-1]))
    row = next(cells for name, cells in lines.items() if name.startswith("| random"))
    assert all("[" in cell for cell in row[2:7])
    assert not any("[" in cell or "*" in cell for cell in row[7:11])
    alone = cli("table", results, "--metrics", "gini@10", "--sort", "novelty@20")
    assert alone.code == 0, alone.err
    long = pl.read_csv(cli("table", results, "--format", "csv").out.encode(), infer_schema_length=None)
    assert set(long["metric"]) >= ALWAYS
    assert long.height == long.select("encoder", "seed", "metric").n_unique()
    assert long.filter(pl.col("metric").is_in(list(ALWAYS)))["chance"].null_count() == 0
    assert cli("results", "export", results, tmp_path / "all.parquet").code == 0
    assert set(pl.read_parquet(tmp_path / "all.parquet")["metric"]) >= ALWAYS
    assert cli("report", results, "--output", tmp_path / "report").code == 0
    pages = [re.sub("<wbr>", "", page.read_text()) for page in (tmp_path / "report" / "cells").glob("*.html")]
    assert pages
    assert all("artist_gini@10" in page for page in pages)


def test_results_without_them_print_n_a_and_say_how_they_come(cli, run):
    results = run()
    (path,) = results.glob("*/*/same-artist/*/*.json")
    record = json.loads(path.read_text())
    del record["beyond"]
    path.write_text(json.dumps(record))  # as an earlier version wrote it
    shown = cli("table", results, "--metrics", "recall@10,gini@10")
    assert shown.code == 0, shown.err
    assert "n/a: results of same-artist hold no gini@10" in shown.out
    assert "a new run (larpbench run --if always)" in shown.out
    for path in results.glob("*/*/*/*/*.json"):
        record = json.loads(path.read_text())
        record.pop("beyond", None)
        path.write_text(json.dumps(record))
    none = cli("table", results, "--metrics", "gini@10")
    assert none.code == 2
    assert "no result holds gini@10" in none.err
    assert "--if always" in none.err
    assert "ndcg" not in none.err
    assert cli("table", results).code == 0


def test_a_record_that_contradicts_itself_is_found(cli, run):
    results = run("--seeds", "1", encoders="same-artist")
    (path,) = results.glob("*/*/same-artist/*/*.json")
    right = path.read_text()
    popularity = by_name(json.loads(right))["popularity@10"]["value"]
    for name, field, value, message in (
        ("gini@10", "value", 0.123, "that of its lists"),
        ("coverage@20", "value", 0.5, "in one place"),
        ("popularity@10", "value", popularity + 1e-5, "the mean over its playlists"),
        ("novelty@10", "value", -1.0, "is not in [0, inf]"),
        ("new_artists@10", "chance", 1.5, "is not in [0, 1]"),
        ("popularity_bias@10", "ci_low", 0.9, "outside of its interval"),
        ("novelty@10", "ci_high", 99.0, "the interval of novelty@10"),
        ("artist_gini@10", "chance", None, "lacks a chance"),
        ("artist_gini@10", "n", 1, "counts 1 playlists"),
    ):
        record = json.loads(right)
        by_name(record)[name][field] = value
        path.write_text(json.dumps(record))
        done = cli("results", "check", results)
        assert (done.code, message in done.out) == (1, True), (name, done.out)


def test_a_second_encoder_says_how_similar_the_tracks_of_a_list_are(cli, run, small):
    results = run("--seeds", "1")
    without = records(results)["same-artist", 0]
    assert "similarity" not in without
    run("--seeds", "1", "--similarity-by", f"own=precomputed:{small.vectors}")
    paths = [path for path in results.glob("*/*/same-artist/*/*.json") if "similarity" in path.read_text()]
    record = json.loads(paths[0].read_text())
    assert record["key"] != without["key"]
    assert record["metrics"] == without["metrics"]
    assert record["similarity"]["encoder"] == "own"
    assert str(small.folder) not in paths[0].read_text()
    data = np.load(small.vectors)
    unit = {str(key): v / np.linalg.norm(v) for key, v in zip(data["ids"], data["embeddings"], strict=True)}
    frame = pl.read_parquet(paths[0].with_suffix(".playlists.parquet"))
    for row in frame.iter_rows(named=True):
        vectors = np.array([unit[each] for each in row["ranked"][:10]])
        pairs = (vectors @ vectors.T)[np.triu_indices(10, 1)]
        assert row["intra_list_similarity@10"] == pytest.approx(pairs.mean(), abs=1e-5)
    kept = run("--seeds", "1", "--similarity-by", f"own=precomputed:{small.vectors}")
    assert len(list(kept.glob("*/*/same-artist/*/*.json"))) == 2
    shown = cli("table", results, "--metrics", f"recall@10,{SIMILARITY}@10")
    assert shown.code == 0, shown.err
    assert "by the vectors of own." in shown.out.replace("\\", "")
    assert "Intra list similarity@10 |" in shown.out
    assert cli("results", "check", results).code == 0
    # Results by another encoder do not stand in the same column.
    run("--seeds", "1", "--similarity-by", "tfidf", encoders="same-artist,tfidf")
    shown = cli("table", results, "--metrics", f"recall@10,{SIMILARITY}@10").out.replace("\\", "")
    row = next(line for line in shown.splitlines() if line.startswith("| random"))
    assert row.split(" | ")[3] == "n/a"
    assert f"n/a: results of random hold no {SIMILARITY}@10" in shown
    assert "The lists of tfidf are compared by the same vectors that they were made with." in shown


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "unknown encoder 'nothing'"),
        ("all", "--similarity-by all"),
        ("precomputed:absent.npz", "there is no file absent.npz"),
        ("handcrafted", "needs audio"),
        ("tfidf,random", "unknown encoder 'tfidf,random'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_run(cli, small, tmp_path, name, message):
    for verb in ("plan", "run"):
        done = cli(
            verb, "--dataset", small.folder / "small", "--encoders", "random", "--similarity-by", name,
            "--output", tmp_path / "results",
        )  # fmt: skip
        assert done.code in (2, 3, 4), done
        assert message in done.err
        assert not (tmp_path / "results").exists()


def test_a_second_encoder_that_fails_ends_the_run_and_no_cell_is_recorded(cli, small, tmp_path):
    broken = small.folder / "broken.npz"
    data = np.load(small.vectors)
    np.savez(broken, ids=data["ids"], embeddings=np.where(data["ids"][:, None] == "t00003", np.nan, data["embeddings"]))
    done = cli(
        "run", "--dataset", small.folder / "small", "--encoders", "random", "--similarity-by", f"precomputed:{broken}",
        "--output", tmp_path / "results",
    )  # fmt: skip
    assert done.code != 0
    assert "t00003" in done.err
    assert not list((tmp_path / "results").glob("*/*/*/*/*.json"))


def test_plan_and_evaluate_take_a_second_encoder(cli, tmp_path):
    dataset = build_split_tables(tmp_path / "data", tracks=60, playlists=12)
    ids = dataset.split("test").track_ids
    vectors = np.random.default_rng(0).normal(size=(len(ids), 4)).astype(np.float32)
    results = larpbench.evaluate("tfidf", dataset, similarity_by=(ids, vectors), output=tmp_path / "results")
    frame = results.to_polars().filter(pl.col("metric") == f"{SIMILARITY}@10")
    assert frame["chance"].item() == pytest.approx(0, abs=0.05)
    assert -1 <= frame["value"].item() <= 1
    planned = cli("plan", "--dataset", dataset.folder, "--encoders", "tfidf", "--similarity-by", "random", "--json")
    assert json.loads(planned.out)["similarity_by"] == {
        "encoder": "random",
        "tracks_to_encode": len(ids),
        "to_train": [],
    }
    assert (
        "similarity by random (tracks to encode: 60)"
        in cli("plan", "--dataset", dataset.folder, "--encoders", "tfidf", "--similarity-by", "random").out
    )
    with pytest.raises(UsageError, match="is no encoder"):
        larpbench.plan(dataset, encoders="tfidf", similarity_by=17)


def test_of_artists_there_are_coverage_and_concentration_alone(cli, tmp_path):
    toy = small_toy(tmp_path / "toy")
    call = ("--task", "artist-similarity", "--dataset", toy, "--output", tmp_path / "results", "--encoders", "random")
    done = cli("run", *call, "--recommenders", "common-neighbours", "--seeds", "1")
    assert done.code == 0, done.err
    found = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*/*/*/*/*.json")]
    assert found
    for record in found:
        assert set(by_name(record)) == {f"{name}@{k}" for name in ("coverage", "gini") for k in (10, 50, 200)}
    refused = cli("plan", *call, "--similarity-by", "tfidf")
    assert refused.code == 2
    assert "does not rank the test tracks" in refused.err
    assert cli("results", "check", tmp_path / "results").code == 0
