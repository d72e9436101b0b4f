"""Recommenders that learn, through the command line: tuning, seeds, records, what cannot run."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.planted_world import planted

from larpbench.recommenders.base import TUNING_VERSION
from larpbench.recommenders.training import GradientRecommender
from larpbench.recommenders.tuning import Learner

LEARNED = ("clcrec", "dropoutnet", "dropoutnet-content", "ridge")


def write_world(folder: Path, cli, *, test_seed: int = 0) -> tuple[Path, Path]:
    """Build a data set of a planted world; another `test_seed` changes its test split and nothing else."""
    worlds = {"train": planted(tracks=90, playlists=60), "test": planted(test_seed, tracks=90, playlists=60)}
    given, tested = worlds["train"], worlds["test"]
    splits = [given.train.split, given.valid.split, tested.test_split]
    tracks = pl.concat([s.tracks.with_columns(split=pl.lit(s.name), title=pl.col("track_id")) for s in splits])
    entries = pl.concat([s.entries.with_columns(role=pl.col("role").replace("member", "")) for s in splits])
    folder.mkdir()
    tracks.with_columns(album=pl.lit("")).write_csv(folder / "tracks.csv")
    entries.write_csv(folder / "playlists.csv")
    vectors = np.concatenate([given.train.embeddings, given.valid.embeddings, tested.test_embeddings])
    np.savez(folder / "vectors.npz", ids=tracks["track_id"].to_numpy().astype(str), embeddings=vectors)
    built = cli(
        "dataset", "build", "csv", "--tracks", folder / "tracks.csv", "--playlists", folder / "playlists.csv",
        "--output", folder / "data",
    )  # fmt: skip
    assert built.code == 0, built.err
    return folder / "data", folder / "vectors.npz"


def records(output: Path) -> dict[tuple[str, int], dict]:
    found = [json.loads(path.read_text()) for path in output.glob("*/*/*/*/*.json")]
    return {(each["cell"]["recommender"], each["cell"]["seed"]): each for each in found}


def run(cli, data, vectors, output, *options):
    return cli(
        "run", "--dataset", data, "--encoders", f"precomputed:{vectors}", "--output", output, "--budget", "2",
        "--seeds", "2", *options,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def ten_epochs():
    """As many as three rungs of trials need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GradientRecommender, "epochs", 10)
        yield


@pytest.fixture(scope="module")
def world(cli_once, tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world") / "world", cli_once)


@pytest.fixture(scope="module")
def everything(cli_once, world, tmp_path_factory):
    """The results of all recommenders."""
    output = tmp_path_factory.mktemp("everything") / "r"
    outcome = run(cli_once, *world, output, "--recommenders", "all")
    assert outcome.code == 0, outcome.err
    return output


def test_all_recommenders_run_and_the_record_tells_how_they_were_tuned(cli, world, everything, tmp_path):
    shutil.copytree(everything, tmp_path / "r")
    found = records(tmp_path / "r")
    assert set(found) == {(name, seed) for name in LEARNED for seed in (0, 1)} | {
        (name, 0) for name in ("itemknn", "itemknn-cosine", "itemknn-dot")
    }
    for (name, seed), record in found.items():
        part, costs = record["recommender"], record["costs"]
        assert record["status"] == "ok"
        assert record["interval"] == "score-bootstrap-1"
        if name not in LEARNED:
            assert (part["params"], part["budget"], part["trials"]) == ({}, None, [])
            continue
        assert part["budget"] == len(part["trials"]) == len(costs["trial_wall_s"]) == 2
        best = max(part["trials"], key=lambda trial: trial["valid_recall"])
        assert part["params"] == best["params"]
        valid, steps = part.pop("valid"), name != "ridge"
        assert part == {k: v for k, v in found[name, 0]["recommender"].items() if k != "valid"}  # seed 0 tunes for all
        assert 0 < valid["chance"] < valid["frozen"] < 1
        assert valid["best"] >= (valid["start"] if steps else 0)
        assert seed or valid["best"] == best["valid_recall"]
        assert part["tuning"] == TUNING_VERSION
        rungs = [len(trial.get("rungs", ())) for trial in part["trials"]]
        assert sorted(rungs) == ([2, 3] if steps else [0, 0])
        assert [len(times) for times in costs.get("rung_wall_s", [[], []])] == rungs
        for trial, seconds in zip(part["trials"], costs["trial_wall_s"], strict=True):
            assert seconds > 0
            for rung in trial.get("rungs", ()):
                assert 0 < rung["epoch"] <= 10
                assert rung["valid_recall"] <= trial["valid_recall"]
        assert [valid[each] is not None for each in ("start", "best_epoch", "ended")] == [steps] * 3
        assert costs["fit_wall_s"] > 0
        recall = {metric["name"]: metric for metric in record["metrics"]}["recall@10"]
        assert recall["value"] > 1.2 * recall["chance"], (name, seed)  # of a tiny world
    ranked = {
        seed: pl.read_parquet(next((tmp_path / "r").glob(f"*/*/*/clcrec/{found['clcrec', seed]['key']}*.parquet")))
        for seed in (0, 1)
    }
    assert not ranked[0].equals(ranked[1])
    again = run(cli, *world, tmp_path / "r", "--recommenders", "all")
    assert "0 cells computed, 11 kept" in again.err


def test_a_run_that_goes_on_takes_the_tuning_from_the_record(cli, world, tmp_path):
    both = "ridge,clcrec"
    assert run(cli, *world, tmp_path / "r", "--recommenders", both).code == 0
    found = records(tmp_path / "r")
    for name in ("ridge", "clcrec"):
        for path in (tmp_path / "r").glob(f"*/*/*/{name}/{found[name, 1]['key']}*"):
            path.unlink()
    again = run(cli, *world, tmp_path / "r", "--recommenders", both)
    assert again.code == 0
    assert "tune" not in again.err
    after = records(tmp_path / "r")
    for name in ("ridge", "clcrec"):
        for part in ("metrics", "recommender", "key"):
            assert after[name, 1][part] == found[name, 1][part]
        assert not any(after[name, 1]["costs"]["trial_wall_s"])
    before = found["ridge", 1]
    shutil.rmtree(tmp_path / "r")
    alone = run(cli, *world, tmp_path / "r", "--recommenders", "ridge", "--if", "always")
    assert alone.err.count("tune ridge") == 1
    assert records(tmp_path / "r")["ridge", 1]["metrics"] == before["metrics"]


def test_seeds_learn_side_by_side_and_score_the_same(cli, world, tmp_path, monkeypatch):
    found = {}
    for cores in (1, 3):
        monkeypatch.setattr("larpbench.recommenders.tuning.cores", lambda n=cores: n)
        fits = []
        monkeypatch.setattr(
            "larpbench.recommenders.tuning.Learner.fit_ahead",
            lambda self, name, kind, data, real=Learner.fit_ahead, fits=fits: (
                fits.append(sorted(data)),
                real(self, name, kind, data),
            )[1],
        )
        output = tmp_path / f"r{cores}"
        done = run(cli, world[0], world[1], output, "--encoders", "random", "--recommenders", "ridge", "--seeds", "5")
        assert done.code == 0, done.err
        found[cores] = {cell: each["metrics"] for cell, each in records(output).items()}
        assert fits == ([] if cores == 1 else [[1, 2, 3], [4]])
    assert len(found[1]) == 5
    assert found[1] == found[3]
    assert found[1]["ridge", 1] != found[1]["ridge", 2]  # each seed has vectors of its own


def test_what_is_chosen_does_not_depend_on_test(cli, everything, tmp_path):
    other = write_world(tmp_path / "other", cli, test_seed=7)
    outcome = run(cli, *other, tmp_path / "o", "--recommenders", ",".join(LEARNED))
    assert outcome.code == 0, outcome.err
    one, two = records(everything), records(tmp_path / "o")
    assert set(two) == {cell for cell in one if cell[0] in LEARNED}
    for cell in two:
        record = one[cell]
        assert record["recommender"] == two[cell]["recommender"]
        assert record["metrics"] != two[cell]["metrics"]


def test_budget_and_seed_are_in_the_key_and_the_plan_says_what_would_run(cli, world, tmp_path):
    data, vectors = world

    def keys(*options):
        made = cli(
            "plan", "--dataset", data, "--encoders", f"precomputed:{vectors}", "--recommenders", "ridge,itemknn",
            "--output", tmp_path / "r", "--json", *options,
        )  # fmt: skip
        assert made.code == 0, made.err
        return {(cell["recommender"], cell["seed"]): cell["key"] for cell in json.loads(made.out)["cells"]}

    small, large = keys("--budget", "2", "--seeds", "2"), keys("--budget", "3", "--seeds", "2")
    assert set(small) == {("itemknn", 0), ("ridge", 0), ("ridge", 1)}
    assert small["itemknn", 0] == large["itemknn", 0]
    assert small["ridge", 0] != large["ridge", 0]
    assert small["ridge", 0] != small["ridge", 1]
    assert cli("plan", "--dataset", data, "--budget", "0").code == 2


def test_without_train_playlists_they_cannot_run(cli, small):
    data = small.folder / "small"
    every = cli(
        "plan", "--dataset", data, "--encoders", "tfidf", "--recommenders", "all", "--output", small.folder / "r"
    )
    assert every.code == 0
    assert "cannot run: ridge: it learns from playlists, and the train split of 'small' has none" in every.err
    assert "3 of 3 cells to run" in every.out
    asked = cli(
        "run", "--dataset", data, "--encoders", "tfidf", "--recommenders", "ridge", "--output", small.folder / "r"
    )
    assert asked.code == 3
    assert "1 of those named cannot run: ridge" in asked.err
    assert not (small.folder / "r").exists()


def test_an_encoder_that_ruins_every_trial_fails_its_cells_with_the_reason(cli, world, tmp_path, monkeypatch):
    from larpbench.recommenders.ridge import Ridge

    def broken(self, train, valid):
        raise FloatingPointError("too large")

    monkeypatch.setattr(Ridge, "fit", broken)
    outcome = run(cli, *world, tmp_path / "r", "--recommenders", "ridge,itemknn")
    assert outcome.code == 1
    found = records(tmp_path / "r")
    assert found["itemknn", 0]["status"] == "ok"
    for seed in (0, 1):
        message = found["ridge", seed]["failure"]["message"]
        assert message.startswith("all 2 trials of ridge failed; the first: FloatingPointError: too large")
    assert outcome.err.count("tune ridge") == 1


def test_the_command_line_and_python_have_the_same_default_budget():
    from larpbench.cli import plan, run
    from larpbench.recommenders.base import DEFAULT_BUDGET

    for verb in (plan.plan, run.run):
        assert inspect.signature(verb).parameters["budget"].default == DEFAULT_BUDGET
