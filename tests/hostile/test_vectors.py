"""Files of vectors that cannot work are refused by `plan`, with what is wrong, before anything runs."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from support.small_data import random_tables

from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.sources.csv import build_csv


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    tables = random_tables(tmp_path_factory.mktemp("tables"))
    options = BuildOptions("small", "a test", "none")
    return build_csv(tables.tracks, tables.playlists, options, tables.folder / "small").folder


IDS = [f"t{number:05d}" for number in range(120)]
VECTORS = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)


def encrypted(path):
    np.savez(path, ids=np.array(IDS), embeddings=VECTORS)
    data = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(sign, at + 1)) >= 0:
            data[at + place] |= 1
    path.write_bytes(data)


def folder(path):
    path.mkdir()
    (path / "readme.txt").write_text("nothing here")


def mixed_folder(path):
    path.mkdir()
    np.save(path / "t00000.npy", VECTORS[0])
    pl.DataFrame({"id": IDS, "vector": VECTORS}).write_parquet(path / "a.parquet")


def folder_of_matrices(path):
    path.mkdir()
    np.save(path / "embeddings.npy", VECTORS)
    np.save(path / "ids.npy", np.array(IDS))


def two_files_of_one_name(path):
    for part in "ab":
        (path / part).mkdir(parents=True)
        np.save(path / part / "t00000.npy", VECTORS[0])


def ragged_folder(path):
    path.mkdir()
    np.save(path / "t00000.npy", VECTORS[0])
    np.save(path / "t00001.npy", VECTORS[0, :3])


def different_shards(path):
    path.mkdir()
    pl.DataFrame({"id": IDS, "vector": VECTORS}).write_parquet(path / "a.parquet")
    pl.DataFrame({"id": IDS, "embedding": VECTORS}).write_parquet(path / "b.parquet")


def huge_header(path):
    np.save(path, VECTORS)
    path.write_bytes(path.read_bytes().replace(b"(120, 4)", b"(10**9,)"[:8]))


def beside(ids):
    def write(path):
        np.save(path, VECTORS)
        path.with_suffix(".ids.txt").write_bytes(ids)

    return write


def torch_module(path):
    torch.save(torch.nn.Linear(2, 2), path)


def complex_numbers(path):
    save_torch({"embeddings": torch.ones(120, 4, dtype=torch.complex64)}, path, {"ids": json.dumps(IDS)})


def table(**columns):
    return lambda path: pl.DataFrame(columns).write_parquet(path)


def arrays(**named):
    return lambda path: np.savez(path, **named)


def text(content):
    return lambda path: path.write_text(content)


def raw(content):
    return lambda path: path.write_bytes(content)


def header_of_safetensors(header):
    data = json.dumps(header).encode()
    return raw(struct.pack("<Q", len(data)) + data)


ROWS = VECTORS.tolist()
BINARY = [b"\xff\xfe%03d" % each for each in range(120)]
PAST_THE_END = {"embeddings": {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 324]}}
CASES = [
    ("empty.npz", raw(b""), "it is empty"),
    ("empty.parquet", raw(b""), "it is empty"),
    ("empty.csv", raw(b""), "it is empty"),
    ("page.parquet", text("<!DOCTYPE html><html>404"), "it is a web page"),
    ("page.npz", text("\n  <html>Sign in"), "it is a web page"),
    ("page.csv", text("<HTML>Sign in"), "it is a web page"),
    ("pointer.safetensors", text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    ("folder.npz", folder, "no Parquet file and no .npy"),
    ("mixed", mixed_folder, "Parquet files and .npy files"),
    ("matrices", folder_of_matrices, "name that file"),
    ("twins", two_files_of_one_name, "have the same name"),
    ("ragged-folder", ragged_folder, "nor one vector of the same length"),
    ("different-shards", different_shards, "cannot be read"),
    ("encrypted.npz", encrypted, "encrypted"),
    ("zero.npz", arrays(ids=np.array("a"), embeddings=VECTORS), "array of shape ()"),
    ("zero-vectors.npz", arrays(ids=np.array(IDS), embeddings=np.array(1.0)), "array of shape ()"),
    ("no-rows.npz", arrays(ids=np.array([], dtype="U1"), embeddings=np.zeros((0, 4))), "120 of 120 tracks have no"),
    ("no-numbers.npz", arrays(ids=np.array(IDS), embeddings=np.zeros((120, 0))), "array of shape (120, 0)"),
    ("cube.npz", arrays(ids=np.array(IDS), embeddings=np.zeros((120, 2, 2))), "array of shape (120, 2, 2)"),
    ("floats.npz", arrays(ids=np.arange(120.0), embeddings=VECTORS), "not (tracks,) text or whole numbers"),
    ("truth.npz", arrays(ids=np.array(IDS), embeddings=VECTORS > 0), "bool array"),
    ("dates.npz", arrays(ids=np.array(IDS), embeddings=VECTORS.astype("M8[s]")), "datetime64"),
    ("binary.npz", arrays(ids=np.array(BINARY), embeddings=VECTORS), "must be UTF-8"),
    ("none.npz", arrays(ids=np.array([None, *IDS[1:]], dtype=object), embeddings=VECTORS), "NoneType"),
    ("unnamed.npz", lambda path: np.savez(path, np.array(IDS), VECTORS), "neither an array of all vectors"),
    ("newline.npz", arrays(ids=np.array([f"{each}\n\x1b[31m" for each in IDS]), embeddings=VECTORS), r"\n\x1b[31m"),
    ("binary.parquet", table(track_id=BINARY, embedding=ROWS), "must be UTF-8"),
    ("null.parquet", table(track_id=[None, *IDS[1:]], embedding=ROWS), "1 of its 120 rows have no id"),
    ("floats.parquet", table(track_id=[float(each) for each in range(120)], embedding=ROWS), "of type Float64"),
    ("ragged.parquet", table(track_id=IDS, embedding=[[1.0], *ROWS[1:]]), "different lengths: [1, 4]"),
    ("struct.parquet", table(track_id=IDS, embedding=[{"x": 1.0, "y": 2.0}] * 120), "is of type Struct"),
    ("struct-id.parquet", table(track_id=[{"x": each} for each in IDS], embedding=ROWS), "are of type Struct"),
    ("words.parquet", table(track_id=IDS, embedding=[["a", "b"]] * 120), "not of lists of numbers"),
    ("nested.parquet", table(track_id=IDS, embedding=[[[1.0], [2.0]]] * 120), "not of lists of numbers"),
    ("scalar.parquet", table(track_id=IDS, embedding=[1.0] * 120), "is of type Float64"),
    ("without-id.parquet", table(name=IDS, embedding=ROWS), "it has no column of ids"),
    ("cut.parquet", raw(b"PAR1" + bytes(40)), "cannot be read"),
    ("cut.npz", raw(b"PK\x03\x04" + bytes(40)), "cannot be read"),
    ("cut.npy", raw(b"\x93NUMPY\x01\x00"), "cannot be read"),
    ("lying.npy", huge_header, "cannot be read"),
    ("cut.safetensors", raw(b"\x08\x00"), "cannot be read"),
    ("past.safetensors", header_of_safetensors(PAST_THE_END), "cannot be read"),
    ("complex.safetensors", complex_numbers, "not real numbers"),
    ("ids.safetensors", lambda path: save_file({"embeddings": VECTORS}, path, {"ids": "no json"}), "cannot be read"),
    ("alone.safetensors", lambda path: save_file({"embeddings": VECTORS}, path), "alone.ids.txt"),
    ("alone.npy", lambda path: np.save(path, VECTORS), "alone.ids.txt"),
    ("objects.npy", lambda path: np.save(path, np.array([{}, {}], dtype=object)), "never unpickled"),
    ("short.npy", beside(b"a\nb\n"), "2 ids for 120 vectors"),
    ("blank.npy", beside(b"\n" * 120), "1 ids occur more than once: ''"),
    ("utf-16.npy", beside("\n".join(IDS).encode("utf-16")), "the ids in utf-16.ids.txt cannot be read"),
    ("module.pt", torch_module, "never loaded"),
    ("list.pt", lambda path: torch.save([1, 2], path), "holds a list"),
    ("mixed.pt", lambda path: torch.save({"epoch": 3, "model": torch.ones(2, 2)}, path), "'epoch' is a int"),
    ("text.pt", text("hello"), "cannot be read"),
    ("some.pkl", lambda path: path.write_bytes(pickle.dumps(dict(zip(IDS, ROWS, strict=True)))), "it is a pickle"),
    ("some.npz", lambda path: path.write_bytes(pickle.dumps(ROWS)), "it is a pickle"),
    ("words.csv", text("track_id,title,x\na,b,1\n"), "its columns 'title' are no numbers"),
    ("headless.csv", text("t00000,1,2\nt00001,2,3\n"), "it has no column of ids"),
    ("only.csv", text("track_id\nt00000\n"), "it has no column but 'track_id'"),
    ("elided.csv", text('track_id,embedding\na,"[1 2 ... 3]"\n'), "cannot be read"),
    ("ragged.csv", text('track_id,embedding\na,"[1,2]"\nb,"[1]"\n'), "different lengths: [1, 2]"),
    ("long.csv", text("track_id,x\na,1,2,3\n"), "cannot be read"),
    ("utf-16.csv", raw("track_id,x\na,1\n".encode("utf-16")), "cannot be read"),
    ("twice.csv", text("track_id,x,x\na,1,2\n"), "two of its columns have the same name"),
    ("index.csv", text(",track_id,x\n0,a,2\n"), "a column without a name"),
    ("what.xyz", text("hello"), "vectors cannot be read from a .xyz file"),
    ("nameless", text("hello"), "vectors cannot be read from a nameless file"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "message"), CASES, ids=[name for name, _, _ in CASES])
def test_a_plan_refuses_it(cli, data, tmp_path, name, write, message):
    write(tmp_path / name)
    planned = cli("plan", "--dataset", data, "--encoders", f"precomputed:{tmp_path / name}")
    assert planned.code == 3, planned.err
    assert message in planned.err
    assert "Traceback" not in planned.err
    assert "\x1b" not in planned.err


@pytest.mark.parametrize("path", ["no.npz", "x" * 300 + ".npz", "/dev/null", "no\x1b[31m.npz", "no#column", "~/no.npz"])
def test_what_is_no_file_is_refused(cli, data, path):
    planned = cli("plan", "--dataset", data, "--encoders", f"precomputed:{path}")
    assert planned.code == 3, planned.err
    assert "there is no file" in planned.err
    assert "\x1b" not in planned.err


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_half_precision_is_read(cli, data, tmp_path, kind):
    tensor = torch.from_numpy(VECTORS).to(getattr(torch, kind))
    save_torch({"embeddings": tensor}, tmp_path / "v.safetensors", {"ids": json.dumps(IDS)})
    ran = cli("run", "--dataset", data, "--encoders", f"precomputed:{tmp_path / 'v.safetensors'}",
              "--output", tmp_path / "results")  # fmt: skip
    assert ran.code == 0, ran.err


def test_objects_that_are_no_text_run_no_code(cli, data, tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    np.savez(tmp_path / "v.npz", ids=np.array([Trap()] * 120, dtype=object), embeddings=VECTORS)
    torch.save({"ids": IDS, "embeddings": Trap()}, tmp_path / "v.pt")
    (tmp_path / "sprung").unlink(missing_ok=True)
    for name in ("v.npz", "v.pt"):
        planned = cli("plan", "--dataset", data, "--encoders", f"precomputed:{tmp_path / name}")
        assert planned.code == 3
        assert not (tmp_path / "sprung").exists()


def test_a_member_that_was_damaged_fails_the_cell(cli, data, tmp_path):
    np.savez(tmp_path / "v.npz", ids=np.array(IDS), embeddings=np.tile(VECTORS, (1, 500)))
    with zipfile.ZipFile(tmp_path / "v.npz") as archive:
        member = archive.getinfo("embeddings.npy")
    content = bytearray((tmp_path / "v.npz").read_bytes())
    content[member.header_offset + 100_000] ^= 0xFF
    (tmp_path / "v.npz").write_bytes(content)
    ran = cli("run", "--dataset", data, "--encoders", f"precomputed:{tmp_path / 'v.npz'},random",
              "--seeds", "1", "--output", tmp_path / "results")  # fmt: skip
    assert ran.code == 1, ran.err
    assert "1 cells computed, 0 kept, 1 failed" in ran.err
    assert "cannot be read" in ran.err


@pytest.mark.parametrize("stray", ["artist_id", "Unnamed: 0", "id", "year", "index"])
def test_a_stray_column_of_numbers_is_no_part_of_the_vectors(cli, small, tmp_path, stray):
    ids = [f"t{number:05d}" for number in range(120)]
    vectors = np.load(small.vectors)["embeddings"]
    columns = {"track_id": ids, stray: range(120), **{f"d{n}": vectors[:, n] for n in range(vectors.shape[1])}}
    pl.DataFrame(columns).write_csv(small.folder / "stray.csv")
    refused = cli("run", "--dataset", small.folder / "small", "--encoders", f"precomputed:{small.folder / 'stray.csv'}",
                  "--output", tmp_path / "r")  # fmt: skip
    assert refused.code == 3
    assert f"'{stray}' seem to be no part of the vectors" in refused.err


@pytest.mark.parametrize("name", ["x/nowhere.npz", "mine-precomputed:nowhere.npz"])
def test_a_named_file_that_is_not_there_ends_the_run_however_it_is_written(cli, small, tmp_path, name):
    output = ("--output", tmp_path / "r")
    for encoders in (f"random,{name}", name):
        for verb in ("plan", "run"):
            refused = cli(verb, "--dataset", small.folder / "small", "--encoders", encoders, *output)
            assert refused.code == 3
            assert "1 of those named cannot run" in refused.err
    assert not list(tmp_path.glob("r/**/*.json"))


def test_decimal_commas_and_two_sets_of_ids_are_refused(cli, small, tmp_path):
    ids = np.array([f"t{number:05d}" for number in range(120)])
    rows = "".join(f"{each};[0,5 -1,25]\n" for each in ids)
    (small.folder / "commas.csv").write_text(f"track_id;embedding\n{rows}")
    np.savez(small.folder / "two.npz", ids=ids, track_ids=ids[::-1], uris=ids, embeddings=np.eye(120))
    np.savez(small.folder / "twice.npz", ids=ids, uris=ids[::-1], embeddings=np.eye(120))
    for name in ("commas.csv", "twice.npz"):
        refused = cli("run", "--dataset", small.folder / "small", "--encoders", f"precomputed:{small.folder / name}",
                      "--output", tmp_path / "r")  # fmt: skip
        assert refused.code == 3, name
        assert "Traceback" not in refused.err
