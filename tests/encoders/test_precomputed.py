from __future__ import annotations

import csv
import io
import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

import larpbench


def scores(cli, small, file, output):
    run = cli("run", "--dataset", small.folder / "small", "--encoders", f"precomputed:{file}", "--output", output)
    assert run.code == 0, run.err
    rows = csv.DictReader(io.StringIO(cli("table", output, "--format", "csv").out))
    return {row["metric"]: row["value"] for row in rows}


def vectors(small):
    data = np.load(small.vectors)
    return data["ids"], data["embeddings"]


def test_every_format_gives_the_same_scores(cli, small, tmp_path):
    ids, embeddings = vectors(small)
    order = np.random.default_rng(0).permutation(len(ids))
    ids, embeddings = np.append(ids[order], "unused"), np.vstack([embeddings[order], np.zeros((1, 16), np.float32)])
    np.savez_compressed(tmp_path / "bytes.npz", ids=ids.astype("S"), embeddings=embeddings.astype(np.float64))
    save_file({"embeddings": embeddings}, tmp_path / "inside.safetensors", {"ids": json.dumps(ids.tolist())})
    save_file({"embeddings": embeddings}, tmp_path / "beside.safetensors")
    (tmp_path / "beside.ids.txt").write_text("\n".join(ids) + "\n")
    pl.DataFrame({"track_id": ids, "embedding": embeddings.tolist()}).write_parquet(tmp_path / "list.parquet")
    fixed = pl.Series("embedding", embeddings)
    pl.DataFrame({"track_id": ids}).with_columns(fixed).write_parquet(tmp_path / "array.parquet")
    expected = scores(cli, small, small.vectors, tmp_path / "r0")
    for name in ("bytes.npz", "inside.safetensors", "beside.safetensors", "list.parquet", "array.parquet"):
        assert scores(cli, small, tmp_path / name, tmp_path / name.replace(".", "-")) == expected, name


def broken(ids, embeddings, how):
    values = embeddings.copy()
    match how:
        case "missing":
            return ids[2:], values[2:]
        case "nan":
            values[3, 2] = np.nan
        case "inf":
            values[3, 2] = np.inf
        case "zero":
            values[3] = 0
        case "shape":
            return ids, values.ravel()
        case "count":
            return ids, values[:-1]
        case "twice":
            return np.append(ids, ids[:1]), np.vstack([values, values[:1]])
        case "text":
            return ids, values.astype(str)
        case "complex":
            return ids, values + 1j
        case "pickled":
            return np.array([{"id": each} for each in ids], dtype=object), values
        case "pickled vectors":
            rows = np.empty(len(values), dtype=object)
            rows[:] = list(values)
            return ids, rows
    return ids, values


@pytest.mark.parametrize("how", ["nan", "inf"])
def test_vectors_that_are_no_numbers_fail_the_cell_and_name_the_ids(cli, small, tmp_path, how):
    run = run_with(cli, small, tmp_path, how)
    assert run.code == 1
    assert "NaN or infinite vectors for 1 of 120 tracks: 't00003'" in run.err
    assert "1 cells computed, 0 kept, 1 failed" in run.err
    assert "failed" in run.out
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*/*/*/*/*.json")]
    assert sorted(record["status"] for record in records) == ["failed", "ok"]


def test_vectors_of_zeros_fail_the_cell_and_name_the_ids(cli, small, tmp_path):
    run = run_with(cli, small, tmp_path, "zero")
    assert run.code == 1
    assert "all-zero vectors for 1 of 120 tracks: 't00003'" in run.err


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "2 of 120 tracks have no vector: 't00000', 't00001'"),
        ("shape", "array of shape (1920,)"),
        ("count", "120 ids for 119 vectors"),
        ("twice", "1 ids occur more than once: 't00000'"),
        ("text", "not real numbers of shape (tracks, dim)"),
        ("complex", "not real numbers of shape (tracks, dim)"),
        ("pickled", "ids=frame['track_id'].to_numpy().astype(str)"),
        ("pickled vectors", "embeddings=np.stack(frame['embedding'])"),
    ],
)
def test_a_file_that_cannot_work_is_refused_before_anything_runs(cli, small, tmp_path, how, message):
    run = run_with(cli, small, tmp_path, how)
    assert run.code == 3
    assert message in run.err
    assert not list((tmp_path / "results").glob("*/*/*/*/*.json"))
    plan = larpbench.plan(
        larpbench.load_dataset(small.folder / "small"), encoders=[f"precomputed:{tmp_path / 'bad.npz'}", "random"]
    )
    assert [message in each.reason for each in plan.unavailable] == [True]
    assert {each.cell.encoder for each in plan.cells} == {"random"}


def run_with(cli, small, tmp_path, how):
    ids, embeddings = broken(*vectors(small), how)
    np.savez(tmp_path / "bad.npz", ids=ids, embeddings=embeddings)
    return cli(
        "run", "--dataset", small.folder / "small", "--encoders", f"precomputed:{tmp_path / 'bad.npz'},random",
        "--seeds", "1", "--output", tmp_path / "results",
    )  # fmt: skip


def test_a_mended_file_is_run_anew(cli, small, tmp_path):
    ids, embeddings = vectors(small)
    file = tmp_path / "v.npz"
    np.savez(file, ids=ids, embeddings=np.vstack([embeddings[:-1], np.full((1, 16), np.nan)]))
    command = (
        "run",
        "--dataset",
        small.folder / "small",
        "--encoders",
        f"precomputed:{file}",
        "--output",
        tmp_path / "r",
    )
    assert cli(*command).code == 1
    np.savez(file, ids=ids, embeddings=embeddings)
    again = cli(*command)
    assert again.code == 0
    assert "older results of the same cells" in again.out
    assert "failed" not in again.out
