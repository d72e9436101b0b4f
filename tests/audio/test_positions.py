"""Clips against decodes of whole files: every sample, at any rate, in every format."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from larpbench.audio import AudioPolicy, UnusableAudio, examine, load_clip, probe
from larpbench.errors import UsageError


def lag(later, reference):
    size = 1 << (len(later) + len(reference)).bit_length()
    peak = int(np.argmax(np.fft.irfft(np.fft.rfft(later, size) * np.conj(np.fft.rfft(reference, size)), size)))
    return peak if peak < size // 2 else peak - size


@pytest.mark.parametrize("start_s", [0.0, 6.237, 11.5])
def test_positions_are_exact(made, start_s):
    rate, seconds = made.case.rate, 2.0
    clip = load_clip(made.path, start_s, seconds, rate)
    first = round(start_s * rate)
    reference = made.whole[first : first + len(clip)]
    assert clip.shape == (round(seconds * rate),)
    assert clip.dtype == np.float32
    assert lag(clip, reference) == 0
    if made.case.decoders_agree:
        np.testing.assert_allclose(clip, reference, atol=1e-5)
    else:
        assert np.corrcoef(clip, reference)[0, 1] > 0.99
    if made.case.lossless:
        np.testing.assert_allclose(clip, made.source[first : first + len(clip)], atol=1.1 / 2**15)


def test_whole_files_are_where_the_source_was(made):
    assert lag(load_clip(made.path, 0, 3, made.case.rate), made.source[: 3 * made.case.rate]) == made.case.lag


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_resampling_a_clip_is_resampling_the_whole_file(made, rate):
    native = made.whole if made.case.decoders_agree else load_clip(made.path, 0, 14, made.case.rate)
    whole = soxr.resample(native.astype(np.float32), made.case.rate, rate, quality="HQ")
    for start_s in (0.0, 5.3217, 8.0):
        first = round(start_s * rate)
        clip = load_clip(made.path, start_s, 3.0, rate)
        np.testing.assert_allclose(clip, whole[first : first + 3 * rate], atol=1e-4)


@pytest.mark.parametrize("rate", [22_050, 48_000])
def test_what_is_missing_at_the_end_is_repeated(made, rate):
    clip = load_clip(made.path, 13.0, 3.0, rate)
    there = round(probe(made.path).duration_s * rate) - 13 * rate
    assert 0.9 * rate < there < 1.2 * rate
    for left in range(there - rate // 20, there + rate // 20 + 1):  # the very end is a guess where none is told
        if np.array_equal(clip[left : 2 * left], clip[:left]):
            break
    else:
        raise AssertionError("not repeated")
    assert np.array_equal(clip, np.resize(clip[:left], len(clip)))


def test_files_shorter_than_the_clip_are_repeated(tmp_path):
    sound = np.random.default_rng(0).uniform(-1, 1, 4_410).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 44_100, subtype="FLOAT")
    assert np.array_equal(load_clip(tmp_path / "a.wav", 0, 1, 44_100), np.tile(sound, 10))
    assert load_clip(tmp_path / "a.wav", 0, 1, 48_000).shape == (48_000,)


def test_after_the_end_there_is_no_clip(made):
    with pytest.raises(UnusableAudio) as raised:
        load_clip(made.path, 20.0, 1.0, made.case.rate)
    assert raised.value.reason == "too short"


@pytest.mark.parametrize(("start_s", "seconds", "rate"), [(-1, 1, 8000), (0, 0, 8000), (0, 1, 0), (np.nan, 1, 8000)])
def test_senseless_clips(tmp_path, start_s, seconds, rate):
    with pytest.raises(UsageError):
        load_clip(tmp_path / "a.wav", start_s, seconds, rate)


def test_probe(made):
    info = probe(made.path)
    assert (info.sample_rate, info.channels) == (made.case.rate, made.case.channels)
    assert info.duration_s == pytest.approx(len(made.whole) / made.case.rate, abs=0.05)
    if made.case.by == "soundfile":
        assert round(info.duration_s * info.sample_rate) == len(made.source)
    assert info == probe(str(made.path))


def test_examine_agrees_with_load_clip(made):
    policy = AudioPolicy(clip_seconds=4, skip_start_s=2, skip_end_s=2)
    found = examine(made.path, policy, seed=3, track_id="t")
    clip = load_clip(made.path, found.start_s, policy.clip_seconds, made.case.rate)
    assert found.peak_dbfs == pytest.approx(20 * np.log10(np.abs(clip).max()), abs=1e-3)
    assert not found.padded
    assert found.info == probe(made.path)
    assert found.duration_s == found.info.duration_s


def test_channels_are_averaged_plainly(tmp_path):
    channels = np.random.default_rng(0).uniform(-1, 1, (8_000, 6)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", channels, 8_000, subtype="FLOAT")
    np.testing.assert_allclose(load_clip(tmp_path / "a.wav", 0, 1, 8_000), channels.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("name", ["no-suffix", "wrong.au", "http:a.mp3", "ünïcödé \N{MUSICAL NOTE}.ogg", "#%.wav"])
@pytest.mark.parametrize("kind", ["flac-44k-stereo", "aac-m4a-44k-stereo", "mp3-headerless-vbr-44k"])
def test_the_name_does_not_matter(make, tmp_path, monkeypatch, name, kind):
    made = make(kind)
    (tmp_path / name).write_bytes(made.path.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(load_clip(Path(name), 3, 1, 44_100), load_clip(made.path, 3, 1, 44_100))


def test_mp3_with_a_large_tag(make, tmp_path):
    made = make("mp3-headerless-vbr-44k")
    tag = b"ID3\x04\x00\x00" + bytes([0, 4, 0, 0]) + bytes(1 << 16)
    (tmp_path / "a.mp3").write_bytes(tag + made.path.read_bytes())
    assert probe(tmp_path / "a.mp3").duration_s == pytest.approx(len(made.whole) / 44_100, abs=0.05)
    clip = load_clip(tmp_path / "a.mp3", 6, 1, 44_100)
    np.testing.assert_allclose(clip, made.whole[6 * 44_100 : 7 * 44_100], atol=1e-5)


def test_vorbis_cut_out_of_a_stream(make, decode, tmp_path):
    """What lies before the first time stamp 0 is not part of the track; libsndfile alone gets this wrong."""
    made, rate = make("vorbis-44k-stereo"), 44_100
    early = 3_000
    with av.open(str(made.path)) as source, av.open(str(tmp_path / "cut.ogg"), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        offset = None
        for packet in source.demux(audio=0):
            if packet.pts is None or packet.pts < 2 * rate:
                continue
            if offset is None:
                offset = packet.pts + early
            packet.pts, packet.dts, packet.stream = packet.pts - offset, packet.dts - offset, stream
            target.mux(packet)
    everything = decode(tmp_path / "cut.ogg")
    whole = from_zero(tmp_path / "cut.ogg", everything)
    assert len(everything) - len(whole) > 1_000, "the file is not what this test is about"
    found = examine(tmp_path / "cut.ogg", AudioPolicy(clip_seconds=3), seed=0, track_id="cut")
    assert round(found.duration_s * rate) == pytest.approx(len(whole), abs=1)
    for start_s in (0.0, 0.3, 2.0, 5.5, 9.0, found.start_s):
        first = round(start_s * rate)
        np.testing.assert_allclose(
            load_clip(tmp_path / "cut.ogg", start_s, 2, rate), whole[first : first + 2 * rate], atol=1e-5
        )


def from_zero(path, whole):
    """What lies after 0: a Vorbis file ends where its last page says, so count back from there."""
    return whole[max(0, len(whole) - soundfile.info(str(path)).frames) :]


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="needs Linux's count of bytes read")
@pytest.mark.parametrize("kind", ["wav-96k-5.1", "flac-48k-5.1", "alac-m4a-44k-stereo"])
def test_only_the_clip_is_read(make, kind):
    made = make(kind)
    load_clip(made.path, 6, 0.1, made.case.rate)

    def bytes_read():
        return int(Path("/proc/self/io").read_text().split()[1])

    before = bytes_read()
    load_clip(made.path, 6, 0.1, made.case.rate)
    assert bytes_read() - before < made.path.stat().st_size / 4
