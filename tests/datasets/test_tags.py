"""Tags of every kind of file that a library holds."""

from __future__ import annotations

import struct
import unicodedata

import av
import numpy as np
import pytest
import soundfile
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.asf import ASF, ASFBoolAttribute
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TALB, TCMP, TIT2, TPE1, TPE2
from mutagen.mp4 import MP4
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE
from support.sounds import tone, write_tone

from larpbench.datasets.audio_files.tags import Tags, read_tags
from larpbench.datasets.sources.folder.albums import album_groups, artist_groups

EXPECTED = Tags("Été", "A, B", "Album", main_artist="A", album_artist="The A", compilation=True)
FRAMES = (TIT2, TPE1, TALB, TPE2, TCMP)


def frames(separator=None, encoding=3):
    artists = ["A", "B"] if separator is None else [f"A{separator}B"]
    values = (["Été"], artists, ["Album"], ["The A"], ["1"])
    return [frame(encoding=encoding, text=text) for frame, text in zip(FRAMES, values, strict=True)]


def coded(path, codec):
    """Write a tone by libav, for the formats that libsndfile does not write."""
    samples = tone(440, 1.0, 44_100)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout="mono")
        stream.bit_rate = 64_000
        size = stream.codec_context.frame_size or 1024
        for start in range(0, len(samples) - size, size):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + size], format="fltp", layout="mono")
            frame.rate, frame.pts = 44_100, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_id3(path, kind):
    found = kind(path)
    if found.tags is None:
        found.add_tags()
    for frame in frames():
        found.tags.add(frame)
    found.save()


def with_comments(path, kind, names=("title", "artist", "album", "albumartist", "compilation")):
    found = kind(path)
    if found.tags is None:
        found.add_tags()
    for name, value in zip(names, ("Été", ["A", "B"], "Album", "The A", "1"), strict=True):
        found[name] = value
    found.save()


@pytest.mark.parametrize("ending", ["wav", "aiff", "mp3", "flac", "ogg", "m4a", "wma"])
def test_every_format(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    if ending in ("m4a", "wma"):
        coded(path, {"m4a": "aac", "wma": "wmav2"}[ending])
    else:
        write_tone(path, 440, seconds=1, rate=44_100)
    assert read_tags(path) == Tags("x", "", "")
    if ending == "wav":
        with_id3(path, WAVE)
    elif ending == "aiff":
        with_id3(path, AIFF)
    elif ending == "mp3":
        tags = ID3()
        for frame in frames():
            tags.add(frame)
        tags.save(path)
    elif ending == "m4a":
        found = MP4(path)
        found["\xa9nam"], found["\xa9ART"], found["\xa9alb"] = ["Été"], ["A", "B"], ["Album"]
        found["aART"], found["cpil"] = ["The A"], True
        found.save()
    elif ending == "wma":
        found = ASF(path)
        found["Title"], found["Author"], found["WM/AlbumTitle"] = "Été", ["A", "B"], "Album"
        found["WM/AlbumArtist"], found["WM/IsCompilation"] = "The A", ASFBoolAttribute(True)
        found.save()
    else:
        with_comments(path, FLAC if ending == "flac" else OggVorbis)
    assert read_tags(path) == EXPECTED


def test_vorbis_comments_spell_the_album_artist_in_several_ways(tmp_path):
    path = write_tone(tmp_path / "x.flac", 440, seconds=1)
    with_comments(path, FLAC, ("TITLE", "ARTIST", "ALBUM", "ALBUM ARTIST", "COMPILATION"))
    assert read_tags(path) == EXPECTED


@pytest.mark.parametrize("version", [3, 4])
def test_a_slash_in_an_artist_is_no_separator_and_a_null_is(version, tmp_path):
    for separator, artist in (("/", "A/B"), ("\x00", "A, B"), ("; ", "A; B")):
        path = write_tone(tmp_path / "x.mp3", 440, seconds=1)
        tags = ID3()
        for frame in frames(separator, encoding=1):
            tags.add(frame)
        tags.save(path, v2_version=version, v23_sep=None)
        assert read_tags(path).artist == artist


def test_tags_of_another_kind_than_the_format_has(tmp_path):
    path = write_tone(tmp_path / "x.mp3", 440, seconds=1)
    tags = APEv2()
    tags["Title"], tags["Artist"], tags["Album"] = "Été", ["A", "B"], "Album"
    tags["Album Artist"], tags["Compilation"] = "The A", "1"
    tags.save(path)
    assert read_tags(path) == EXPECTED
    path = coded(tmp_path / "x.aac", "aac")
    tags = ID3()
    for frame in frames():
        tags.add(frame)
    tags.save(path)
    assert read_tags(path) == EXPECTED


def chunk(kind, data, order="<"):
    return kind + struct.pack(f"{order}I", len(data)) + data + b"\x00" * (len(data) % 2)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("before", [True, False])
def test_the_info_list_of_wav_files(encoding, before, tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(101, dtype=np.int16)[:, None], 8_000)
    data = path.read_bytes()
    texts = ((b"INAM", "Été"), (b"IART", "Ä"), (b"IPRD", "Album"))
    info = chunk(b"LIST", b"INFO" + b"".join(chunk(kind, text.encode(encoding) + b"\x00") for kind, text in texts))
    body = info + data[12:] if before else data[12:] + info
    path.write_bytes(chunk(b"RIFF", b"WAVE" + body))
    assert read_tags(path) == Tags("Été", "Ä", "Album", main_artist="Ä")


def test_the_text_chunks_of_aiff_files(tmp_path):
    path = tmp_path / "x.aiff"
    soundfile.write(path, np.zeros(101, dtype=np.int16), 8_000)
    body = path.read_bytes()[12:] + chunk(b"NAME", b"Song", ">") + chunk(b"AUTH", b"Who", ">")
    path.write_bytes(chunk(b"FORM", b"AIFF" + body, ">"))
    assert read_tags(path) == Tags("Song", "Who", "", main_artist="Who")


@pytest.mark.parametrize(
    "damage", [b"LIST\xff\xff\xff\xffINFOINAM\xff\xff\xff\xffx", b"LIST\x04\x00\x00\x00INFO", b"LI"]
)
def test_damaged_chunks_are_no_error(damage, tmp_path):
    for magic, kind in ((b"RIFF", b"WAVE"), (b"FORM", b"AIFF"), (b"XXXX", b"WAVE")):
        (tmp_path / "x.wav").write_bytes(magic + b"\x00\x00\x00\x00" + kind + damage)
        assert read_tags(tmp_path / "x.wav").artist == ""


def test_texts_are_printable_and_composed(tmp_path):
    path = write_tone(tmp_path / f"{unicodedata.normalize('NFD', 'é')}.flac", 440, seconds=1)
    assert read_tags(path).title == "é"
    found = FLAC(path)
    found["title"] = "a\x1b[31m\nb\x92\x00"
    found["artist"] = [unicodedata.normalize("NFD", "Ólafur"), " ", "Ólafur"]
    found["album"] = "y" * 9_000
    found.save()
    tags = read_tags(path)
    assert (tags.title, tags.artist, len(tags.album)) == ("a [31m b’", "Ólafur", 1_000)


@pytest.mark.parametrize(
    ("artist", "main"),
    [
        ("A feat. B", "A"),
        ("A (ft. B)", "A"),
        ("A Featuring B", "A"),
        ("Defeat. B", "Defeat. B"),
        ("Feat. X", "Feat. X"),
    ],
)
def test_guests_are_not_the_main_artist(artist, main, tmp_path):
    path = write_tone(tmp_path / "x.ogg", 440, seconds=1, artist=artist)
    assert read_tags(path).main_artist == main


def test_the_album_artist_stands_in_but_various_artists_are_nobody(tmp_path):
    path = write_tone(tmp_path / "x.ogg", 440, seconds=1, albumartist="B")
    assert (read_tags(path).artist, read_tags(path).main_artist) == ("B", "B")
    path = write_tone(tmp_path / "y.ogg", 440, seconds=1, albumartist="Various Artists")
    assert read_tags(path) == Tags("y", "", "", compilation=True)


def tagged(artist, album="Hits", album_artist="", compilation=False):
    return Tags("t", artist, album, artist, album_artist, compilation)


def test_albums_are_by_their_artist():
    groups = album_groups(
        {
            "x/1": tagged("A", album_artist="A"),
            "x/2": tagged("G", album_artist="A"),
            "y/3": tagged("B", album_artist="B", compilation=True),
            "y/4": tagged("C"),
            "z/5": tagged("C"),
            "z/6": tagged("C", album=""),
            "z/7": tagged(""),
        }
    )
    assert groups == {
        "x/1": "A: Hits", "x/2": "A: Hits", "y/3": "B: Hits", "y/4": "C: Hits", "z/5": "C: Hits", "z/7": "Hits",
    }  # fmt: skip


def test_compilations_are_one_album_a_folder():
    marked = {f"Hits/CD{disc}/{name}": tagged(name, compilation=True) for disc, name in ((1, "A"), (1, "B"), (2, "A"))}
    assert set(album_groups(marked).values()) == {"Various Artists: Hits"}
    marked |= {f"Other/{name}": tagged(name, compilation=True) for name in "AB"}
    assert set(album_groups(marked).values()) == {"Various Artists: Hits (Hits)", "Various Artists: Hits (Other)"}
    unmarked = {f"x/{name}": tagged(name) for name in "ABCD"}
    assert set(album_groups(unmarked).values()) == {"Various Artists: Hits"}
    two_albums = {f"x/{name}{number}": tagged(name) for name in "AB" for number in range(4)}
    assert set(album_groups(two_albums).values()) == {"A: Hits", "B: Hits"}


def test_artists_are_groups_without_their_guests():
    assert artist_groups({"1": Tags("t", "A, B", "", "A"), "2": Tags("t", "", "")}) == {"1": "A"}
