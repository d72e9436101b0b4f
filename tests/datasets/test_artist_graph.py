from __future__ import annotations

import contextlib
import json

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sounds import write_tone

from larpbench.datasets.acousticbrainz import artist_vectors, flattened, song_vectors
from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.files import read_dataset
from larpbench.errors import DataError

ARTISTS = "artist_id,name,split\n" + "".join(
    f"{name},Artist {name},{split}\n"
    for name, split in zip("tuvwxyz", ["train"] * 3 + ["valid"] * 2 + ["test"] * 2, strict=True)
)
TRACKS = "track_id,artist_id,title,artist,album\n" + "".join(
    f"{name}{song},{name},Song {song},Artist {name},\n" for name in "tuvwxyz" for song in (1, 2)
)
EDGES = "artist_a,artist_b\nt,u\nv,t\nw,x\nt,y\nz,y\n"


def build(cli, tmp_path, artists=ARTISTS, tracks=TRACKS, edges=EDGES, *more):
    for name, text in (("a.csv", artists), ("t.csv", tracks), ("e.csv", edges)):
        (tmp_path / name).write_text(text)
    return cli(
        "dataset", "build", "artist-graph", "--artists", tmp_path / "a.csv", "--tracks", tmp_path / "t.csv",
        "--edges", tmp_path / "e.csv", "--output", tmp_path / "out", *more,
    )  # fmt: skip


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


ARCHIVE_MASKS = {"train": [0, 1, 2], "val": [3, 4], "test": [5, 6]}


def write_disco(folder, masks=ARCHIVE_MASKS, kind=np.int64, edges=((0, 1), (3, 4), (5, 6), (1, 5)), size=7):
    """The archive of the second paper's authors: its masks hold row numbers."""
    folder.mkdir(exist_ok=True)
    for name, values in masks.items():
        np.save(folder / f"{name}_mask.npy", np.array(values, dtype=kind))
    rows, columns = zip(*edges, strict=True)
    matrix = sparse.csr_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(size, size))
    sparse.save_npz(folder / "similar_to.npz", matrix)
    np.save(folder / "clap.npy", np.arange(2.0 * size).reshape(size, 2))
    return folder


def build_disco(cli, folder, *more):
    return cli("dataset", "build", "disco-olga", "--source", folder, "--output", folder / "out", *more)


def test_masks_of_the_archive_are_row_numbers_or_truth_values(cli, tmp_path):
    truth = {name: [row in rows for row in range(7)] for name, rows in ARCHIVE_MASKS.items()}
    cases = [(ARCHIVE_MASKS, np.int64), (ARCHIVE_MASKS, np.uint8), (ARCHIVE_MASKS, np.float64), (truth, bool),
             (truth, np.int8), (truth, np.float32)]  # fmt: skip
    found = set()
    for number, (masks, kind) in enumerate(cases):
        folder = write_disco(tmp_path / str(number), masks, kind)
        built = build_disco(cli, folder)
        assert built.code == 0, built.err
        data = read_dataset(folder / "out")
        assert [len(data.graph.rows(name)) for name in ("train", "valid", "test")] == [3, 2, 2]
        assert data.graph.ids.tolist() == [f"{row:05d}" for row in range(7)]
        found.add(data.manifest.fingerprint)
    assert len(found) == 1


def test_row_numbers_in_any_order_stay_with_their_rows(cli, tmp_path):
    masks = {"train": [6, 0, 3], "val": [5, 1], "test": [4, 2]}
    folder = write_disco(tmp_path / "disco", masks, edges=((0, 3), (1, 5), (2, 4)))
    assert build_disco(cli, folder).code == 0
    graph = read_dataset(folder / "out").graph
    assert graph.ids.tolist() == ["00000", "00003", "00006", "00001", "00005", "00002", "00004"]
    with np.load(graph.features["clap"]) as stored:
        assert stored["embeddings"][:, 0].tolist() == [0, 6, 12, 2, 10, 4, 8]


@pytest.mark.parametrize(
    ("masks", "kind", "message"),
    [
        (ARCHIVE_MASKS | {"test": [5, 6, 4]}, np.int64, "1 artists are in two splits, 0 in none: '4'"),
        (ARCHIVE_MASKS | {"test": [5]}, np.int64, "0 artists are in two splits, 1 in none: '6'"),
        (ARCHIVE_MASKS | {"test": [5, 7]}, np.int64, "which artists are in test: its rows are 5 to 7"),
        (ARCHIVE_MASKS | {"val": [3, -3]}, np.int64, "which artists are in valid: its rows are -3 to 3"),
        (ARCHIVE_MASKS | {"val": [3, 4, 4]}, np.int64, "in valid: 1 rows are there twice"),
        (ARCHIVE_MASKS | {"val": [3, 4.5]}, np.float64, "in valid: its numbers are float64, its shape is (2,)"),
        ({name: [[0, 1]] for name in ARCHIVE_MASKS}, np.int64, "in train: its numbers are int64, its shape is (1, 2)"),
        ({name: [True] * 5 for name in ARCHIVE_MASKS}, bool, "in train: it has 5 truth values"),
        ({name: [0, 1, 2, 0, 0, 0, 0] for name in ARCHIVE_MASKS}, np.int64, "in train: one of its 7 numbers is 2"),
        ({name: ["a", "b"] for name in ARCHIVE_MASKS}, object, "train_mask.npy"),
    ],
)
def test_masks_that_do_not_say_who_is_where(cli, tmp_path, masks, kind, message):
    built = build_disco(cli, write_disco(tmp_path / "disco", masks, kind))
    assert built.code == 2
    assert "Traceback" not in built.err
    assert message in built.err
    assert "_mask.npy" in built.err


def test_one_way_edges_are_refused_and_symmetrised_if_asked(cli, tmp_path):
    lines = EDGES.splitlines()[1:]
    some = EDGES + "".join(f"{b},{a}\n" for a, b in (line.split(",") for line in lines[:2]))
    refused = build(cli, tmp_path, ARTISTS, TRACKS, some)
    assert refused.code == 2
    assert "2 of the edges are duplicates, listed in both directions" in refused.err
    assert "3 are listed in one direction only" in refused.err
    assert "--symmetrise" in refused.err
    assert build(cli, tmp_path, ARTISTS, TRACKS, some, "--symmetrise").code == 0
    data = read_dataset(tmp_path / "out")
    note = "3 of 5 edges are listed in one direction only, and count as the others do."
    assert data.manifest.notes == (note,)
    assert cli("dataset", "check", tmp_path / "out").code == 0
    plain = tmp_path / "plain"
    plain.mkdir()
    for more in ((), ("--symmetrise",)):
        assert build(cli, plain, ARTISTS, TRACKS, EDGES, *more).code == 0
        assert read_dataset(plain / "out").manifest.fingerprint == data.manifest.fingerprint
        assert read_dataset(plain / "out").manifest.notes == ()
    twice = build(cli, plain, ARTISTS, TRACKS, EDGES + "t,u\n", "--symmetrise")
    assert twice.code == 2
    assert "listed more than once in the same direction" in twice.err


def test_one_way_edges_of_a_matrix(cli, tmp_path):
    folder = write_disco(tmp_path / "disco", edges=((0, 1), (1, 0), (3, 4), (6, 5)))
    assert "--symmetrise" in build_disco(cli, folder).err
    assert build_disco(cli, folder, "--symmetrise").code == 0
    assert read_dataset(folder / "out").graph.pairs.tolist() == [[0, 1], [3, 4], [5, 6]]


def test_damaged_arrays_and_matrices_are_named(cli, tmp_path):
    folder = write_disco(tmp_path / "disco")
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    np.savez(folder / "beyond.npz", format=b"csr", shape=[7, 7], data=np.ones(1), indices=[9],
             indptr=[0, 1, 1, 1, 1, 1, 1, 1])  # fmt: skip
    np.savez(folder / "negative.npz", format=b"coo", shape=[7, 7], data=np.ones(1), row=[-1], col=[2])
    np.savez(folder / "objects.npz", format=b"csr", shape=[7, 7], data=np.array([{}], dtype=object))
    made = {name: (folder / f"{name}.npz").read_bytes() for name in ("beyond", "negative", "objects")}
    cases = [
        ("similar_to.npz", content)
        for content in (*made.values(), whole["similar_to.npz"][:200], b"PK\x03\x04", b"", whole["clap.npy"])
    ]
    cases += [("clap.npy", content) for content in (whole["clap.npy"][:-8], b"", whole["similar_to.npz"], b"x")]
    cases += [("val_mask.npy", content) for content in (whole["val_mask.npy"][:40], whole["similar_to.npz"])]
    for number, (name, content) in enumerate(cases):
        (folder / name).write_bytes(content)
        built = build_disco(cli, folder)
        assert (built.code, "Traceback" in built.err) == (2, False), (number, built.err)
        assert name in built.err
        (folder / name).write_bytes(whole[name])
    for name in ("similar_to.npz", "train_mask.npy"):
        (folder / name).unlink()
        built = build_disco(cli, folder)
        assert built.code == 2
        assert "there is no file" in built.err
        (folder / name).write_bytes(whole[name])
    for name, array in (("complex", np.ones((7, 2), complex)), ("huge", np.full((7, 2), 1e39))):
        np.save(folder / "clap.npy", array)
        built = build_disco(cli, folder)
        assert built.code == 2, name
        assert "features clap" in built.err


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


def whole_document(beats, **changes):
    """A document of all four groups, with as many beats as wanted."""
    rhythm = {"bpm": 120.5, "beats_position": [0.5 * place for place in range(beats)]}
    return document(tonal={"key_strength": 0.5}, rhythm=rhythm, **changes)


def test_a_document_that_lacks_a_group_is_named_and_takes_no_column_away(tmp_path, capsys):
    for number in range(5):
        (tmp_path / f"s{number}.json").write_text(json.dumps(whole_document(beats=4 + number)))
    songs = [f"s{number}" for number in range(5)]
    names, values = song_vectors(tmp_path, songs)
    assert values.shape == (5, 11)
    assert [name for name in names if name.startswith("rhythm")] == [
        *(f"rhythm.beats_position.{place}" for place in range(4)),
        "rhythm.bpm",
    ]
    said = capsys.readouterr().err
    assert "11 columns stay, 4 leave" in said
    assert "rhythm.beats_position (4; not in 's0.json')" in said
    (tmp_path / "s3.json").write_text(json.dumps(document(tonal={"key_strength": 0.5})))
    with pytest.raises(DataError, match=r"1 files are no whole .*: 's3.json': it has no numbers in rhythm"):
        song_vectors(tmp_path, songs)
    assert song_vectors(tmp_path, ["s0", "s1", "s2", "s4"])[1].shape == (4, 11)


def test_saved_error_pages_are_named_all_at_once(tmp_path):
    for number in range(5):
        (tmp_path / f"s{number}-0.json").write_text(json.dumps(whole_document(beats=4)))
    songs = [f"s{number}" for number in range(5)]
    pages = {
        "s0": "<!DOCTYPE html><html>404</html>",
        "s1": '{"message": "Not found"}',
        "s2": '{"code": 404, "message": "Not found"}',
    }
    for name, page in pages.items():
        (tmp_path / f"{name}-0.json").write_text(page)
        with pytest.raises(DataError, match=f"1 files are no whole low-level documents: '{name}-0.json': it "):
            song_vectors(tmp_path, songs)
        (tmp_path / f"{name}-0.json").write_text(json.dumps(whole_document(beats=4)))
    for name in ("s0", "s1"):
        (tmp_path / f"{name}-0.json").write_text(pages[name])
    with pytest.raises(DataError, match=r"2 files .*'s0-0.json': it is no JSON.*; 's1-0.json': it has no number"):
        song_vectors(tmp_path, songs)
    (tmp_path / "s3-0.json").write_text(pages["s2"])
    with pytest.raises(DataError, match=r"no number in common: 's3-0.json' has 1 numbers, 's4-0.json' has 11"):
        song_vectors(tmp_path, ["s3", "s4"])


def test_documents_of_hostile_shapes(tmp_path):
    odd = whole_document(beats=2, more={"huge": 10**400, "deep": [], "text": "x"})
    (tmp_path / "s0.json").write_text("\ufeff" + json.dumps(odd))
    assert song_vectors(tmp_path, ["s0"])[1].shape == (1, 9)
    for text in ("[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, "\x00", "NaN", ""):
        (tmp_path / "s0.json").write_text(text)
        with contextlib.suppress(DataError):
            assert song_vectors(tmp_path, ["s0"])[1].shape == (1, 1)


def test_the_toy_graph_is_the_same_every_time(cli, tmp_path):
    assert cli("dataset", "build", "toy-artists", "--output", tmp_path / "toy").code == 0
    first, named = read_dataset(tmp_path / "toy"), load_dataset("toy-artists")
    assert first.manifest.fingerprint == named.manifest.fingerprint
    assert len(named.graph.ids) == 300
    assert cli("dataset", "build", "toy-artists", "--seed", "7", "--output", tmp_path / "other").code == 0
    assert read_dataset(tmp_path / "other").manifest.fingerprint != first.manifest.fingerprint
