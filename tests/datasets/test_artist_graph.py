from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from support.graph_tables import ARTISTS, EDGES, TRACKS, build
from support.sounds import write_tone

from larpbench.datasets.artists.acousticbrainz import artist_vectors, flattened, song_vectors
from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.files import read_dataset
from larpbench.errors import DataError


def test_a_graph_of_tables_is_read_back_and_proved(cli, tmp_path):
    built = build(cli, tmp_path)
    assert built.code == 0, built.err
    graph = read_dataset(tmp_path / "out").graph
    assert graph.ids.tolist() == list("tuvwxyz")
    assert {tuple(graph.ids[pair]) for pair in graph.pairs} == {
        ("t", "u"),
        ("t", "v"),
        ("w", "x"),
        ("t", "y"),
        ("y", "z"),
    }
    checked = cli("dataset", "check", tmp_path / "out")
    assert checked.code == 0
    assert "BAD" not in checked.out
    sizes = json.loads(cli("dataset", "stats", tmp_path / "out", "--json").out)["sizes"]
    assert [(row["artists"], row["edges_within"], row["asked"], row["isolated"]) for row in sizes] == [
        (3, 2, 3, 0),
        (2, 1, 2, 2),
        (2, 1, 2, 1),
    ]
    again = build(cli, tmp_path)
    assert again.code == 0
    other = build(cli, tmp_path, ARTISTS, TRACKS, EDGES + "u,v\n")
    assert other.code == 2
    assert "something else" in other.err


def test_an_edge_may_be_turned_and_a_list_symmetric(cli, tmp_path):
    build(cli, tmp_path)
    first = read_dataset(tmp_path / "out").manifest.fingerprint
    lines = [line.split(",") for line in EDGES.splitlines()[1:]]
    both = "artist_a,artist_b\n" + "".join(f"{a},{b}\n{b},{a}\n" for a, b in lines)
    assert build(cli, tmp_path, ARTISTS, TRACKS, both).code == 0
    assert read_dataset(tmp_path / "out").manifest.fingerprint == first


@pytest.mark.parametrize(
    ("artists", "tracks", "edges", "message"),
    [
        (ARTISTS, TRACKS, EDGES + "t,nobody\n", "1 artists of edges are unknown: 'nobody'"),
        (ARTISTS, TRACKS, EDGES + "t,t\n", "1 artists are similar to themselves: 't'"),
        (ARTISTS, TRACKS, EDGES + "t,u\n", "1 edges are duplicates, listed more than once in the same direction"),
        (ARTISTS, TRACKS, EDGES + "u,t\n", "1 of the edges are duplicates, listed in both directions: 't - u'"),
        (ARTISTS, TRACKS, "artist_a,artist_b\n", "there are no edges"),
        (ARTISTS + "q,Q,test\n", TRACKS, EDGES, "1 artists have no song: 'q'"),
        (ARTISTS + "t,T,test\n", TRACKS, EDGES, "1 artist ids occur more than once: 't'"),
        (ARTISTS + "q,Q,dev\n", TRACKS + "q1,q,Q,Q,\n", EDGES, "1 artists are in no split: 'q'"),
        (ARTISTS.replace("valid", "train"), TRACKS, EDGES, "no artist is in valid"),
        (ARTISTS, TRACKS + "t1,z,Song,Artist,\n", EDGES, "1 songs belong to artists of two splits: 't1'"),
        (ARTISTS, TRACKS + "n1,nobody,Song,Artist,\n", EDGES, "1 artists of songs are unknown: 'nobody'"),
    ],
)  # fmt: skip
def test_bad_tables_are_named(cli, tmp_path, artists, tracks, edges, message):
    built = build(cli, tmp_path, artists, tracks, edges)
    assert built.code == 2
    assert message in built.err
    assert not (tmp_path / "out").exists()


def test_ready_made_features_need_a_row_for_every_artist(cli, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    ids = np.array(list("zyxwvut"))
    values = np.arange(14, dtype=np.float32).reshape(7, 2)
    np.savez(folder / "mine.npz", ids=ids[:5], embeddings=values[:5])
    built = build(cli, tmp_path, ARTISTS, TRACKS, EDGES, "--features", folder)
    assert built.code == 2
    assert "2 of 7 artists have no features: 't', 'u'" in built.err
    np.savez(folder / "mine.npz", ids=ids, embeddings=values[:5])
    assert "7 ids for 5 rows" in build(cli, tmp_path, ARTISTS, TRACKS, EDGES, "--features", folder).err
    np.savez(folder / "mine.npz", ids=ids, embeddings=values * np.nan)
    assert (
        "NaN or infinite features of 7 artists"
        in build(cli, tmp_path, ARTISTS, TRACKS, EDGES, "--features", folder).err
    )
    np.savez(folder / "mine.npz", ids=ids, embeddings=values)
    assert build(cli, tmp_path, ARTISTS, TRACKS, EDGES, "--features", folder).code == 0
    with np.load(read_dataset(tmp_path / "out").graph.features["mine"]) as stored:
        assert stored["ids"].tolist() == list("tuvwxyz")
        np.testing.assert_array_equal(stored["embeddings"], values[::-1])


def test_a_changed_table_is_found_out(cli, tmp_path):
    build(cli, tmp_path)
    path = tmp_path / "out" / "edges.parquet"
    pl.read_parquet(path).vstack(pl.DataFrame({"artist_a": ["y"], "artist_b": ["y"]})).write_parquet(path)
    checked = cli("dataset", "check", tmp_path / "out")
    assert checked.code == 1
    assert "BAD  edges: known artists, no loops, no duplicates: 1 artists are similar to themselves: 'y'" in checked.out
    assert "BAD  digest of edges" in checked.out


def test_songs_that_cannot_be_heard_leave_with_their_artists(cli, tmp_path):
    for name in "tuvwxy":
        write_tone(tmp_path / "clips" / f"{name}1.ogg", 300, seconds=12)
    (tmp_path / "clips" / "z1.ogg").write_bytes(b"no music")
    built = build(cli, tmp_path, ARTISTS, TRACKS, EDGES + "t,z\n", "--audio", tmp_path / "clips")
    assert built.code == 0, built.err
    data = read_dataset(tmp_path / "out")
    assert data.graph.ids.tolist() == list("tuvwxy")
    assert data.manifest.left_out["artists of whom no song can be heard"] == 1
    assert data.manifest.left_out["edges of these artists"] == 2
    assert data.manifest.left_out["songs without an audio file"] == 7
    assert data.split("test").audio.files["audio"].to_list() == ["y1.ogg"]
    assert cli("dataset", "check", tmp_path / "out").code == 0


OLGA = "index,musicbrainz_id,partition,tracks\n" + "".join(
    f"{row},{name},{split},\"['{name}1', '{name}2']\"\n"
    for row, (name, split) in enumerate(zip("abcdef", ["train", "val", "test"] * 2, strict=True))
)


def write_olga(folder):
    folder.mkdir()
    (folder / "olga.csv").write_text(OLGA)
    np.save(folder / "acousticbrainz.npy", np.arange(18.0).reshape(6, 3))
    matrix = sparse.coo_matrix((np.ones(4), ([0, 1, 2, 0], [3, 4, 5, 1])), shape=(6, 6))
    sparse.save_npz(folder / "artist_connections.npz", matrix)


def test_olga_from_the_users_copy(cli, tmp_path):
    write_olga(tmp_path / "olga")
    built = cli(
        "dataset",
        "build",
        "olga",
        "--source",
        tmp_path / "olga",
        "--edges",
        tmp_path / "olga" / "artist_connections.npz",
    )
    assert built.code == 0, built.err
    data = load_dataset("olga")
    assert data.graph.ids.tolist() == list("adbecf")
    assert data.graph.songs.filter(pl.col("artist_id") == "b")["track_id"].to_list() == ["b1", "b2"]
    assert {tuple(data.graph.ids[pair]) for pair in data.graph.pairs} == {
        ("a", "d"),
        ("b", "e"),
        ("c", "f"),
        ("a", "b"),
    }
    with np.load(data.graph.features["acousticbrainz"]) as stored:
        assert stored["embeddings"][:, 0].tolist() == [0, 9, 3, 12, 6, 15]


def test_olga_with_edges_that_do_not_fit(cli, tmp_path):
    write_olga(tmp_path / "olga")
    sparse.save_npz(tmp_path / "small.npz", sparse.coo_matrix(np.ones((4, 4))))
    built = cli("dataset", "build", "olga", "--source", tmp_path / "olga", "--edges", tmp_path / "small.npz")
    assert built.code == 2
    assert "the matrix is 4 x 4, and there are 6 artists" in built.err
    np.save(tmp_path / "olga" / "acousticbrainz.npy", np.zeros((5, 3)))
    edges = tmp_path / "olga" / "artist_connections.npz"
    built = cli("dataset", "build", "olga", "--source", tmp_path / "olga", "--edges", edges)
    assert built.code == 2
    assert "5 rows of features for 6 artists" in built.err


def test_disco_olga_from_the_users_copy(cli, tmp_path):
    masks = {"train": [1, 1, 0, 0, 0, 0], "val": [0, 0, 1, 1, 0, 0], "test": [0, 0, 0, 0, 1, 1]}
    for name, mask in masks.items():
        np.save(tmp_path / f"{name}_mask.npy", np.array(mask, dtype=bool))
    rows, columns = [0, 2, 4, 1], [1, 3, 5, 5]
    sparse.save_npz(tmp_path / "similar_to.npz", sparse.csr_matrix((np.ones(4, bool), (rows, columns)), shape=(6, 6)))
    np.save(tmp_path / "clap.npy", np.ones((6, 4), dtype=np.float32))
    np.save(tmp_path / "moods_themes.npy", np.eye(6, dtype=np.int64))
    built = cli("dataset", "build", "disco-olga", "--source", tmp_path)
    assert built.code == 0, built.err
    graph = load_dataset("disco-olga").graph
    assert graph.pairs.tolist() == [[0, 1], [1, 5], [2, 3], [4, 5]]
    assert sorted(graph.features) == ["clap", "moods-themes"]
    np.save(tmp_path / "val_mask.npy", np.array([0, 1, 1, 0, 0, 0], dtype=bool))
    built = cli("dataset", "build", "disco-olga", "--source", tmp_path, "--output", tmp_path / "other")
    assert built.code == 2
    assert "1 artists are in two splits, 1 in none: '1', '3'" in built.err


def document(**changes):
    return {
        "lowlevel": {"mfcc": {"mean": [1.5, -2, 3]}, "silence": False, "spread": float("nan")},
        "metadata": {"audio_properties": {"length": 200.5, "codec": "mp3"}, "tags": {"title": ["A"]}},
        **changes,
    }


def test_every_common_number_of_a_document_is_a_column(tmp_path):
    assert dict(flattened(document())) == {
        "lowlevel.mfcc.mean.0": 1.5,
        "lowlevel.mfcc.mean.1": -2.0,
        "lowlevel.mfcc.mean.2": 3.0,
        "lowlevel.silence": 0.0,
        "metadata.audio_properties.length": 200.5,
    }
    (tmp_path / "s1.json").write_text(json.dumps(document(tonal={"key": 4})))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "s2-0.json").write_text(
        json.dumps(document(lowlevel={"mfcc": {"mean": [3, 4]}, "silence": True}))
    )
    names, values = song_vectors(tmp_path, ["s2", "s1"])
    assert names == [
        "lowlevel.mfcc.mean.0",
        "lowlevel.mfcc.mean.1",
        "lowlevel.silence",
        "metadata.audio_properties.length",
    ]
    np.testing.assert_array_equal(values, np.array([[3, 4, 1, 200.5], [1.5, -2, 0, 200.5]], dtype=np.float32))
    _, pooled = artist_vectors(tmp_path, [["s1", "s2"], ["s2"]], most=25)
    np.testing.assert_array_equal(pooled[0], values.mean(axis=0))
    _, single = artist_vectors(tmp_path, [["s1", "s2"], ["s2"]])
    np.testing.assert_array_equal(single[0], values[1])


def test_songs_without_a_document_and_broken_ones_are_named(tmp_path):
    with pytest.raises(DataError, match="2 of 2 songs have no low-level document: 'x', 'y'"):
        song_vectors(tmp_path, ["x", "y"])
    (tmp_path / "x.json").write_text("[1, 2")
    with pytest.raises(DataError, match="no JSON"):
        song_vectors(tmp_path, ["x"])
    (tmp_path / "x.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="no JSON object"):
        song_vectors(tmp_path, ["x"])
    (tmp_path / "x.json").write_text('{"a": "b"}')
    with pytest.raises(DataError, match="no number in common"):
        song_vectors(tmp_path, ["x"])


def test_the_toy_graph_is_the_same_every_time(cli, tmp_path):
    assert cli("dataset", "build", "toy-artists", "--output", tmp_path / "toy").code == 0
    first, named = read_dataset(tmp_path / "toy"), load_dataset("toy-artists")
    assert first.manifest.fingerprint == named.manifest.fingerprint
    assert len(named.graph.ids) == 300
    assert cli("dataset", "build", "toy-artists", "--seed", "7", "--output", tmp_path / "other").code == 0
    assert read_dataset(tmp_path / "other").manifest.fingerprint != first.manifest.fingerprint
