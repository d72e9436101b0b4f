"""``larpbench check``: all four nouns, their exit codes, and an encoder's name alone."""

from __future__ import annotations

import json

import pytest
from support.small_data import build_split_tables


@pytest.mark.parametrize(
    "arguments",
    [("tfidf",), ("encoder", "tfidf"), ("recommender", "ridge"), ("dataset", "toy-artists"), ("task", "continuation")],
)
def test_all_four(cli, arguments):
    done = cli("check", *arguments)
    assert done.code == 0, done.out + done.err
    *lines, last = done.out.splitlines()
    assert last.startswith(f"{arguments[-1]}: ")
    assert " pass" in last
    assert {line.split()[0] for line in lines} <= {"pass", "skipped"}
    as_json = cli("check", *arguments, "--json")
    assert [each["outcome"] for each in json.loads(as_json.out)] == [line.split()[0] for line in lines]


def test_a_folder_and_a_task_on_it(cli, tmp_path, monkeypatch):
    folder = build_split_tables(tmp_path / "data").folder
    monkeypatch.chdir(tmp_path)
    assert cli("check", "dataset", folder).code == cli("check", "dataset", "data").code == 0
    assert cli("check", "task", "continuation", "--dataset", "data").code == 0
    (folder / "playlists.parquet").unlink()
    broken = cli("check", "dataset", "data")
    assert broken.code == 1
    assert "fail     loads" in broken.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("dataset",), 2, "which dataset?"),
        (("metric", "recall"), 2, "dataset, encoder, recommender, task"),
        (("dataset", "no-such"), 2, "unknown dataset 'no-such'"),
        (("recommender", "itemkn"), 2, "did you mean itemknn"),
        (("recommender", "feature-cosine"), 2, "larpbench check task artist-similarity"),
        (("task", "continuation", "--dataset", "no-such"), 2, "unknown dataset"),
        (("dataset", "lfm"), 3, "larpbench dataset build lfm"),
        (("recommender", "itemknn", "--golden"), 2, "larpbench check encoder NAME --golden"),
        (("task", "continuation", "--rebuild"), 2, "larpbench check dataset NAME --rebuild"),
        (("tfidf", "--dataset", "demo"), 2, "larpbench check task NAME --dataset"),
    ],
)
def test_what_cannot_be_checked(cli, arguments, code, says):
    done = cli("check", *arguments)
    assert done.code == code
    assert says in done.out + done.err
