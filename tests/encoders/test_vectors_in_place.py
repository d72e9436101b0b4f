"""Vectors in files are read in parts, in any order, and never copied into memory as a whole."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import larpbench
from larpbench import mapped, table_files
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.schema import Interactions
from larpbench.datasets.sources.csv import build_csv
from larpbench.encoders.names import get_encoder
from larpbench.encoders.precomputed import opening, source, tables
from larpbench.encoders.precomputed.opening import Place, open_vectors, size_and_dim
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.errors import DataError, StorageError
from larpbench.recommenders.vectors import playlist_means
from larpbench.vectors import unit_rows

TRACKS, DIM = 60_000, 512
IDS = [f"t{number:05d}" for number in range(400)]


@pytest.fixture
def vectors(tmp_path):
    rows = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "v.ids.txt").write_text("\n".join(IDS))
    np.savez(tmp_path / "v.npz", ids=np.array(IDS), embeddings=rows)
    save_file({"embeddings": rows}, tmp_path / "v.safetensors")
    table = pl.DataFrame({"track_id": IDS, "embedding": rows})
    table.write_parquet(tmp_path / "v.parquet", row_group_size=64)
    return rows


@pytest.mark.parametrize("name", ["v.npy", "v.npz", "v.safetensors", "v.parquet"])
def test_rows_in_any_order_are_read_in_parts(vectors, tmp_path, monkeypatch, name):
    monkeypatch.setattr(source, "BLOCK_BYTES", 200)
    monkeypatch.setattr(source, "_GAP_BYTES", 64)
    monkeypatch.setattr(tables, "_ROWS", 10)
    monkeypatch.setattr(table_files, "_LARGER_BY_POLARS", 2)
    found = open_vectors(Place(tmp_path / name, None))
    generator = np.random.default_rng(1)
    for rows in (np.arange(400), generator.permutation(400), generator.integers(400, size=50), np.array([399, 0])):
        assert np.array_equal(found.rows(rows), vectors[rows])


@pytest.mark.parametrize("reader", ["_decoded_by_polars", "_decoded_by_arrow"])
def test_both_readers_of_parquet_give_the_same_pieces(vectors, tmp_path, reader):
    if reader == "_decoded_by_arrow":
        pytest.importorskip("pyarrow")
    read = getattr(table_files, reader)
    pieces = list(read(tmp_path / "v.parquet", ["track_id", "embedding"], 10, 1_000, lambda *rows: True))
    ids = [each for _, frame in pieces for each in frame["track_id"]]
    assert ids == IDS
    assert np.array_equal(np.concatenate([frame["embedding"].to_numpy() for _, frame in pieces]), vectors)
    starts = np.cumsum([0, *(frame.height for _, frame in pieces)])[:-1] + 1_000
    assert [start for start, _ in pieces] == starts.tolist()
    some = read(tmp_path / "v.parquet", ["track_id"], 10, 0, lambda low, high: low <= 130 < high)
    assert "t00130" in [each for _, frame in some for each in frame["track_id"]]


@pytest.mark.parametrize("missing", [range(5), range(0, 300, 7), [63, 64, 130]])
@pytest.mark.parametrize("nothing", [None, []])
def test_missing_vectors_shift_no_others(vectors, tmp_path, monkeypatch, missing, nothing):
    """A table in several chunks, of a file with many row groups or of frames put together, with rows left out."""
    monkeypatch.setattr(table_files.importlib.util, "find_spec", lambda name: None)  # no pyarrow
    cells = [nothing if row in set(missing) else cell for row, cell in enumerate(vectors.tolist())]
    table = pl.DataFrame({"track_id": IDS, "embedding": pl.Series(cells, dtype=pl.List(pl.Float32))})
    table.write_parquet(tmp_path / "gaps.parquet", row_group_size=64)
    there = np.setdiff1d(np.arange(len(IDS)), missing)
    in_chunks = pl.concat([table[:64], table[64:100], table[100:]], rechunk=False)
    for found in (open_vectors(Place(tmp_path / "gaps.parquet", None)), tables.of_frame(in_chunks)):
        assert found.ids.to_list() == [IDS[row] for row in there]
        np.testing.assert_array_equal(found.rows(np.arange(len(there))), vectors[there])
        np.testing.assert_array_equal(found.rows(np.array([70, 3])), vectors[there[[70, 3]]])


def test_a_plan_looks_at_the_size_of_a_folder_once(tmp_path, monkeypatch):
    for name in IDS[:3]:
        np.save(tmp_path / f"{name}.npy", np.ones(4, dtype=np.float32))
    looked = []
    real = opening.files_of
    monkeypatch.setattr(opening, "files_of", lambda path: looked.append(path) or real(path))
    assert [size_and_dim(str(tmp_path)) for _ in range(3)] == [(3 * (128 + 16), 4)] * 3
    assert len(looked) == 2  # to open it, and for its size
    np.save(tmp_path / "more.npy", np.ones(4, dtype=np.float32))
    open_vectors(Place(tmp_path, None))  # as the next plan does
    assert size_and_dim(str(tmp_path)) == (4 * (128 + 16), 4)


def test_an_array_in_a_mapped_file_holds_what_one_in_memory_does(tmp_path, monkeypatch):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    rows = np.random.default_rng(0).normal(size=(9_000, 7)).astype(np.float32)
    expected = unit_rows(rows)
    monkeypatch.setattr(mapped, "LARGEST_IN_MEMORY", 1)
    assert np.array_equal(unit_rows(rows), expected)
    assert not list((tmp_path / "home").iterdir())  # the file has no name, so that no kill leaves it


def test_no_room_for_a_mapped_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(mapped, "LARGEST_IN_MEMORY", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(StorageError, match="cannot write") as refused:
            mapped.empty_rows(1_000, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "home") in str(refused.value)


def test_where_the_home_folder_cannot_be_written_arrays_are_in_memory(tmp_path, monkeypatch):
    """Root may write everywhere, so the refusal is made up."""
    monkeypatch.setattr(mapped, "LARGEST_IN_MEMORY", 1)

    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(mapped.tempfile, "TemporaryFile", refused)
    rows = mapped.empty_rows(3, 2)
    rows[:] = 1.0
    assert (rows.shape, rows.dtype, rows.base) == ((3, 2), np.float32, None)


def test_a_file_that_is_cut_off_is_refused(vectors, tmp_path):
    path = tmp_path / "v.npy"
    found = open_vectors(Place(path, None))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="has become shorter while it was read"):
        found.rows(np.arange(400))
    with pytest.raises(DataError, match=r"it is cut off: an array of shape \(400, 8\)"):
        open_vectors(Place(path, None))


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_means_of_unit_rows_are_those_of_scaled_vectors(tracks, dim, seed):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(tracks, dim)).astype(np.float32)
    vectors[generator.random(tracks) < 0.1] = 0
    lengths = generator.integers(1, 6, size=5)
    entries = generator.integers(tracks, size=lengths.sum())
    playlists = Interactions(np.array(list("abcde")), np.concatenate([[0], np.cumsum(lengths)]), entries)
    for weights in (None, generator.random(len(entries)) + 0.1):
        expected = playlist_means(playlists, unit_rows(vectors), weights)
        assert np.array_equal(playlist_means(playlists, vectors, weights, unit=True), expected)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A data set of many tracks, and vectors of 123 MB in another order."""
    folder = tmp_path_factory.mktemp("large")
    ids = [f"t{number:06d}" for number in range(TRACKS)]
    pl.DataFrame(dict.fromkeys(("track_id", "title", "artist", "album"), ids)).write_csv(folder / "tracks.csv")
    drawn = np.random.default_rng(0).integers(TRACKS, size=20 * 10)
    playlists = pl.DataFrame({"playlist_id": np.repeat(np.arange(20), 10), "track_id": [ids[each] for each in drawn]})
    playlists.write_csv(folder / "playlists.csv")
    options = BuildOptions("large", "a test", "none", train_fraction=0.0)
    build_csv(folder / "tracks.csv", folder / "playlists.csv", options, folder / "data")
    order = np.random.default_rng(1).permutation(TRACKS)
    rows = np.random.default_rng(2).normal(size=(TRACKS, DIM)).astype(np.float32)
    np.save(folder / "v.npy", rows[order])
    (folder / "v.ids.txt").write_text("\n".join(ids[each] for each in order))
    return folder, rows


_LOOK_UP = """
import re, sys, threading
from pathlib import Path
import larpbench
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.recommenders.itemknn import ITEMKNN
from larpbench.evaluation.queries import queries_of

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

data = larpbench.load_dataset(sys.argv[1])
queries, spec = queries_of(data.split("test")), get_encoder("precomputed:" + sys.argv[2])
spec.require_possible(data, ["test"])
ended, peak, before = threading.Event(), [0.0], anonymous()

def watch():
    while not ended.wait(0.002):
        peak[0] = max(peak[0], anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
vectors = EmbeddingStore(Path(sys.argv[3])).embed(spec, data, "test", 0).vectors
means, items = ITEMKNN.query_vectors(queries.seeds, vectors), ITEMKNN.item_vectors(vectors)
ended.set()
watcher.join()
print(peak[0] - before, float(vectors[123, 4]), float(items[123] @ items[123]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_a_large_file_takes_no_memory_of_its_size(large, tmp_path, monkeypatch):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    folder, rows = large
    script = [sys.executable, "-c", _LOOK_UP, folder / "data", folder / "v.npy", tmp_path / "store"]
    ran = subprocess.run(list(map(str, script)), check=True, capture_output=True, text=True)
    added_mb, number, square = map(float, ran.stdout.split())
    assert number == rows[123, 4]
    assert square == pytest.approx(1, abs=1e-5)
    assert added_mb < 80  # one copy, and there would be two, is 117 MB


def test_vectors_in_a_mapped_file_are_those_of_the_file(large, tmp_path, monkeypatch):
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    folder, rows = large
    data = larpbench.load_dataset(folder / "data")
    found = EmbeddingStore(tmp_path / "s").embed(get_encoder(f"precomputed:{folder / 'v.npy'}"), data, "test", 0)
    assert np.array_equal(found.vectors, rows)
    assert found.vectors.flags.writeable  # as torch wants it
