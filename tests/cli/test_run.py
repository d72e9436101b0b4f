from __future__ import annotations

import json

import numpy as np
import pytest
from support import forked
from support.small_data import random_tables, write_tables

SEVEN = ["recall", "ndcg"]


def records(folder):
    return {path: json.loads(path.read_text()) for path in sorted(folder.glob("*/*/*/*/*.json"))}


def test_unknown_names_are_usage_errors_with_a_suggestion(cli, small):
    for option, value, suggestion in [
        ("--encoders", "tfdif", "did you mean tfidf?"),
        ("--recommenders", "item-knn", "did you mean itemknn"),
        ("--dataset", "dmeo", "did you mean demo"),
        ("--task", "continuatoin", "did you mean continuation?"),
    ]:
        outcome = cli("run", "--output", small.folder / "r", option, value)
        assert outcome.code == 2
        assert suggestion in outcome.err
    assert not (small.folder / "r").exists()
    assert cli("run", "--nonsense").code == 2
    assert cli("run", "--seeds", "0").code == 2


def test_what_is_done_is_kept(cli, small):
    command = ("run", "--dataset", small.folder / "small", "--encoders", "tfidf,random", "--output", small.folder / "r")
    assert "4 cells computed, 0 kept" in cli(*command).err
    assert "0 cells computed, 4 kept" in cli(*command).err
    assert "0 cells computed, 4 kept" in cli(*command, "--if", "stale").err
    path, record = next(iter(records(small.folder / "r").items()))
    record["versions"]["torch"] = "1.0"
    path.write_text(json.dumps(record))
    assert "0 cells computed, 4 kept" in cli(*command).err
    assert "1 cells computed, 3 kept" in cli(*command, "--if", "stale").err
    assert "4 cells computed, 0 kept" in cli(*command, "--if", "always").err


def test_plan_says_what_a_run_would_do_and_does_nothing(cli, small, home):
    command = ("--dataset", small.folder / "small", "--encoders", "tfidf,random", "--output", small.folder / "r")
    plan = json.loads(cli("plan", *command, "--json").out)
    assert [cell["state"] for cell in plan["cells"]] == ["missing"] * 4
    assert sum(cell["tracks_to_encode"] for cell in plan["cells"]) == 4 * 120
    assert plan["estimated_bytes"] > 0
    assert plan["estimated_seconds"] > 0
    assert not (small.folder / "r").exists()
    assert not (home / "embeddings").exists()
    cli("run", *command)
    done = json.loads(cli("plan", *command, "--json").out)
    assert [cell["state"] for cell in done["cells"]] == ["done"] * 4
    assert not any(cell["to_run"] or cell["tracks_to_encode"] for cell in done["cells"])
    assert [cell["key"] for cell in done["cells"]] == [cell["key"] for cell in plan["cells"]]
    assert "0 of 4 cells to run" in cli("plan", *command).out


def test_a_constant_encoder_scores_as_chance_and_warns(cli, tmp_path):
    tables = random_tables(tmp_path / "t", tracks=300, playlists=400)
    ids = np.load(tables.vectors)["ids"]
    np.savez(tables.vectors, ids=ids, embeddings=np.full((300, 32), 0.37, dtype=np.float32))
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    assert cli(*build, "--output", tmp_path / "d").code == 0
    run = cli(
        "run", "--dataset", tmp_path / "d", "--encoders", f"precomputed:{tables.vectors}", "--recommenders", "all",
        "--output", tmp_path / "r",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert "all embeddings are equal" in run.out
    assert "Up to 100.0% of the lists are cut between equal scores" in run.out
    for record in records(tmp_path / "r").values():
        for metric in record["metrics"]:
            if metric["name"].split("@")[0] in SEVEN:
                assert metric["ci_low"] <= metric["chance"] <= metric["ci_high"], metric


def test_planted_playlists_are_recovered(cli, tmp_path):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(12, 24))
    group = np.repeat(np.arange(12), 10)
    features = (centres[group] + 0.05 * generator.normal(size=(120, 24))).astype(np.float32)
    seeds = [(g, g * 10 + i) for g in range(12) for i in range(5)]
    heldout = [(g, g * 10 + i) for g in range(12) for i in range(5, 10)]
    tables = write_tables(tmp_path / "t", features, seeds, heldout)
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    assert cli(*build, "--output", tmp_path / "d").code == 0
    run = cli(
        "run", "--dataset", tmp_path / "d", "--encoders", f"precomputed:{tables.vectors}", "--recommenders", "all",
        "--output", tmp_path / "r",
    )  # fmt: skip
    assert run.code == 0, run.err
    for record in records(tmp_path / "r").values():
        found = {metric["name"]: metric["value"] for metric in record["metrics"]}
        assert all(found[f"{name}@{k}"] == 1 for name in SEVEN for k in (10, 20, 40))
        assert found["map@40"] == found["mrr@40"] == 1


def test_an_encoder_that_cannot_run_stops_the_run_before_any_work(cli, small):
    outcome = cli(
        "run", "--dataset", small.folder / "small", "--encoders", "oracle,tfidf", "--output", small.folder / "r"
    )
    assert outcome.code == 3
    assert "this data set has no oracle" in outcome.err
    assert not (small.folder / "r").exists()
    every = cli("run", "--dataset", small.folder / "small", "--encoders", "all", "--output", small.folder / "r")
    assert every.code == 0
    assert "cannot run: oracle" in every.err


def test_two_runs_in_one_folder_at_once_do_every_cell_once(small, home):
    command = (
        "run", "--dataset", small.folder / "small", "--encoders", "tfidf,random", "--recommenders", "all",
        "--output", small.folder / "r",
    )  # fmt: skip
    runs = [forked.start(*command) for _ in range(2)]
    outcomes = [run.communicate() for run in runs]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes[0].err + outcomes[1].err
    counted = [outcome.err.split(" cells computed")[0].rsplit("\n", 1)[-1] for outcome in outcomes]
    assert sum(map(int, counted)) == 12
    assert outcomes[0].out == outcomes[1].out or len(records(small.folder / "r")) == 12
    assert not list((small.folder / "r").rglob(".larpbench-tmp-*"))


@pytest.mark.parametrize(
    "verb", [(), ("run",), ("plan",), ("list",), ("describe",), ("encode",), ("table",), ("doctor",)]
)
def test_help_has_examples(cli, verb):
    outcome = cli(*verb, "--help")
    assert outcome.code == 0
    assert "larpbench" in outcome.out.split("Usage", 1)[1].split("\n", 1)[1]


def test_doctor_list_and_describe(cli, home):
    healthy = cli("doctor")
    assert healthy.code == 0, healthy.out
    assert "no problem found" in healthy.out
    assert str(home) in healthy.out
    assert {row["name"] for row in json.loads(cli("list", "encoders", "--json").out)} >= {"random", "tfidf", "oracle"}
    assert cli("list", "recommenders", "*-dot").out.startswith("itemknn-dot")
    assert "adamic-adar" in cli("list", "recommenders", "*adar").out
    assert "(task artist-similarity)" in cli("list", "recommenders", "gnn-sage-2").out
    assert "artist-similarity" in cli("describe", "recommender", "adamic-adar").out
    assert cli("describe", "recommender", "nobody").code == 2
    assert "demo" in cli("list", "datasets").out
    assert "continuation" in cli("list", "tasks").out
    card = json.loads(cli("describe", "encoder", "tfidf", "--json").out)
    assert (card["dim"], card["learns"], card["status"]) == (1024, "statistics", "ready")
    assert "cold-start-v1" in cli("describe", "task", "continuation").out
    assert cli("describe", "encoder", "tfidff").code == 2


@pytest.mark.parametrize("variable", ["LARPBENCH_HOME", "LARPBENCH_EMBEDDINGS"])
@pytest.mark.parametrize("below", ["", "/x/y"], ids=["a file", "below a file"])
def test_a_variable_that_names_a_file_is_named(cli, monkeypatch, tmp_path, small, variable, below):
    (tmp_path / "a-file").touch()
    monkeypatch.setenv(variable, f"{tmp_path / 'a-file'}{below}")
    refused = cli("encode", "--dataset", small.folder / "small", "--encoder", "tfidf")
    assert refused.code == 2
    assert f"{variable} is '{tmp_path / 'a-file'}{below}'" in refused.err
    assert "is no folder" in refused.err
    ill = cli("doctor")
    assert ill.code == 3
    assert (
        f"PROBLEM  there is no {'home folder' if 'HOME' in variable else 'place for embeddings'}: {variable}" in ill.out
    )


def test_a_file_is_no_data_set(cli, small):
    refused = cli("run", "--dataset", small.tracks)
    assert refused.code == 2
    assert "a data set is a folder, and this is a file" in refused.err
    assert "larpbench dataset build --help" in refused.err


def test_encode_fills_the_store(cli, small):
    command = ("encode", "--encoder", "tfidf", "--dataset", small.folder / "small")
    assert "120 vectors of 1024 numbers" in cli(*command).out
    plan = json.loads(cli("plan", "--dataset", small.folder / "small", "--encoders", "tfidf", "--json").out)
    assert plan["cells"][0]["tracks_to_encode"] == 0
    assert cli(*command, "--split", "train").code == 2
    assert cli(*command, "--split", "all").code == 2
