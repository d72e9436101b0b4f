from __future__ import annotations

import json
import os
import shutil
import unicodedata
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
import soundfile
from support.sounds import tone, write_tone

NAMES = [
    "a/one.ogg",
    "a/two.flac",
    "b/three.mp3",
    "b/four.wav",
    "five é.ogg",
    "c/six.flac",
    "c/seven.ogg",
    "c/eight.flac",
]


@pytest.fixture
def library(tmp_path):
    root = tmp_path / "library"
    for number, name in enumerate(NAMES):
        tags = {"title": f"Song {number}", "artist": f"Band {number % 2}", "album": f"Album {number // 4}"}
        write_tone(
            root / name,
            200 + 60 * number,
            rate=(8_000, 22_050, 44_100)[number % 3],
            **({} if name.endswith("wav") else tags),
        )
    return root


def build(cli, tmp_path, library, *more, playlists=None):
    given = ("--playlists", playlists) if playlists else ()
    return cli(
        "dataset", "build", "folder", "--audio", library, *given, "--train-fraction", "0", "--min-length", "2",
        "--clip-seconds", "3", "--output", tmp_path / "data", *more,
    )  # fmt: skip


def members(tmp_path):
    frame = pl.read_parquet(tmp_path / "data" / "playlists.parquet")
    return {name: sorted(rows["track_id"]) for (name,), rows in frame.group_by("playlist_id")}


def test_every_kind_of_playlist_file_is_read(cli, tmp_path, library):
    lists = tmp_path / "lists"
    (lists / "deep").mkdir(parents=True)
    (lists / "bom.m3u8").write_bytes(
        "\ufeff#EXTM3U\r\n#EXTINF:4,x\r\n../library/five é.ogg\r\n../library/a/one.ogg\r\n".encode()
    )
    (lists / "latin.m3u").write_bytes("../library/five é.ogg\n../library/a/two.flac\n".encode("latin-1"))
    (lists / "windows.m3u").write_text("..\\library\\a\\one.ogg\r\n..\\library\\b\\three.mp3\r\n")
    (lists / "absolute.m3u8").write_text(f"{library / 'c/six.flac'}\n{(library / 'c/seven.ogg').as_uri()}\n")
    (lists / "deep" / "list.pls").write_text(
        "[playlist]\nFile2=../../library/b/four.wav\nTitle1=x\nFile1=../../library/a/one.ogg\nNumberOfEntries=2\n"
    )
    (lists / "x.xspf").write_text(
        '<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList>'
        f"<track><location>{(library / 'five é.ogg').as_uri()}</location></track>"
        "<track><location>../library/c/eight.flac</location></track></trackList></playlist>"
    )
    built = build(cli, tmp_path, library, playlists=lists)
    assert built.code == 0, built.err
    assert members(tmp_path) == {
        "bom": ["a/one.ogg", "five é.ogg"],
        "latin": ["a/two.flac", "five é.ogg"],
        "windows": ["a/one.ogg", "b/three.mp3"],
        "absolute": ["c/seven.ogg", "c/six.flac"],
        "deep/list": ["a/one.ogg", "b/four.wav"],
        "x": ["c/eight.flac", "five é.ogg"],
    }
    assert "1 of 8 tracks have no artist" in built.out
    tracks = pl.read_parquet(tmp_path / "data" / "tracks.parquet")
    named = {row["track_id"]: row for row in tracks.iter_rows(named=True)}
    assert len(named) == 8
    assert named["b/four.wav"]["title"] == "four"
    assert named["c/six.flac"]["caption"] == "The track Song 5 by Band 1 on album Album 1"
    assert named["c/six.flac"]["duration_s"] == pytest.approx(4, abs=0.01)
    assert named["c/six.flac"]["clip_start_s"] == 0.5
    assert cli("dataset", "check", tmp_path / "data").code == 0


def test_entries_that_lead_nowhere_are_counted_and_never_read(cli, tmp_path, library):
    outside = write_tone(tmp_path / "outside.ogg", 300)
    (library / "notes.txt").write_text("no audio")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "p.m3u").write_text(
        f"../library/a/one.ogg\n../library/a/two.flac\n{outside}\n../library/../outside.ogg\n../library/gone.ogg\n"
        f"http://radio.example/stream\n../../../../etc/passwd\n{'x' * 9000}\n../library/notes.txt\n"
    )
    (lists / "evil.xspf").write_text('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><playlist>&e;</playlist>')
    (lists / "binary.m3u").write_bytes(b"\x00\x01\x02")
    (lists / "cut.xspf").write_text("<playlist><trackList>")
    built = build(cli, tmp_path, library, playlists=lists)
    assert built.code == 0, built.err
    assert members(tmp_path) == {"p": ["a/one.ogg", "a/two.flac"]}
    left_out = json.loads((tmp_path / "data" / "dataset.json").read_text())["left_out"]
    counts = {reason.partition(" (")[0]: count for reason, count in left_out.items()}
    assert counts["entries that lead to no file in the audio folder"] == 5
    assert counts["entries that are addresses of streams"] == 1
    assert counts["entries that are no audio file"] == 1
    assert counts["playlist files that cannot be read"] == 3
    nowhere = next(reason for reason in left_out if "lead to no file" in reason)
    assert repr(str(outside)) in nowhere
    assert "'../library/../outside.ogg', '../library/gone.ogg', ..)" in nowhere
    assert "'http://radio.example/stream'" in built.out
    assert "evil.xspf: it declares a document type" in built.out


def test_files_that_cannot_be_heard_leave_before_the_split_by_reason(cli, tmp_path, library):
    (library / "text.mp3").write_text("this is no music\n" * 200)
    (library / "empty.ogg").write_bytes(b"")
    whole = (library / "a/one.ogg").read_bytes()
    (library / "cut.ogg").write_bytes(whole[:60])
    soundfile.write(library / "short.flac", tone(440, 0.2, 22_050), 22_050)
    soundfile.write(library / "silent.flac", np.zeros(80_000), 22_050)
    soundfile.write(library / "nan.wav", np.full(80_000, np.nan, dtype=np.float32), 22_050, subtype="FLOAT")
    soundfile.write(library / "surround.flac", np.repeat(tone(500, 4, 48_000)[:, None], 6, axis=1), 48_000)
    built = build(cli, tmp_path, library)
    assert built.code == 0, built.err
    assert "Traceback" not in built.err
    for reason, name in [
        ("too short", "short.flac"), ("silent", "silent.flac"), ("not finite", "nan.wav"), ("unreadable", "text.mp3"),
    ]:  # fmt: skip
        line = next(line for line in built.out.splitlines() if f"whose audio is {reason}" in line)
        assert name in line
    tracks = pl.read_parquet(tmp_path / "data" / "tracks.parquet")["track_id"].to_list()
    assert sorted(tracks) == sorted([*NAMES, "surround.flac"])


def test_without_playlists_albums_are_groups_and_every_table_says_so(cli, tmp_path, library):
    assert build(cli, tmp_path, library).code == 0
    assert set(members(tmp_path)) == {"Band 0: Album 0", "Band 0: Album 1", "Band 1: Album 1"}
    run = cli("run", "--dataset", tmp_path / "data", "--encoders", "tfidf", "--output", tmp_path / "r")
    assert run.code == 0, run.err
    assert "The groups are albums, not playlists" in run.out


def test_an_album_with_guests_is_one_group_and_so_is_a_compilation(cli, tmp_path):
    tags = [
        ("a/1.ogg", {"artist": "A", "album": "X", "albumartist": "A"}),
        ("a/2.ogg", {"artist": "A feat. B", "album": "X", "albumartist": "A"}),
        ("c/1.ogg", {"artist": "C", "album": "Hits", "compilation": "1"}),
        ("c/2.ogg", {"artist": "D", "album": "Hits", "albumartist": "Various Artists"}),
        ("e/1.ogg", {"artist": "E", "album": "Y"}),
        ("e/2.ogg", {"artist": "E ft. F", "album": "Y"}),
    ]
    for number, (name, found) in enumerate(tags):
        write_tone(tmp_path / "library" / name, 300 + 50 * number, **found)
    assert build(cli, tmp_path, tmp_path / "library").code == 0
    assert members(tmp_path) == {
        "A: X": ["a/1.ogg", "a/2.ogg"],
        "Various Artists: Hits": ["c/1.ogg", "c/2.ogg"],
        "E: Y": ["e/1.ogg", "e/2.ogg"],
    }


def test_without_albums_artists_are_groups(cli, tmp_path):
    for number in range(4):
        write_tone(tmp_path / "library" / f"{number}.ogg", 300 + number, artist=f"Band {number % 2}", title="x")
    assert build(cli, tmp_path, tmp_path / "library").code == 0
    assert set(members(tmp_path)) == {"Band 0", "Band 1"}
    for path in (tmp_path / "library").iterdir():
        path.unlink()
    write_tone(tmp_path / "library" / "alone.wav", 300)
    refused = cli("dataset", "build", "folder", "--audio", tmp_path / "library", "--output", tmp_path / "other")
    assert refused.code == 2
    assert "no two tracks share an album or artist" in refused.err


def test_monstrous_tags_are_tamed(cli, tmp_path, library):
    write_tone(library / "big.ogg", 700, title="line one\nline two\x1b[31m", artist="y" * 10_000, album="Album 1")
    assert build(cli, tmp_path, library).code == 0
    row = (
        pl.read_parquet(tmp_path / "data" / "tracks.parquet").filter(pl.col("track_id") == "big.ogg").row(0, named=True)
    )
    assert row["title"] == "line one line two [31m"
    assert len(row["artist"]) == 1_000


def test_two_files_with_the_same_id(cli, tmp_path, library):
    names = {unicodedata.normalize(form, "café.ogg") for form in ("NFC", "NFD")}
    for name in names:
        write_tone(library / name, 333)
    if len(names & {path.name for path in library.iterdir()}) < 2:
        pytest.skip("this file system knows only one form of é")
    built = build(cli, tmp_path, library)
    assert "left out: 1 files with the id of another file" in built.out


def test_folders_that_are_missing_empty_or_unreadable(cli, tmp_path, library):
    assert "there is no folder" in build(cli, tmp_path, tmp_path / "nothing").err
    (tmp_path / "empty").mkdir()
    assert "there are no audio files" in build(cli, tmp_path, tmp_path / "empty").err
    (tmp_path / "empty" / "x.mp3").write_text("text")
    nothing = build(cli, tmp_path, tmp_path / "empty")
    assert nothing.code == 2
    assert "none of the 1 audio files can be used" in nothing.err
    (tmp_path / "lists").mkdir()
    lists = tmp_path / "lists"
    assert f"there are no playlist files in {lists}" in build(cli, tmp_path, library, playlists=lists).err
    (lists / "strange.m3u").write_text("gone.mp3\n")
    assert "1 playlist files" in build(cli, tmp_path, library, playlists=lists).err
    assert not (tmp_path / "data").exists()
    locked = library / "locked"
    locked.mkdir(mode=0)
    built = build(cli, tmp_path, library)
    locked.chmod(0o755)
    assert built.code == 0
    if os.geteuid():  # root reads everything
        assert "folders that cannot be read" in built.out


def test_csv_with_audio(cli, tmp_path, library):
    write_tone(tmp_path / "outside.ogg", 300)
    rows = [(f"t{i}", f"T {i}", "A", "", name) for i, name in enumerate(NAMES)]
    rows += [("out", "T", "A", "", "../outside.ogg"), ("gone", "T", "A", "", "no.ogg"), ("none", "T", "A", "", "")]
    columns = ["track_id", "title", "artist", "album", "audio"]
    pl.DataFrame(rows, schema=columns, orient="row").write_csv(tmp_path / "t.csv")
    (tmp_path / "p.csv").write_text(
        "playlist_id,track_id\n" + "".join(f"p,t{i}\nq,t{i}\n" for i in range(8)) + "p,gone\n"
    )
    built = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
        "--audio", library, "--train-fraction", "0", "--clip-seconds", "2", "--output", tmp_path / "data",
    )  # fmt: skip
    assert built.code == 0, built.err
    assert "1 tracks whose audio path leads out of the folder" in built.out
    assert "whose audio is missing ('gone')" in built.out
    assert "1 entries whose track is not in the tracks table" in built.out
    assert cli("dataset", "check", tmp_path / "data").code == 0
    without = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "t.csv", "--playlists", tmp_path / "p.csv",
        "--train-fraction", "0", "--output", tmp_path / "text-only",
    )  # fmt: skip
    assert without.code == 0
    run = cli("run", "--dataset", tmp_path / "text-only", "--encoders", "musicnn-msd", "--output", tmp_path / "r")
    assert run.code == 3
    assert "needs audio, and the data set 'text-only' has none" in run.err


ACCENTED = [f"Café {'AB'[number // 4]}/Ré Ö/{number:02d} Çava é.{['ogg', 'flac'][number % 2]}" for number in range(8)]


def playlists_of(folder, members_of, write):
    """Write playlists as a player does, each by `write` (name, entries -> file name, bytes)."""
    folder.mkdir(parents=True)
    for name, entries in members_of.items():
        file_name, data = write(name, entries)
        (folder / file_name).write_bytes(data)


def plain(name, entries):
    return f"{name}.m3u8", "".join(f"../library/{entry}\n" for entry in entries).encode()


def as_vlc(name, entries):
    quoted = [quote(unicodedata.normalize("NFD", entry)) for entry in entries]
    return f"{name}.m3u", "".join(f"#EXTINF:4,x\n../library/{entry}\n" for entry in quoted).encode()


def as_vlc_xspf(name, entries):
    tracks = "".join(f"<track><location>file:///D:/Music/{quote(entry)}</location></track>" for entry in entries)
    return (
        f"{name}.xspf",
        f"<playlist xmlns='http://xspf.org/ns/0/'><trackList>{tracks}</trackList></playlist>".encode(),
    )


def as_windows_1252(name, entries):
    return f"{name}.m3u", "".join(f"../library/{entry}\r\n" for entry in entries).encode("cp1252")


def as_windows_paths(name, entries):
    written = [f"D:\\Music\\{entry}".replace("/", "\\") for entry in entries]
    return f"{name}.m3u8", "".join(f"{entry}\r\n" for entry in written).encode("utf-16")


def as_library_paths(name, entries):
    return f"{name}.m3u", "".join(f"{unicodedata.normalize('NFD', entry).upper()}\n" for entry in entries).encode()


def accented(cli, place, form, writer):
    """Build the accented library in a Unicode form; return all of it that must not depend on the form."""
    members_of = {f"été {number}": [ACCENTED[(number + step) % 8] for step in (0, 1, 3, 6)] for number in range(6)}
    for number, name in enumerate(ACCENTED):
        tags = {"artist": f"É {number % 3}", "album": "Ré"} | ({"title": f"Ü {number}"} if number % 2 else {})
        tags = {key: unicodedata.normalize(form, value) for key, value in tags.items()}
        write_tone(place / "library" / unicodedata.normalize(form, name), 200 + 60 * number, **tags)
    names = {unicodedata.normalize(form, name): entries for name, entries in members_of.items()}
    playlists_of(place / "lists", names, writer)
    assert build(cli, place, place / "library", playlists=place / "lists").code == 0
    assert cli("dataset", "check", place / "data").code == 0
    manifest = json.loads((place / "data" / "dataset.json").read_text())
    digests = {name: manifest["digests"][name] for name in ("playlists", "split", "tracks.text", "tracks.names")}
    tracks = pl.read_parquet(place / "data" / "tracks.parquet")
    assert tracks["track_id"].to_list() == sorted(ACCENTED)
    assert all((place / "library" / path).is_file() for path in tracks["audio"])
    samples = [soundfile.read(place / "library" / path)[0] for path in tracks["audio"]]
    return digests, tracks.select("clip_start_s", "duration_s").rows(), np.concatenate(samples).tobytes()


@pytest.fixture(scope="module")
def composed(cli_once, tmp_path_factory):
    """The library with composed letters: where it lies, and what is found in it."""
    place = tmp_path_factory.mktemp("NFC")
    return place, accented(cli_once, place, "NFC", plain)


@pytest.mark.parametrize("write", [plain, as_vlc, as_vlc_xspf, as_windows_1252, as_windows_paths, as_library_paths])
def test_a_library_copied_from_a_mac_is_the_same_data_set(write, cli, composed, tmp_path):
    assert accented(cli, tmp_path, "NFD", write) == composed[1]


def test_a_library_copied_from_a_mac_has_the_same_scores(cli, composed, tmp_path, monkeypatch):
    accented(cli, tmp_path, "NFD", plain)
    found = []
    for place in (composed[0], tmp_path):
        monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / f"home-{len(found)}"))
        run = cli("run", "--dataset", place / "data", "--encoders", "tfidf,handcrafted", "--output", tmp_path / "r")
        assert run.code == 0, run.err
        table = cli("table", tmp_path / "r").out
        assert "handcrafted" in table
        found.append(table.partition("data set fingerprint")[0])
        shutil.rmtree(tmp_path / "r")
    assert found[0] == found[1]
