from __future__ import annotations

import csv
import io
import json
import re
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file
from support.small_data import build_split_tables, random_tables
from support.vector_files import FORMATS

import larpbench
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.precomputed import build_precomputed, tables
from larpbench.encoders.run.keys import Keys
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.errors import DataError


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
        case "large":
            values = values.astype(np.float64)
            values[3, 2], values[5, 1] = -1e300, 1e39
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


def test_a_number_beyond_float32_fails_the_cell_and_is_named(cli, small, tmp_path):
    run = run_with(cli, small, tmp_path, "large")
    assert run.code == 1
    assert "the vector of 't00003' holds -1e+300, which is too large for float32" in run.err
    assert f"where: {tmp_path / 'bad.npz'}" in run.err


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


def quarters(small):
    """Return ids and vectors of quarters, which every format holds exactly, in another order than the tracks."""
    ids, embeddings = vectors(small)
    order = np.random.default_rng(0).permutation(len(ids))
    return ids[order].tolist(), np.round(embeddings[order] * 4).clip(-8, 8).astype(np.float32) / 4 + 0.125


def encoded(small, name):
    data = larpbench.load_dataset(small.folder / "small")
    spec = get_encoder(name)
    spec.require_possible(data, ["test"])
    encoder = spec.build(EncodeContext(0, data.folder))
    track_ids = data.split("test").track_ids
    return encoder.encode(TrackBatch(track_ids, track_ids))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_vectors(small, tmp_path, form):
    ids, embeddings = quarters(small)
    name = FORMATS[form](tmp_path, ids, embeddings)
    found = encoded(small, f"precomputed:{tmp_path / name}")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, embeddings[np.argsort(ids)])


SPELLINGS = {
    "uri": "spotify:track:{}",
    "url": "https://open.spotify.com/track/{}?si=0a1b2c",
    "file": "features/{}.mp3",
    "windows": "D:\\Music\\{}.flac",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("form", ["npz", "parquet_list", "csv_numbers", "npy"])
def test_ids_match_by_their_last_part_and_it_is_said_once(small, tmp_path, capsys, spelling, form):
    ids, embeddings = quarters(small)
    name = FORMATS[form](tmp_path, [SPELLINGS[spelling].format(each) for each in ids], embeddings)
    capsys.readouterr()
    np.testing.assert_array_equal(encoded(small, f"precomputed:{tmp_path / name}"), embeddings[np.argsort(ids)])
    assert capsys.readouterr().err.count("ids match by their last part") == 1


def test_tracks_with_uris_match_a_file_of_plain_ids(cli, tmp_path):
    tables = random_tables(tmp_path / "tables", tracks=60, playlists=10)
    for path in (tables.tracks, tables.playlists):
        path.write_text(re.sub(r"\b(t\d{5})\b", r"artist/\1.wav", path.read_text()))
    built = cli(
        "dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists,
        "--output", tables.folder / "small",
    )  # fmt: skip
    assert built.code == 0, built.err
    np.testing.assert_array_equal(
        encoded(tables, f"precomputed:{tables.vectors}"), np.load(tables.vectors)["embeddings"]
    )


def test_whole_numbers_are_ids(cli, tmp_path):
    tables = random_tables(tmp_path / "tables", tracks=60, playlists=10)
    for path in (tables.tracks, tables.playlists):
        path.write_text(re.sub(r"\bt(\d{5})\b", lambda found: str(int(found[1])), path.read_text()))
    assert cli("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists,
               "--output", tables.folder / "small").code == 0  # fmt: skip
    rows = np.load(tables.vectors)["embeddings"]
    np.savez(tmp_path / "v.npz", ids=np.arange(60, dtype=np.int32), embeddings=rows)
    torch.save({"ids": torch.arange(60), "embeddings": torch.from_numpy(rows)}, tmp_path / "v.pt")
    pl.DataFrame({"id": range(60), "vector": rows.tolist()}).write_parquet(tmp_path / "v.parquet")
    expected = rows[sorted(range(60), key=str)]
    for name in ("v.npz", "v.pt", "v.parquet"):
        np.testing.assert_array_equal(encoded(tables, f"precomputed:{tmp_path / name}"), expected)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["other:t00000"], "two ids of the file have the same last part: "),
        (["t/t00001", "u/t00001"], "two ids of the file have the same last part: "),
    ],
)
def test_last_parts_that_are_ambiguous_match_nothing(small, tmp_path, extra, message):
    names = [f"spotify:track:{each}" for each in quarters(small)[0]] + extra
    np.savez(tmp_path / "v.npz", ids=np.array(names), embeddings=np.ones((len(names), 16)))
    with pytest.raises(DataError, match=message):
        encoded(small, f"precomputed:{tmp_path / 'v.npz'}")


def test_ids_that_do_not_match_are_shown_from_both_sides(cli, small, tmp_path):
    np.savez(tmp_path / "v.npz", ids=np.array([f"x{number}" for number in range(9)]), embeddings=np.ones((9, 4)))
    planned = cli("plan", "--dataset", small.folder / "small", "--encoders", f"precomputed:{tmp_path / 'v.npz'},random")
    assert planned.code == 3
    assert "120 of 120 tracks have no vector: 't00000', 't00001', 't00002'" in planned.err
    assert "ids of the file: 'x0', 'x1', 'x2' and 6 more" in planned.err


def test_a_plan_refuses_what_only_the_train_split_lacks(cli, tmp_path):
    data = build_split_tables(tmp_path / "one")
    source = np.load(tmp_path / "one-tables" / "vectors.npz")
    keep = np.char.startswith(source["ids"], "test")
    np.savez(tmp_path / "v.npz", ids=source["ids"][keep], embeddings=source["embeddings"][keep])
    command = ("plan", "--dataset", data.folder, "--encoders", f"precomputed:{tmp_path / 'v.npz'}")
    assert cli(*command, "--recommenders", "itemknn").code == 0
    refused = cli(*command, "--recommenders", "ridge,itemknn")
    assert refused.code == 3
    assert "24 of 24 tracks have no vector" in refused.err
    assert "(train split)" in refused.err


def test_a_column_is_named_in_the_encoder_or_by_an_option(cli, small, tmp_path):
    ids, embeddings = quarters(small)
    table = pl.DataFrame({"track_id": ids, "good": embeddings.tolist(), "ones": np.ones((120, 3)).tolist()})
    table.write_parquet(file := tmp_path / "v #1.parquet")
    found = {}
    for name, options in ((f"precomputed:{file}#good", ()), (f"precomputed:{file}", ("--column", "good"))):
        output = tmp_path / f"results-{len(options)}"
        ran = cli("run", "--dataset", small.folder / "small", "--encoders", f"{name},random", "--output", output,
                  "--seeds", "1", *options)  # fmt: skip
        assert ran.code == 0, ran.err
        found[name] = {
            record["cell"]["encoder"]: record["key"]
            for record in map(json.loads, (path.read_text() for path in output.glob("*/*/*/*/*.json")))
        }
    first, second = found.values()
    assert first == second
    assert first.keys() == {"precomputed:v #1.parquet#good", "random"}
    other = cli("plan", "--dataset", small.folder / "small", "--encoders", f"precomputed:{file}#ones", "--json")
    assert json.loads(other.out)["cells"][0]["key"] not in first.values()
    for encoders, options, message in (
        (f"precomputed:{file}", (), "it has none of the columns"),
        (f"precomputed:{file}#nothing", (), "it has no column 'nothing', but 'track_id', 'good', 'ones'"),
        (f"precomputed:{file}#track_id", (), "its column 'track_id' is of type String"),
        ("random", ("--column", "good"), "the column 'good' is of no file"),
    ):
        refused = cli("plan", "--dataset", small.folder / "small", "--encoders", encoders, *options)
        assert refused.code in (2, 3)
        assert message in refused.err, refused.err


def test_two_arrays_that_may_be_meant_are_not_chosen_between(small, tmp_path):
    ids, embeddings = quarters(small)
    np.savez(tmp_path / "v.npz", ids=ids, embeddings=embeddings, features=embeddings)
    pl.DataFrame({"id": ids, "vector": embeddings, "embed": embeddings}).write_parquet(tmp_path / "v.parquet")
    for name in ("v.npz", "v.parquet"):
        with pytest.raises(DataError, match="several"):
            encoded(small, f"precomputed:{tmp_path / name}")
    for name in ("v.npz#features", "v.parquet#embed"):
        assert encoded(small, f"precomputed:{tmp_path / name}").shape == (120, 16)


def test_what_is_known_of_a_parquet_file_keeps_none_of_its_vectors_in_memory(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    ids, vectors = [f"spotify:track:{number:022d}" for number in range(20_000)], np.ones((20_000, 64), dtype=np.float32)
    pl.DataFrame({"track_id": ids}).with_columns(embedding=vectors).write_parquet(tmp_path / "v.parquet")
    before = pyarrow.total_allocated_bytes()
    source = tables.parquet([tmp_path / "v.parquet"], None)
    assert pyarrow.total_allocated_bytes() - before < vectors.nbytes / 10
    assert source.shape == vectors.shape
    assert source.ids.to_list() == ids
    assert sum(len(rows) for _, rows in source.blocks(np.arange(20_000))) == 20_000


@pytest.mark.parametrize("form", ["npy_folder", "parquet_shards", "npy"])
def test_a_changed_part_changes_the_key(small, tmp_path, form):
    ids, embeddings = quarters(small)
    name = f"precomputed:{tmp_path / FORMATS[form](tmp_path, ids, embeddings)}"
    data = larpbench.load_dataset(small.folder / "small")
    before = Keys().embedding(get_encoder(name), data, data.split("test"), 0)
    assert Keys().embedding(get_encoder(name), data, data.split("test"), 0) == before
    part = sorted(tmp_path.rglob("*.parquet" if form == "parquet_shards" else "*.npy"))[-1]
    part = tmp_path / "v.ids.txt" if form == "npy" else part
    data_in = part.read_bytes()
    part.write_bytes(data_in[:-1] + bytes([data_in[-1] ^ 1]))
    assert Keys().embedding(get_encoder(name), data, data.split("test"), 0) != before


def test_hdf5_without_its_package_says_what_to_install(cli, small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "v.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    run = cli("run", "--dataset", small.folder / "small", "--encoders", f"precomputed:{tmp_path / 'v.h5'}")
    assert run.code == 3
    assert "pip install 'larpbench[hdf5]'" in run.err


def test_vectors_are_looked_up_where_they_lie(cli, small, home, tmp_path):
    name = f"precomputed:{small.vectors}"
    planned = cli("plan", "--dataset", small.folder / "small", "--encoders", name, "--json")
    assert [each["tracks_to_encode"] for each in json.loads(planned.out)["cells"]] == [0]
    in_place = scores(cli, small, small.vectors, tmp_path / "r")
    shown = cli("encode", "--dataset", small.folder / "small", "--encoder", name)
    assert shown.out == f"120 vectors of 16 numbers: {small.vectors}, which holds them; nothing is stored\n"
    assert not list((home / "embeddings").rglob("*"))

    data, store = larpbench.load_dataset(small.folder / "small"), EmbeddingStore(tmp_path / "store")
    copied = replace(get_encoder(name), in_place=False)
    stored = store.embed(copied, data, "test", 0)
    assert list((tmp_path / "store").rglob("*.safetensors"))
    looked_up = EmbeddingStore(tmp_path / "other").embed(get_encoder(name), data, "test", 0)
    np.testing.assert_array_equal(looked_up.vectors, stored.vectors)
    assert (looked_up.key, looked_up.warnings) == (stored.key, stored.warnings)
    assert set(in_place) >= {"recall@10"}


def test_a_file_is_read_once_for_all_cells_of_an_encoder(small, tmp_path, monkeypatch):
    data, store = larpbench.load_dataset(small.folder / "small"), EmbeddingStore(tmp_path / "store")
    spec = get_encoder(f"precomputed:{small.vectors}")
    first = store.embed(spec, data, "test", 0)
    monkeypatch.setattr("larpbench.encoders.run.passes.encode_tracks", lambda *arguments: pytest.fail("read again"))
    assert store.embed(spec, data, "test", 0).vectors is first.vectors


def test_a_file_that_changes_while_it_is_read_is_refused(small, tmp_path):
    ids, embeddings = vectors(small)
    np.savez(file := tmp_path / "v.npz", ids=ids, embeddings=embeddings)
    spec = get_encoder(f"precomputed:{file}")

    def slow(context, argument):
        encoder = build_precomputed(context, argument)
        np.savez(file, ids=ids, embeddings=embeddings + 1)
        return encoder

    store = EmbeddingStore(tmp_path / "store")
    with pytest.raises(DataError, match="changed while they were read"):
        store.embed(replace(spec, factory=slow), larpbench.load_dataset(small.folder / "small"), "test", 0)
