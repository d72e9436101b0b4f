"""Audio files by track ids, on disks that write names in another form of Unicode or in none."""

from __future__ import annotations

import os
import unicodedata

import numpy as np
import polars as pl
import pytest
from support.sounds import write_tone

from larpbench.datasets.audio_files.library import PathsOnDisk
from larpbench.datasets.audio_files.named import find_audio

FORMS = ["NFC", "NFD"]


@pytest.mark.parametrize("on_disk", FORMS)
@pytest.mark.parametrize("in_table", FORMS)
def test_files_named_by_ids_are_found_in_any_form_of_unicode(on_disk, in_table, tmp_path):
    ids = [unicodedata.normalize(in_table, "é 1"), "b", "gone"]
    for name in ("é 1.ogg", "b.flac"):
        (tmp_path / unicodedata.normalize(on_disk, name)).touch()
    audio = find_audio(tmp_path)
    found = audio.of(pl.Series(ids), np.ones(3))
    assert {name: path.name for name, path in found.items()} == {
        ids[0]: unicodedata.normalize(on_disk, "é 1.ogg"),
        "b": "b.flac",
    }
    assert audio.file_of(ids[0]).is_file()


@pytest.mark.parametrize("on_disk", FORMS)
def test_paths_of_a_table_are_found_in_any_form_of_unicode(on_disk, tmp_path):
    path = tmp_path / unicodedata.normalize(on_disk, "Ré/ü.ogg")
    path.parent.mkdir()
    path.touch()
    for form in FORMS:
        (tmp_path / "t.csv").write_text(f"track_id,path\na,{unicodedata.normalize(form, 'Ré/ü.ogg')}\nb,no é.ogg\n")
        files = find_audio(tmp_path / "t.csv").files
        assert files == {"a": path, "b": tmp_path / "no é.ogg"}


def test_both_forms_on_one_disk_are_two_files(tmp_path):
    names = [unicodedata.normalize(form, "é.ogg") for form in FORMS]
    for name in names:
        (tmp_path / name).touch()
    assert [PathsOnDisk().find(tmp_path / name) for name in names] == [tmp_path / name for name in names]
    assert PathsOnDisk().find(tmp_path / "a\x00é") == tmp_path / "a\x00é"


def test_names_that_cannot_be_an_id_are_no_files(tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    (tmp_path / odd).mkdir()
    for name in ("good.ogg", f"{odd}.ogg", "new\nline.ogg", f"{odd}/inner.ogg"):
        (tmp_path / name).touch()
    assert list(find_audio(tmp_path).files) == ["good"]


def test_a_csv_table_names_files_whose_names_are_decomposed_on_disk(cli, tmp_path):
    names = [f"Café {number}.wav" for number in range(4)]
    library = tmp_path / "library"
    library.mkdir()
    for number, name in enumerate(names):
        write_tone(library / unicodedata.normalize("NFD", name), 200 + 40 * number)
    tracks = "".join(f"t{n},Song {n},Somebody,,{unicodedata.normalize('NFC', name)}\n" for n, name in enumerate(names))
    (tmp_path / "tracks.csv").write_text(f"track_id,title,artist,album,audio\n{tracks}", encoding="utf-8")
    (tmp_path / "playlists.csv").write_text("playlist_id,track_id\n" + "".join(f"p,t{n}\n" for n in range(4)))
    built = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "tracks.csv", "--playlists", tmp_path / "playlists.csv",
        "--audio", library, "--train-fraction", "0", "--min-length", "2", "--output", tmp_path / "data",
    )  # fmt: skip
    assert built.code == 0, built.err
    assert "4 tracks" in built.out
    assert cli("dataset", "check", tmp_path / "data").code == 0
