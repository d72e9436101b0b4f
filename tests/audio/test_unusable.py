"""Files of which no clip can be had, and files that are damaged but still good for one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from larpbench.audio import AudioPolicy, UnusableAudio, examine, load_clip, probe
from larpbench.audio.libsndfile import LibsndfileSound
from larpbench.errors import DataError

POLICY = AudioPolicy(clip_seconds=4, skip_start_s=1, skip_end_s=1)
TEXT = b"This is no music, only a sentence that somebody named like music.\n" * 2_000
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n%s\n#EXT-X-ENDLIST\n"


def reason(path, policy=POLICY):
    with pytest.raises(UnusableAudio) as raised:
        examine(path, policy, 0, "t")
    assert str(path) in str(raised.value)
    return raised.value.reason


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(autouse=True)
def _nothing_on_stderr(capfd):
    yield
    lines = capfd.readouterr().err.splitlines()
    # libmpg123 prints what it stumbles over inside an MP3 file, whoever asks; nothing here can keep it from that.
    assert [line for line in lines if not re.match(r"\[src/libmpg123|Note: |Warning: |$", line)] == []


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus", "flac", "wav", "m4a", "au", "raw", "vox", "gsm", "sds"])
@pytest.mark.parametrize(
    "content",
    [TEXT, bytes(300_000), np.random.default_rng(1).bytes(300_000), b"\xff\xfb\x90\x00" * 5_000, b"ID3", b"RIFF", b"x"],
    ids=["text", "zeros", "noise", "mp3-headers", "tag", "riff", "byte"],
)
def test_not_audio(file, suffix, content):
    assert reason(file(f"a.{suffix}", content)) in ("unreadable", "silent", "empty", "too short")


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "wav", "m4a"])
def test_text_is_unreadable(file, suffix):
    assert reason(file(f"a.{suffix}", TEXT)) == "unreadable"


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac", "wav", "m4a"])
def test_zero_bytes(file, suffix):
    assert reason(file(f"a.{suffix}", b"")) == "empty"


def test_no_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), 44_100)
    assert reason(tmp_path / "a.wav") == "empty"


@pytest.mark.parametrize("name", ["a.m3u8", "a.mp3", "a.m4a"])
def test_a_playlist_opens_nothing_else(make, file, name):
    inner = make("aac-raw-22k-mono").path
    assert reason(file(name, PLAYLIST % bytes(inner))) == "unreadable"
    assert reason(file(name, b"ffconcat version 1.0\nfile %s\n" % bytes(inner))) == "unreadable"


def test_missing(tmp_path, file):
    assert reason(tmp_path / "a.mp3") == "missing"
    assert reason(file("a.wav", b"x") / "b.mp3") == "missing"
    (tmp_path / "link.mp3").symlink_to(tmp_path / "nowhere.mp3")
    assert reason(tmp_path / "link.mp3") == "missing"


def test_neither_files_nor_readable(tmp_path, monkeypatch, file):
    (tmp_path / "folder.mp3").mkdir()
    assert reason(tmp_path / "folder.mp3") == "unreadable"
    (tmp_path / "round.mp3").symlink_to(tmp_path / "round.mp3")
    assert reason(tmp_path / "round.mp3") == "unreadable"
    assert reason(tmp_path / ("x" * 300)) == "unreadable"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp3")
        assert reason(tmp_path / "pipe.mp3") == "unreadable"

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    locked = file("locked.mp3", TEXT)
    monkeypatch.setattr(Path, "open", refuse)
    assert reason(locked) == "unreadable"


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        (np.full(80_000, np.nan), "not finite"),
        (np.r_[np.full(40_000, 0.1), np.inf, np.full(39_999, 0.1)], "not finite"),
        (np.zeros(80_000), "silent"),
        (np.full(80_000, 0.0009), "silent"),
        (np.stack([np.full(80_000, 0.5), np.full(80_000, -0.5)], axis=1), "silent"),
        (np.full(1_600, 0.1), "too short"),
        (np.full(7_999, 0.1), "too short"),
    ],
    ids=["nan", "infinity", "zeros", "faint", "opposite-channels", "a-fifth", "just-below"],
)
def test_useless_sound(tmp_path, sound, expected):
    soundfile.write(tmp_path / "a.wav", sound, 8_000, subtype="FLOAT")
    assert reason(tmp_path / "a.wav") == expected


def test_short_but_usable(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(8_000, 0.5), 8_000, subtype="FLOAT")
    found = examine(tmp_path / "a.wav", POLICY, 0, "t")
    assert (found.start_s, found.duration_s, found.padded) == (0.0, 1.0, True)
    assert found.peak_dbfs == pytest.approx(-6.0206, abs=1e-3)
    soundfile.write(tmp_path / "b.wav", np.full(1_600, 0.5), 8_000, subtype="FLOAT")
    assert examine(tmp_path / "b.wav", AudioPolicy(min_seconds=0.1), 0, "t").padded


@pytest.mark.parametrize("kept", [0.002, 0.1, 0.5, 0.97])
def test_cut_files_tell_the_truth_or_nothing(made, file, kept):
    content = made.path.read_bytes()
    path = file(f"cut{made.path.suffix}", content[: int(kept * len(content))])
    rate = made.case.rate
    try:
        found = examine(path, POLICY, 0, "t")
        clip = load_clip(path, found.start_s, 4, rate)
    except UnusableAudio as unusable:
        assert unusable.reason in ("unreadable", "too short", "empty", "silent")
        return
    assert found.duration_s == pytest.approx(kept * 14, rel=0.3, abs=0.7)
    first, there = round(found.start_s * rate), min(4.0, found.duration_s - found.start_s - 0.2)
    n = int(there * rate)
    if n > rate // 2:
        assert np.corrcoef(clip[:n], made.whole[first : first + n])[0, 1] > 0.98


def test_damage_in_the_middle_does_no_harm(made, file):
    content = bytearray(made.path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3_000] = np.random.default_rng(0).bytes(3_000)
    path = file(f"hurt{made.path.suffix}", bytes(content))
    try:
        clip = load_clip(path, 5, 4, made.case.rate)
    except UnusableAudio as unusable:
        assert unusable.reason in ("unreadable", "too short")
    else:
        assert clip.shape == (4 * made.case.rate,)


@pytest.mark.parametrize("kind", ["flac-48k-5.1", "wav-96k-5.1", "vorbis-44k-stereo", "mp3-cbr-44k-stereo"])
def test_a_file_that_shrinks_while_it_is_read(make, file, monkeypatch, kind):
    path = file("a", make(kind).path.read_bytes())
    read = LibsndfileSound.read

    def shrink_and_read(self, first, count):
        os.truncate(path, path.stat().st_size // 4)
        return read(self, first, count)

    monkeypatch.setattr(LibsndfileSound, "read", shrink_and_read)
    with pytest.raises(UnusableAudio):
        load_clip(path, 8, 4, 44_100)


def test_a_file_that_goes_while_it_is_read(make, file, monkeypatch):
    path = file("a", make("wav-8k-mono").path.read_bytes())
    path.unlink()
    with pytest.raises(UnusableAudio) as raised:
        load_clip(path, 8, 4, 44_100)
    assert raised.value.reason == "missing"


def test_the_error(tmp_path):
    with pytest.raises(DataError, match="audio missing") as raised:
        probe(tmp_path / "a.mp3")
    assert raised.value.exit_code == 2
    assert raised.value.path == tmp_path / "a.mp3"
