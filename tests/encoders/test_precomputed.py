from __future__ import annotations

import csv
import io
import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file


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
            return ids.astype(object), values
    return ids, values


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "2 of 120 tracks have no vector: 't00000', 't00001'"),
        ("nan", "NaN or infinite vectors for 1 of 120 tracks: 't00003'"),
        ("inf", "NaN or infinite vectors for 1 of 120 tracks: 't00003'"),
        ("zero", "all-zero vectors for 1 of 120 tracks: 't00003'"),
        ("shape", "array of shape (1920,)"),
        ("count", "120 ids for 119 vectors"),
        ("twice", "1 ids occur more than once: 't00000'"),
        ("text", "allowed: real numbers of shape (tracks, dim)"),
        ("complex", "allowed: real numbers of shape (tracks, dim)"),
        ("pickled", "ids=frame['track_id'].to_numpy().astype(str)"),
    ],
)
def test_unusable_vectors_fail_the_cell_and_name_the_ids(cli, small, tmp_path, how, message):
    ids, embeddings = broken(*vectors(small), how)
    np.savez(tmp_path / "bad.npz", ids=ids, embeddings=embeddings)
    run = cli(
        "run", "--dataset", small.folder / "small", "--encoders", f"precomputed:{tmp_path / 'bad.npz'},random",
        "--seeds", "1", "--output", tmp_path / "results",
    )  # fmt: skip
    assert run.code == 1
    assert message in run.err
    assert "1 cells computed, 0 kept, 1 failed" in run.err
    assert "failed" in run.out
    records = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*/*/*/*/*.json")]
    assert sorted(record["status"] for record in records) == ["failed", "ok"]


def test_a_mended_file_is_run_anew(cli, small, tmp_path):
    ids, embeddings = vectors(small)
    file = tmp_path / "v.npz"
    np.savez(file, ids=ids[1:], embeddings=embeddings[1:])
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


def test_files_that_cannot_be_read_are_refused(cli, small, tmp_path):
    ids, embeddings = vectors(small)
    np.savez(tmp_path / "pickled.npz", ids=np.array(ids, dtype=object), embeddings=embeddings)
    np.savez(tmp_path / "unnamed.npz", ids, embeddings)
    (tmp_path / "cut.npz").write_bytes(small.vectors.read_bytes()[:900])
    (tmp_path / "text.csv").write_text("a,b")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    save_file({"embeddings": embeddings}, tmp_path / "no-ids.safetensors")
    pl.DataFrame({"track_id": ["a", "b"], "embedding": [[1.0], [1.0, 2.0]]}).write_parquet(tmp_path / "ragged.parquet")
    for file in sorted(tmp_path.glob("*.*")):
        if not file.is_file():
            continue
        run = cli(
            "run", "--dataset", small.folder / "small", "--encoders", f"precomputed:{file}", "--output", tmp_path / "r"
        )
        assert run.code == 1, file
        assert file.name in run.err
        assert "Traceback" not in run.err
    absent = cli(
        "run", "--dataset", small.folder / "small", "--encoders", "precomputed:no.npz", "--output", tmp_path / "r"
    )
    assert absent.code == 3
    assert "there is no file no.npz" in absent.err
