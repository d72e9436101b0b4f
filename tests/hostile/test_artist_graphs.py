"""Artist graphs out of files as people have them: what does not fit is named, and nothing leaves without a word."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from scipy import sparse
from support.graph_tables import ARTISTS, EDGES, TRACKS, build

from larpbench.datasets.artists.acousticbrainz import song_vectors
from larpbench.datasets.files import read_dataset
from larpbench.errors import DataError

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
