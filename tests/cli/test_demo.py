"""The demo data set: what a newcomer sees first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support import forked

from larpbench import load_results
from larpbench.datasets.check import check_dataset
from larpbench.datasets.demo.build import build_demo
from larpbench.datasets.demo.world import WorldSpec

ROOT = Path(__file__).parent.parent.parent
QUALITY = [f"{name}@{k}" for name in ("recall", "ndcg") for k in (10, 20, 40)]


@pytest.fixture(scope="module")
def run(demo_home, tmp_path_factory):
    results = tmp_path_factory.mktemp("bare-run") / "results"
    outcome = forked.run("run", "--output", results, env={**os.environ, "LARPBENCH_HOME": str(demo_home)}, probes=False)
    assert outcome.code == 0, outcome.err
    return outcome, results


def test_a_bare_run_gives_a_table_that_can_be_believed(cli, run):
    outcome, results = run
    assert "invented world" in outcome.out
    metrics = {}
    for path in results.glob("*/*/*/*/*.json"):
        record = json.loads(path.read_text())
        name, seed = record["cell"]["encoder"], record["cell"]["seed"]
        metrics[name, seed] = {metric["name"]: metric for metric in record["metrics"]}
        if name == "random":
            frame = pl.read_parquet(path.parent / record["playlists_file"])
            for column in QUALITY:
                values = frame[column]
                z = (values.mean() - metrics[name, seed][column]["chance"]) / (values.std() / len(values) ** 0.5)
                assert abs(z) < 3, (seed, column)
    assert len(metrics) == 5
    for column in QUALITY:
        best = metrics["oracle", 0][column]["ci_low"]
        others = [found[column]["ci_high"] for (name, _), found in metrics.items() if name != "oracle"]
        assert best > max(others)
        assert metrics["tfidf", 0][column]["ci_low"] > metrics["tfidf", 0][column]["chance"]
    (table,) = load_results(results)
    assert {row.encoder: row.group for row in table.rows} == {"oracle": "a", "tfidf": "b", "random": "c"}


def test_it_is_the_committed_table(cli, run, tmp_path):
    _, results = run
    (tmp_path / "now.csv").write_text(cli("table", results, "--format", "csv").out)
    script, committed = ROOT / ".ci" / "compare_tables.py", ROOT / "results" / "demo" / "continuation.csv"
    done = subprocess.run(
        [sys.executable, script, committed, tmp_path / "now.csv"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    moved = committed.read_text().replace("tfidf,itemknn,0,recall@10,0.0", "tfidf,itemknn,0,recall@10,0.9")
    (tmp_path / "now.csv").write_text(moved.replace("tfidf,itemknn,0,ndcg@10", "tfidf,itemknn,0,ndcg@11"))
    caught = subprocess.run(
        [sys.executable, script, committed, tmp_path / "now.csv"], capture_output=True, text=True, check=False
    )
    assert caught.returncode == 1
    assert "is outside" in caught.stdout
    assert "missing:" in caught.stdout


def test_the_demo_is_made_once_and_proves_itself(cli, run, with_demo):
    (folder,) = (with_demo / "datasets").glob("demo-v*")
    proof = cli("dataset", "check", folder)
    assert proof.code == 0
    assert "audio files: 1150 hashed" in proof.out
    assert re.search(r"\| artist +\| 0 ", proof.out)
    clip = next((folder / "audio").iterdir())
    whole = clip.read_bytes()
    try:
        clip.write_bytes(whole[:-100])
        refused = cli("dataset", "check", folder)
        assert refused.code == 1
        assert f"{clip.name}: changed" in refused.out
    finally:
        clip.write_bytes(whole)


def test_another_world_is_another_data_set_with_an_oracle_of_its_own(tmp_path):
    size = {"tracks": (16, 16, 24), "playlists": (4, 4, 9), "artists": (2, 2, 3)}
    made = [
        build_demo(tmp_path / str(number), WorldSpec(seed=number // 2, **size, private_noise=noise))
        for number, noise in enumerate([True, False, True, False])
    ]
    assert len({each.manifest.fingerprint for each in made}) == 4
    again = build_demo(tmp_path / "again", WorldSpec(seed=0, **size))
    assert again.manifest.fingerprint == made[0].manifest.fingerprint
    assert again.name == "demo-0"
    assert all(finding.ok for finding in check_dataset(again.folder))
    assert len(np.load(again.folder / "oracle.npz")["embeddings"]) == 56
