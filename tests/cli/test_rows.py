"""What a row of a table is made of: one experiment, whatever else lies in the folder; and what a failure leaves."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.small_data import build_heard, build_split_tables, write_library

import larpbench
from larpbench.encoders.controls import RandomEncoder
from larpbench.recommenders.itemknn import ItemKNN

RIDGE = ("--recommenders", "ridge")


@pytest.fixture
def data(tmp_path):
    return build_split_tables(tmp_path / "music", tracks=40, playlists=30)


@pytest.fixture
def vectors(tmp_path):
    return tmp_path / "music-tables" / "vectors.npz"


def run(cli, data, output, *options, encoders="random"):
    return cli("run", "--dataset", data.folder, "--encoders", encoders, "--output", output, *options)


def row_of(output, encoder="random"):
    (table,) = larpbench.load_results(output)
    (row,) = (row for row in table.rows if row.encoder == encoder)
    return row, table


def fail_with_seed(monkeypatch, seed):
    encode = RandomEncoder.encode

    def sometimes(self, batch):
        if self._seed == seed:
            raise ValueError(f"boom of seed {seed}")
        return encode(self, batch)

    monkeypatch.setattr(RandomEncoder, "encode", sometimes)


def test_seeds_of_two_experiments_are_never_averaged(cli, data, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert run(cli, data, alone, *RIDGE, "--seeds", "1", "--budget", "1").code == 0
    assert run(cli, data, both, *RIDGE, "--seeds", "3", "--budget", "2").code == 0
    assert row_of(both)[0].random_seeds == 3
    assert run(cli, data, both, *RIDGE, "--seeds", "1", "--budget", "1").code == 0
    row, table = row_of(both)
    assert row.random_seeds == 1
    assert row.scores == row_of(alone)[0].scores
    assert any("3 older results" in note for note in table.footnotes)


def test_new_vectors_leave_the_old_ones_out_whatever_the_seed(cli, data, vectors, tmp_path):
    encoder = f"precomputed:{vectors}"
    assert run(cli, data, tmp_path / "r", *RIDGE, "--budget", "1", encoders=encoder).code == 0
    with np.load(vectors) as stored:
        np.savez(vectors, ids=stored["ids"], embeddings=stored["embeddings"][:, ::2] + 1)
    assert run(cli, data, tmp_path / "r", *RIDGE, "--budget", "1", "--seeds", "1", encoders=encoder).code == 0
    assert row_of(tmp_path / "r", "precomputed:vectors.npz")[0].random_seeds == 1


def test_rows_of_two_experiments_do_not_merge(cli, data, tmp_path):
    for seeds, budget in ((1, 1), (2, 2)):
        assert run(cli, data, tmp_path / f"r{seeds}", *RIDGE, "--seeds", str(seeds), "--budget", str(budget)).code == 0
    for path in (tmp_path / "r2").glob("*/*/*/*/*"):  # seed 0 from one folder, seed 1 from the other
        if path.suffix == ".json" and json.loads(path.read_text())["cell"]["seed"] == 0:
            path.with_suffix(".playlists.parquet").unlink()
            path.unlink()
    merged = cli("results", "merge", tmp_path / "r1", tmp_path / "r2", "--output", tmp_path / "whole")
    assert merged.code == 2
    assert "two keys" in merged.err


def test_other_lists_under_one_key_do_not_merge(cli, data, tmp_path):
    import polars as pl

    for name in "ab":
        assert run(cli, data, tmp_path / name, "--seeds", "1").code == 0
    (lists,) = (tmp_path / "b").glob("*/*/*/*/*.parquet")
    pl.read_parquet(lists).with_columns(pl.col("ranked").list.reverse()).write_parquet(lists)
    (record,) = (tmp_path / "b").glob("*/*/*/*/*.json")
    stated = json.loads(record.read_text()) | {"playlists_sha256": hashlib.sha256(lists.read_bytes()).hexdigest()}
    record.write_text(json.dumps(stated))
    merged = cli("results", "merge", tmp_path / "a", tmp_path / "b", "--output", tmp_path / "whole")
    assert merged.code == 2
    assert "other contents (playlists)" in merged.err


def test_two_encoders_of_one_name_are_refused(cli, tmp_path):
    library = write_library(tmp_path / "library")
    for number in (1, 2):
        build_heard(tmp_path / f"v{number}" / "music", library, playlist_seeds={"train": number})
    names = ",".join(f"larp-wtc@{tmp_path / f'v{number}' / 'music'}" for number in (1, 2))
    planned = cli("plan", "--dataset", tmp_path / "v1" / "music", "--encoders", names, "--output", tmp_path / "r")
    assert planned.code == 2, planned.out + planned.err
    assert "two different encoders are called" in planned.err
    assert str(tmp_path / "v2" / "music") in planned.err
    one = names.partition(",")[0]
    assert cli("plan", "--dataset", tmp_path / "v1" / "music", "--encoders", f"{one},larp-wtc").code == 0  # the same


def test_a_rerun_that_fails_leaves_what_was_finished(cli, data, tmp_path, monkeypatch):
    assert run(cli, data, tmp_path / "r", "--seeds", "1").code == 0
    before = row_of(tmp_path / "r")[0]

    def broken(self, embeddings):
        raise MemoryError("not now")

    monkeypatch.setattr(ItemKNN, "item_vectors", broken)
    failed = run(cli, data, tmp_path / "r", "--seeds", "1", "--if", "always")
    assert failed.code == 1
    assert "MemoryError: not now (test_rows.py, line" in failed.err
    assert row_of(tmp_path / "r")[0] == before
    assert run(cli, data, tmp_path / "fresh", "--seeds", "1").code == 1
    (row,) = larpbench.load_results(tmp_path / "fresh")[0].omissions.failed
    assert row.failure.startswith("MemoryError: not now")


def test_vectors_that_go_away_fail_their_cells_only(data, vectors, tmp_path):
    plan = larpbench.plan(data, encoders=[f"precomputed:{vectors}", "random"], seeds=1, output=tmp_path / "r")
    vectors.unlink()
    summary = larpbench.run(plan)
    assert [cell.cell.encoder for cell, _ in summary.failed] == ["precomputed:vectors.npz"]
    assert [each.cell.encoder for each in summary.computed] == ["random"]
    (table,) = larpbench.load_results(tmp_path / "r")
    assert [row.encoder for row in table.rows] == ["random"]
    assert [row.encoder for row in table.omissions.failed] == ["precomputed:vectors.npz"]


def test_a_result_whose_lists_are_gone_is_computed_again(cli, data, tmp_path):
    assert run(cli, data, tmp_path / "r", "--seeds", "2").code == 0
    lost, short = sorted((tmp_path / "r").glob("*/*/*/*/*.parquet"))
    lost.unlink()
    short.write_bytes(short.read_bytes()[:-20])
    again = run(cli, data, tmp_path / "r", "--seeds", "2")
    assert again.code == 0, again.err
    assert "2 cells computed, 0 kept" in again.err


def test_a_seed_that_cannot_be_encoded_fails_alone_though_seeds_learn_together(cli, data, tmp_path, monkeypatch):
    monkeypatch.setattr("larpbench.recommenders.tuning.cores", lambda: 4)
    fail_with_seed(monkeypatch, 2)
    done = run(cli, data, tmp_path / "r", *RIDGE, "--seeds", "4", "--budget", "1")
    assert done.code == 1
    assert "3 cells computed, 0 kept, 1 failed" in done.err
    assert "boom of seed 2" in done.err


def test_nothing_named_is_an_error(cli, data, tmp_path):
    assert run(cli, data, tmp_path / "r", "--seeds", "1").code == 0
    for options in (("--encoders", ""), ("--encoders", " , "), ("--recommenders", ",")):
        asked = cli("run", "--dataset", data.folder, "--output", tmp_path / "r", *options)
        assert asked.code == 2
        assert "names nothing" in asked.err


def test_a_full_disk_behind_the_output_is_no_traceback(home):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "larpbench", "list", "tasks"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.strip() == "error: the output cannot be written: No space left on device"


def test_the_names_of_embedded_data_sets_are_theirs(cli, data, with_demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data.folder.rename(tmp_path / "demo")
    assert larpbench.load_dataset("demo").manifest.name == "demo"
    assert larpbench.load_dataset("./demo").manifest.name == "music"


def test_a_table_of_another_format_makes_a_short_message(cli, data, tmp_path):
    tables = tmp_path / "music-tables"
    generator = np.random.default_rng(0)
    (tables / "tracks.csv").write_bytes(b"PK\x03\x04" + generator.bytes(20_000))  # a spreadsheet under another name
    built = cli(
        "dataset", "build", "csv", "--tracks", tables / "tracks.csv", "--playlists", tables / "playlists.csv",
        "--output", tmp_path / "d",
    )  # fmt: skip
    assert built.code == 2
    assert "tracks.csv" in built.err
    assert len(built.err) < 1_500


def test_compare_says_what_it_leaves_out(cli, data, tmp_path, monkeypatch, caplog):
    fail_with_seed(monkeypatch, 1)
    both = "--recommenders", "itemknn,ridge", "--budget", "1", "--seeds"
    assert run(cli, data, tmp_path / "r", *both, "1", encoders="random,tfidf").code == 0
    assert run(cli, data, tmp_path / "r", *RIDGE, "--budget", "1", "--seeds", "2").code == 1
    compared = cli("compare", tmp_path / "r", "random", "tfidf")
    assert compared.code == 0, compared.err
    assert "| itemknn |" in compared.out
    assert "| ridge |" not in compared.out
    assert "not compared: random x ridge on music: ValueError: boom of seed 1" in caplog.text
