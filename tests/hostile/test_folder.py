"""Music libraries and playlists as they are on people's disks: nothing is lost without a word, nothing ends a build."""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sounds import write_tone

from larpbench.datasets.audio_files.library import AudioLibrary, find_library
from larpbench.datasets.left_out import LeftOut
from larpbench.datasets.sources.folder.playlist_files import Entry, read_playlist
from larpbench.datasets.sources.folder.playlist_lookup import AMBIGUOUS, NO_AUDIO, NOWHERE, STREAM, find_track
from larpbench.errors import DataError

NAMES = (
    "Café Tacvba/Ré/01 El baile.ogg",
    "Café Tacvba/Ré/02 100% #1 ¿Qué?.ogg",
    "Ólafur/Island/01 Þú ert.ogg",
    "AC%20DC/one.ogg",
)
NFC, NFD = (lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD"))


def library_of(root: Path, names) -> AudioLibrary:
    """Empty files: enough to be looked up."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return find_library(root.resolve(), LeftOut())


@pytest.fixture
def library(tmp_path):
    return library_of(tmp_path / "music", NAMES)


def meant(entry, tmp_path, library, **kind):
    locations = (entry,) if isinstance(entry, str) else entry
    return find_track(Entry(locations, **kind), tmp_path / "lists" / "p.m3u", library)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", [NFC, NFD])
@pytest.mark.parametrize(
    "written",
    [
        "../music/{name}",
        "{root}/{name}",
        "../music/{quoted}",
        "{quoted}",
        "{name}",
        "  {name}  ",
        '"{name}"',
        "'../music/{name}' ",
        "file://{root}/{quoted}",
        "file://{root}/{name}",
        "file://localhost{root}/{quoted}",
        "file:{root}/{name}",
        "file:///D:/Music/{quoted}",
        "file:///D:/Music/{name}",
        "file://nas/share/{quoted}",
        "smb://nas/share/{quoted}",
        "D:\\Music\\{backslashes}",
        "..\\music\\{backslashes}",
        "\\\\nas\\share\\{backslashes}",
        "/Volumes/Music/{name}",
        "{upper}",
        "./././{name}",
    ],
)
def test_a_file_is_found_as_players_write_it(name, form, written, tmp_path, library):
    asked = form(name)
    entry = written.format(
        name=asked, root=library.root, quoted=quote(asked), upper=asked.upper(), backslashes=asked.replace("/", "\\")
    )
    assert meant(entry, tmp_path, library).track_id == NFC(name)


def test_ids_are_composed_and_paths_as_on_disk(tmp_path):
    library = library_of(tmp_path / "mac", map(NFD, NAMES))
    assert list(library.files) == sorted(library.files, key=lambda name: NFD(name).split("/"))
    assert set(library.files) == set(NAMES)
    assert all(path.is_file() and path.relative_to(library.root).as_posix() == NFD(name)
               for name, path in library.files.items())  # fmt: skip


def test_names_that_only_look_like_control_characters_are_kept(tmp_path):
    names = ["01\u3000曲.ogg", "no\u00a0break.ogg", "fam\u200dily.ogg", "colon\uf022.ogg"]
    assert sorted(library_of(tmp_path / "music", names).files) == sorted(names)


def test_the_longest_end_of_a_path_counts_only_if_it_is_of_one_file(tmp_path):
    library = library_of(tmp_path / "music", ["a/x/01.ogg", "b/x/01.ogg", "b/y/02.ogg", "01.flac", "AC DC/02.ogg"])
    assert meant("E:/old/b/X/01.OGG", tmp_path, library).track_id == "b/x/01.ogg"
    assert meant("E:/old/c/x/01.ogg", tmp_path, library).reason == AMBIGUOUS
    assert meant("/elsewhere/01.flac", tmp_path, library).shared_names == 1
    assert meant("E:/old/b/x/01.ogg", tmp_path, library).shared_names == 3
    assert meant("E:/AC%20DC/02.ogg", tmp_path, library).track_id == "AC DC/02.ogg"
    assert meant("E:/02.ogg", tmp_path, library).reason == AMBIGUOUS
    assert meant("E:/old/1.ogg", tmp_path, library).reason == NOWHERE


def test_letter_case_decides_only_where_nothing_else_does(tmp_path):
    library = library_of(tmp_path / "music", ["a.ogg", "A.ogg", "b.ogg"])
    if len(library.files) == 3:  # not on a file system that ignores case
        assert [meant(name, tmp_path, library).track_id for name in ("a.ogg", "A.ogg")] == ["a.ogg", "A.ogg"]
        assert meant("a.OGG", tmp_path, library).reason == AMBIGUOUS
    assert meant("B.OGG", tmp_path, library).track_id == "b.ogg"


def test_a_name_is_taken_as_written_before_it_is_decoded_and_decoded_first_in_an_address(tmp_path):
    library = library_of(tmp_path / "music", ["a%20b.ogg", "a b.ogg"])
    assert meant("a%20b.ogg", tmp_path, library).track_id == "a%20b.ogg"
    assert meant("a%20b.ogg", tmp_path, library, is_url=True).track_id == "a b.ogg"
    assert meant(f"file://{library.root}/a%20b.ogg", tmp_path, library).track_id == "a b.ogg"
    assert meant(f"file://{library.root}/a%2520b.ogg", tmp_path, library).track_id == "a%20b.ogg"


def test_latin_1_escapes_and_encoded_slashes(tmp_path, library):
    assert meant("Caf%E9 Tacvba/R%e9/01 El baile.ogg", tmp_path, library).track_id == NAMES[0]
    assert meant("Caf%C3%A9 Tacvba%2FR%C3%A9%2F01%20El%20baile.ogg", tmp_path, library).track_id == NAMES[0]


def test_lines_that_begin_with_a_number_sign_are_comments_unless_they_are_a_file(tmp_path):
    library = library_of(tmp_path / "music", ["#1 hits/one.ogg", "two.ogg"])
    for line, track_id in [("#1 hits/one.ogg", "#1 hits/one.ogg"), ("#two.ogg", None), ("#EXTINF:1,two.ogg", None),
                           ("#1 HITS/one.ogg", None)]:  # fmt: skip
        answer = meant(line, tmp_path, library, is_comment=True)
        assert (answer.track_id, answer.reason) == (track_id, None)


def test_no_reading_leads_out_of_the_folder_or_raises(tmp_path, library):
    (library.root / "notes.txt").touch()
    (library.root / "loop").symlink_to("loop")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "self.ogg").symlink_to("self.ogg")
    assert meant("notes.txt", tmp_path, library).reason == NO_AUDIO
    for entry in ("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "file://[bad/x", "file://", "file:", "loop",
                  "self.ogg", "a\x00b", "%00", "%", "%%%zz", "x" * 9_000, "/" * 40_000, "a/" * 1_000_000, "..", "\\",
                  '"', "''", "\ud800.ogg", "C:", "//", "http:/", "[bad"):  # fmt: skip
        answer = meant(entry, tmp_path, library)
        assert answer.track_id is None
        assert answer.reason in (NOWHERE, NO_AUDIO)
    for entry in ("http://radio.example/x.ogg", "HTTPS://[bad/x", "rtsp://a", "mms://b/one.ogg"):
        assert meant(entry, tmp_path, library).reason == STREAM


def test_links_are_followed_to_files_below_the_folder(tmp_path, library):
    (tmp_path / "alias").symlink_to(library.root)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "link.ogg").symlink_to(library.root / NAMES[3])
    assert meant(f"{tmp_path}/alias/{NAMES[0]}", tmp_path, library).track_id == NAMES[0]
    assert meant("link.ogg", tmp_path, library).track_id == NAMES[3]


TEXT = "#EXTM3U\r\n#EXTINF:1,Café\r\nCafé/é.ogg\r\nb.ogg\r\n"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_is_read_in_the_encodings_that_players_write(encoding, mark, tmp_path):
    mark = "" if encoding in ("cp1252", "utf-32") else mark
    for name, text in (("p.m3u", TEXT), ("p.pls", "[playlist]\r\nFile1=Café/é.ogg\r\nFile2 = b.ogg\r\nFile3=\r\n")):
        (tmp_path / name).write_bytes((mark + text).encode(encoding))
        entries = [each.locations[0].strip() for each in read_playlist(tmp_path / name) if not each.is_comment]
        assert entries == ["Café/é.ogg", "b.ogg"]


def test_one_line_of_another_encoding_spoils_no_other(tmp_path):
    (tmp_path / "p.m3u").write_bytes("é.ogg\n".encode() + "ü.ogg\n".encode("cp1252") + b"\x81.ogg\n")
    assert [each.locations[0] for each in read_playlist(tmp_path / "p.m3u")] == ["é.ogg", "ü.ogg", "\x81.ogg"]


def xspf(body, head='<?xml version="1.0" encoding="UTF-8"?>', attributes='xmlns="http://xspf.org/ns/0/"'):
    return f"{head}<playlist version='1' {attributes}><trackList>{body}</trackList></playlist>"


@pytest.mark.parametrize(
    "attributes", ["", 'xmlns="http://xspf.org/ns/0"', 'xmlns="https://xspf.org/ns/1/"', 'xmlns:vlc="x"']
)
def test_xspf_of_any_namespace_and_none(attributes, tmp_path):
    path = tmp_path / "p.xspf"
    path.write_text(xspf("<track><location>a.ogg</location><vlc:id>1</vlc:id></track>", attributes=attributes))
    assert read_playlist(path) == [Entry(("a.ogg",), is_url=True)]
    path.write_text(
        '<x:playlist xmlns:x="http://xspf.org/ns/0/"><x:location>no.ogg</x:location><x:trackList><x:track>'
        "<x:title>t</x:title><x:location> a&amp;b.ogg\n</x:location></x:track></x:trackList></x:playlist>"
    )
    assert read_playlist(path) == [Entry(("a&b.ogg",), is_url=True)]


@pytest.mark.parametrize("place", ["playlist", "trackList", "track", "location"])
def test_xml_base_of_every_element_counts(place, tmp_path):
    path = tmp_path / "p.xspf"
    text = xspf("<track><location>b/c.ogg</location><location>http://x/y</location></track>")
    path.write_text(re.sub(rf"<{place}\b", f"<{place} xml:base='file:///a/'", text))
    locations = ("file:///a/b/c.ogg", "b/c.ogg", "http://x/y")
    assert read_playlist(path) == [Entry(locations, is_url=True)]


def test_the_second_location_of_a_track_is_tried_and_a_track_is_one_entry(tmp_path, library):
    (library.root / "cover.jpg").touch()
    for locations in [("cover.jpg", "D:/" + NAMES[0]), ("http://x/y.ogg", NAMES[0]), ("gone.ogg", NAMES[0]),
                      (NAMES[0], NAMES[3]), ("/elsewhere/one.ogg", NAMES[0])]:  # fmt: skip
        assert meant(locations, tmp_path, library, is_url=True).track_id == NAMES[0]


@pytest.mark.parametrize("encoding", ["shift_jis", "euc-jp", "utf-7", "koi8-r", "iso-8859-1", "windows-1252", "utf-16"])
def test_xspf_in_the_encoding_that_it_names(encoding, tmp_path):
    letters = {"shift_jis": "曲", "euc-jp": "曲", "koi8-r": "я"}.get(encoding, "é")
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    (tmp_path / "p.xspf").write_bytes(xspf(f"<track><location>{letters}.ogg</location></track>", head).encode(encoding))
    assert read_playlist(tmp_path / "p.xspf") == [Entry((f"{letters}.ogg",), is_url=True)]


@pytest.mark.parametrize(
    "data",
    [
        xspf("", '<?xml version="1.0" encoding="nope"?>').encode(),
        xspf("", '<?xml version="1.0" encoding="rot13"?>').encode(),
        xspf("", '<?xml version="1.0" encoding="zip"?>').encode(),
        xspf("", '<?xml version="1.0" encoding="idna"?>').encode(),
        xspf("\x80", '<?xml version="1.0" encoding="ascii"?>').encode(),
        b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE x+AD4-<playlist/>',
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><playlist>&a;</playlist>",
        "<!DOCTYPE x><playlist/>".encode("utf-16"),
        b"<playlist>&undefined;</playlist>",
        b"<a>" * 100_000,
        b"",
        b"\x00\x00",
        xspf("\x00").encode(),
    ],
)
def test_what_is_no_xspf_is_refused(data, tmp_path):
    (tmp_path / "p.xspf").write_bytes(data)
    with pytest.raises(DataError):
        read_playlist(tmp_path / "p.xspf")


def test_deeply_nested_xml_and_long_lines_are_read(tmp_path):
    deep = "<a xml:base='b/'>" * 5_000 + "<track><location>x.ogg</location></track>" + "</a>" * 5_000
    (tmp_path / "p.xspf").write_text(xspf(deep))
    assert read_playlist(tmp_path / "p.xspf")[0].locations[-1] == "x.ogg"
    (tmp_path / "p.pls").write_text("[playlist]\nFile" + "9" * 9_000 + "=a\n" + "x" * 3_000_000)
    assert read_playlist(tmp_path / "p.pls") == []


def test_a_playlist_that_may_not_be_read_is_named(cli, tmp_path, tones, monkeypatch):
    def read_bytes(path):
        if path.name == "locked.m3u":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return path.open("rb").read()

    (tmp_path / "lists").mkdir()
    for name in ("good.m3u", "locked.m3u"):
        (tmp_path / "lists" / name).write_text(f"{tones}/0.ogg\n{tones}/1.ogg\n")
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    built = build(cli, tones, tmp_path / "lists", tmp_path / "data")
    assert built.code == 0, built.err
    assert "left out: 1 playlist files that cannot be read ('locked.m3u: " in built.out


def test_a_folder_whose_path_is_no_unicode_is_refused(cli, tmp_path, tones):
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    odd.symlink_to(tones)
    assert build(cli, odd, odd, tmp_path / "data").code == 2  # the link's target is a good folder without playlists
    odd.unlink()
    odd.mkdir()
    refused = build(cli, odd, tones, tmp_path / "data")
    assert refused.code == 2
    assert "bytes that are no text" in refused.err


@given(st.text(max_size=60), st.booleans(), st.booleans())
def test_no_entry_whatever_raises(text, is_url, is_comment):
    library = AudioLibrary(Path("/nowhere/music"), {name: Path("/nowhere/music", name) for name in NAMES})
    for prefix in ("", "file://", "/nowhere/music/", "..\\music\\"):
        find_track(Entry((prefix + text,), is_url, is_comment), Path("/nowhere/lists/p.m3u"), library)


@given(st.binary(max_size=60), st.sampled_from(["m3u", "pls", "xspf"]))
def test_no_playlist_whatever_raises_anything_else(tmp_path_factory, data, ending):
    path = tmp_path_factory.getbasetemp() / f"any.{ending}"
    for head in (b"", b"[playlist]\nFile1=", b'<?xml version="1.0" encoding="utf-7"?>', codecs.BOM_UTF16_LE):
        path.write_bytes(head + data)
        with contextlib.suppress(DataError):
            read_playlist(path)


def build(cli, audio, playlists, output):
    return cli("dataset", "build", "folder", "--audio", audio, "--playlists", playlists, "--train-fraction", "0",
               "--min-length", "2", "--clip-seconds", "1", "--output", output)  # fmt: skip


def members(folder):
    frame = pl.read_parquet(folder / "playlists.parquet")
    return {name: sorted(rows["track_id"]) for (name,), rows in frame.group_by("playlist_id")}


def left_out(folder):
    found = json.loads((folder / "dataset.json").read_text())["left_out"]
    return {reason.partition(" (")[0]: count for reason, count in found.items()}


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    root = tmp_path_factory.mktemp("library") / "tones"  # a library of its own: its parent is read as one, too
    root.mkdir()
    for number in range(3):
        write_tone(root / f"{number}.ogg", 300 + 90 * number, seconds=1.5, artist="A", title=f"T{number}")
    return root


def test_no_odd_playlist_ends_a_build(cli, tmp_path, tones):
    lists = tmp_path / "lists"
    lists.mkdir()
    good = f"{tones}/0.ogg\n{tones}/1.ogg\n{tones}/1.ogg\n"
    (lists / "good.m3u").write_text(good)
    (lists / "nope.xspf").write_text(xspf("", '<?xml version="1.0" encoding="nope"?>'))
    (lists / "address.m3u").write_text("file://[bad/x\n")
    (lists / "self.ogg").symlink_to("self.ogg")
    (lists / "link.m3u").write_text("self.ogg\n")
    (lists / "loop.m3u").symlink_to("loop.m3u")
    (lists / "gone.pls").symlink_to("nowhere.pls")
    (lists / "folder.m3u").mkdir()
    (lists / "folder.m3u" / "inner.m3u").write_text(good)
    os.mkfifo(lists / "pipe.m3u")
    (lists / "empty.m3u8").touch()
    (lists / "esc\x1b[31m.m3u").write_text(good)
    (lists / "new\nline.pls").write_text("[playlist]\n")
    Path(os.fsdecode(os.fsencode(lists) + b"/caf\xe9.m3u")).write_text(good)
    (lists / "._good.m3u").write_bytes(b"\x00\x05\x16\x07")
    built = build(cli, tones, lists, tmp_path / "data")
    assert built.code == 0, built.err
    assert members(tmp_path / "data") == {"good": ["0.ogg", "1.ogg"], "folder.m3u/inner": ["0.ogg", "1.ogg"]}
    assert left_out(tmp_path / "data") == {
        "playlist files whose name has control characters": 2,
        "playlist files whose name is no Unicode": 1,
        "playlist files that cannot be read": 4,
        "playlists without an entry that can be used": 3,
        "entries that lead to no file in the audio folder": 2,
        "duplicate entries": 2,
    }
    assert "\x1b" not in built.out + built.err
    for name in ("esc\\x1b[31m.m3u", "new\\nline.pls", "caf\\udce9.m3u", "nope.xspf: its encoding ", "file://[bad/x"):
        assert name in built.out
    assert cli("dataset", "check", tmp_path / "data").code == 0


def test_the_build_says_which_entries_were_found_by_the_end_of_their_path(cli, tmp_path, tones):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "p.m3u").write_text(f"D:\\old\\0.ogg\n{tones}/1.ogg\nD:\\{tones.name}\\2.ogg\n")
    built = build(cli, tones.parent, tmp_path / "lists", tmp_path / "data")
    assert built.code == 0, built.err
    assert "2 entries were found by the end of their path, 1 of them by the file's name alone ('tones" in built.err
    assert "0.ogg for D:\\\\old\\\\0.ogg'" in built.err


def test_two_playlists_that_differ_by_their_ending_stay_two(cli, tmp_path, tones):
    lists = tmp_path / "lists"
    lists.mkdir()
    for name, pair in (("a.m3u", "01"), ("a.pls", "02"), ("a.m3u.m3u8", "12"), ("b.m3u", "01"), (NFD("é.m3u"), "02")):
        entries = [f"{tones}/{number}.ogg" for number in pair]
        text = "\n".join(entries)
        if name.endswith("pls"):
            text = "[playlist]\n" + "\n".join(f"File{number}={entry}" for number, entry in enumerate(entries))
        (lists / name).write_text(text)
    assert build(cli, tones, lists, tmp_path / "data").code == 0
    expected = {"a.m3u": "01", "a.pls": "02", "a.m3u.m3u8": "12", "b": "01", "é": "02"}
    assert members(tmp_path / "data") == {name: [f"{number}.ogg" for number in pair] for name, pair in expected.items()}


def test_entries_of_audio_that_cannot_be_used_are_counted_as_such(cli, tmp_path, tones):
    music = tmp_path / "music"
    music.mkdir()
    for path in tones.iterdir():
        (music / path.name).write_bytes(path.read_bytes())
    (music / "broken.mp3").write_text("no music")
    (music / "loop.ogg").symlink_to("loop.ogg")
    os.mkfifo(music / "pipe.ogg")
    for name in ("esc\x1b[31m.ogg", "new\nline.ogg", os.fsdecode(b"caf\xe9.ogg")):
        (music / name).touch()
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "p.m3u").write_text("0.ogg\n1.ogg\nbroken.mp3\nloop.ogg\npipe.ogg\nhttp://x/y\n")
    (tmp_path / "lists" / "q.m3u").write_text("broken.mp3\nloop.ogg\n")
    built = build(cli, music, tmp_path / "lists", tmp_path / "data")
    assert built.code == 0, built.err
    counts = left_out(tmp_path / "data")
    assert counts["entries whose audio cannot be used"] == 5
    assert counts["entries that are addresses of streams"] == 1
    assert "2 files whose name has control characters ('esc\\x1b[31m.ogg', 'new\\nline.ogg')" in built.out
    assert "1 files whose name is no Unicode ('caf\\udce9.ogg')" in built.out
    assert counts["playlists without an entry that can be used"] == 1
    assert "left out: 5 entries whose audio cannot be used ('broken.mp3', 'loop.ogg', 'pipe.ogg', ..)" in built.out


def test_playlists_of_which_nothing_is_found_are_refused_with_the_reasons(cli, tmp_path, tones):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "p.m3u").write_text("x/\x1b[31m.ogg\nhttp://x/y\n")
    refused = build(cli, tones, tmp_path / "lists", tmp_path / "data")
    assert refused.code == 2
    assert "1 entries that lead to no file in the audio folder ('x/\\x1b[31m.ogg')" in refused.err
    assert "\x1b" not in refused.err
