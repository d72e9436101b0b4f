"""A path is the name of one file: what polars takes as a pattern changes no number and reads no other file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.small_data import random_tables

PACKAGE = Path(__file__).parents[2] / "larpbench"
HOSTILE_NAMES = ("data [v2]", "a*b", "what?", "{x,y}", "50%20 off", "über länge", "~tilde", "key=value", "#1", "a'b\"c")


def recall_of(cli, dataset, encoder, output):
    ran = cli("run", "--dataset", dataset, "--encoders", encoder, "--output", output)
    assert ran.code == 0, ran.err
    (record,) = output.glob("*/*/*/*/*.json")
    return {each["name"]: each["value"] for each in json.loads(record.read_text())["metrics"]}["recall@10"]


def build(cli, tables, output):
    built = cli("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists,
                "--output", output)  # fmt: skip
    assert built.code == 0, built.err


def test_only_one_module_opens_tables():
    readers = re.compile(r"\b(pl|polars)\.(read_|scan_)\w+|BatchedCsvReader")
    used = [
        f"{path.relative_to(PACKAGE)}:{number}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "table_files.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if readers.search(line)
    ]
    assert not used
    text = (PACKAGE / "table_files.py").read_text(encoding="utf-8")
    assert len(re.findall(r"pl\.(read_csv|read_parquet|scan_parquet)\(", text)) == text.count("glob=False") == 3


def test_a_folder_with_brackets_is_not_the_folder_that_the_brackets_match(tmp_path, cli):
    one, other = random_tables(tmp_path / "one", seed=1), random_tables(tmp_path / "other", seed=2)
    build(cli, one, tmp_path / "ds1")
    build(cli, other, tmp_path / "ds[12]")
    build(cli, other, tmp_path / "plain")
    encoder = f"precomputed:{other.vectors}"
    expected = recall_of(cli, tmp_path / "plain", encoder, tmp_path / "results-plain")
    assert recall_of(cli, tmp_path / "ds[12]", encoder, tmp_path / "results-brackets") == expected
    assert recall_of(cli, tmp_path / "ds1", encoder, tmp_path / "results-one") != expected


def test_vectors_with_brackets_are_not_read_from_the_file_that_the_brackets_match(tmp_path, cli, small):
    ids = [f"t{number:05d}" for number in range(120)]
    vectors = np.load(small.vectors)["embeddings"]
    for name, values in (("run1", np.random.default_rng(9).normal(size=vectors.shape)), ("run[1]", vectors)):
        pl.DataFrame({"track_id": ids, "embedding": values.astype(np.float32)}).write_parquet(
            small.folder / f"{name}.parquet"
        )
    expected = recall_of(cli, small.folder / "small", f"precomputed:{small.vectors}", tmp_path / "a")
    brackets = small.folder / "run[1].parquet"
    assert recall_of(cli, small.folder / "small", f"precomputed:{brackets}", tmp_path / "b") == expected
    clean = brackets.rename(small.folder / "clean.parquet")  # the same bytes: the store must not be poisoned either
    assert recall_of(cli, small.folder / "small", f"precomputed:{clean}", tmp_path / "c") == expected


def test_a_manifest_with_another_fingerprint_is_refused(tmp_path, cli, small):
    manifest = small.folder / "small" / "dataset.json"
    stated = json.loads(manifest.read_text())
    for change in ({"fingerprint": "0" * 64}, {"digests": stated["digests"] | {"playlists": "0" * 64}}):
        manifest.write_text(json.dumps(stated | change))
        refused = cli("run", "--dataset", small.folder / "small", "--encoders", "tfidf", "--output", tmp_path / "r")
        assert refused.code == 2
        assert "its fingerprint is not that of its digests" in refused.err
        assert cli("dataset", "check", small.folder / "small").code == 1


def test_a_table_that_was_changed_is_found_without_the_digest_of_its_bytes(tmp_path, cli, small):
    folder = small.folder / "small"
    manifest = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(manifest | {"files": {}}))
    command = ("run", "--dataset", folder, "--encoders", "tfidf", "--output", tmp_path / "r")
    assert cli(*command).code == 0
    playlists = pl.read_parquet(folder / "playlists.parquet")
    playlists.head(playlists.height - 20).write_parquet(folder / "playlists.parquet")
    refused = cli(*command)
    assert refused.code == 2
    assert "the digests of playlists differ" in refused.err


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_of_home_data_vectors_and_results(tmp_path, cli, monkeypatch, name):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / name / "home"))
    tables = random_tables(tmp_path / name / "tables", tracks=60, playlists=8)
    vectors = tables.vectors.rename(tables.folder / f"{name}.npz")
    build(cli, tables, tmp_path / name / f"data {name}")
    results = tmp_path / f"results {name}"
    before = recall_of(cli, tmp_path / name / f"data {name}", f"precomputed:{vectors}", results)
    assert 0 < before < 1
    assert cli("dataset", "check", tmp_path / name / f"data {name}").code == 0
    again = cli("run", "--dataset", tmp_path / name / f"data {name}", "--encoders", f"precomputed:{vectors}",
                "--output", results)  # fmt: skip
    assert again.code == 0, again.err
    assert "1 already there" in again.out + again.err or "kept" in again.out + again.err
    assert f"{before:.4f}" in cli("table", results).out
    merged = cli("results", "merge", results, results, "--output", tmp_path / f"merged {name}")
    assert merged.code == 0, merged.err
    report = cli("report", results, "--output", tmp_path / f"report {name}")
    assert report.code == 0, report.err
