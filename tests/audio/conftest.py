"""Sound files of many formats, made on first use, and a decoder of whole files by another way than larpbench's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

SECONDS = 14


def pattern(seconds: float, rate: int, channels: int) -> np.ndarray:
    """(samples, channels) float32: a chirp, a little noise, and clicks at distances that never come twice."""
    n = round(seconds * rate)
    t = np.arange(n) / rate
    highest = min(0.3 * rate, 9_000)
    mono = 0.25 * np.sin(2 * np.pi * (100 * t + (highest - 100) * t**2 / (2 * seconds)))
    mono += 0.02 * np.random.default_rng(0).standard_normal(n)
    clicks = np.cumsum(np.arange(rate // 20, rate // 4, max(1, rate // 500)))
    mono[clicks[clicks < n]] += 0.5
    return np.stack([mono * (1 - 0.1 * c) for c in range(channels)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A kind of file.

    Attributes:
        suffix: Of the file's name.
        rate: In Hz.
        channels: Number of channels.
        by: Who writes it: ``soundfile`` or ``av``.
        how: What the writer is told.
        lag: Samples by which a decode of the whole is behind the source: the encoder's delay, if the file tells none.
        lossless: Whether the samples come back exactly.
        decoders_agree: Whether libsndfile and libav decode it alike.
    """

    suffix: str
    rate: int
    channels: int
    by: str
    how: dict[str, object] = field(default_factory=dict)
    lag: int = 0
    lossless: bool = False
    decoders_agree: bool = True


def _mp3(mode: str) -> dict[str, object]:
    return {"format": "MP3", "bitrate_mode": mode, "compression_level": 0.4}


_VORBIS, _OPUS = {"format": "OGG", "subtype": "VORBIS"}, {"format": "OGG", "subtype": "OPUS"}
_HEADERLESS = {"codec": "libmp3lame", "muxer": "mp3", "muxing": {"write_xing": "0", "id3v2_version": "0"}}
_WAVPACK = {"codec": "wavpack", "muxer": "wv", "format": "s16p"}
_NO_NOISE = {"aac_pns": "0"}  # a decoder draws the noise that replaces sound, from where it starts on

CASES = {
    "wav-8k-mono": Case("wav", 8_000, 1, "soundfile", {"subtype": "PCM_16"}, lossless=True),
    "wav-11k-stereo": Case("wav", 11_025, 2, "soundfile", {"subtype": "PCM_24"}, lossless=True),
    "wav-96k-5.1": Case("wav", 96_000, 6, "soundfile", {"subtype": "FLOAT"}, lossless=True),
    "flac-44k-stereo": Case("flac", 44_100, 2, "soundfile", lossless=True),
    "flac-48k-5.1": Case("flac", 48_000, 6, "soundfile", lossless=True),
    "vorbis-8k-mono": Case("ogg", 8_000, 1, "soundfile", _VORBIS),
    "vorbis-44k-stereo": Case("ogg", 44_100, 2, "soundfile", _VORBIS),
    "vorbis-48k-5.1": Case("ogg", 48_000, 6, "soundfile", _VORBIS),
    "opus-48k-stereo": Case("opus", 48_000, 2, "soundfile", _OPUS, decoders_agree=False),
    "mp3-cbr-44k-stereo": Case("mp3", 44_100, 2, "soundfile", _mp3("CONSTANT")),
    "mp3-vbr-22k-mono": Case("mp3", 22_050, 1, "soundfile", _mp3("VARIABLE")),
    "mp3-vbr-48k-stereo": Case("mp3", 48_000, 2, "soundfile", _mp3("VARIABLE")),
    "mp3-headerless-vbr-44k": Case("mp3", 44_100, 2, "av", _HEADERLESS | {"quality": 4}, lag=1105),
    "mp3-headerless-cbr-11k": Case("mp3", 11_025, 1, "av", _HEADERLESS | {"bit_rate": 32_000}, lag=1105),
    "aac-m4a-44k-stereo": Case("m4a", 44_100, 2, "av", {"codec": "aac", "muxer": "mp4", "coding": _NO_NOISE}),
    "aac-m4a-48k-5.1": Case("m4a", 48_000, 6, "av", {"codec": "aac", "muxer": "mp4", "coding": _NO_NOISE}),
    "aac-raw-22k-mono": Case("aac", 22_050, 1, "av", {"codec": "aac", "muxer": "adts", "coding": _NO_NOISE}, lag=1024),
    "alac-m4a-44k-stereo": Case("m4a", 44_100, 2, "av", {"codec": "alac", "muxer": "mp4"}, lossless=True),
    "opus-webm-48k-mono": Case("webm", 48_000, 1, "av", {"codec": "libopus", "muxer": "webm"}),
    "wavpack-96k-stereo": Case("wv", 96_000, 2, "av", _WAVPACK, lossless=True),
    "flac-piped-44k": Case("flac", 44_100, 2, "av", {"codec": "flac", "muxer": "flac", "piped": True}, lossless=True),
}


class _Pipe:
    """A file that cannot be gone back in, so that its header tells no length."""

    name = "pipe"

    def __init__(self, path: Path) -> None:
        self._stream = path.open("wb")
        self.write, self.close = self._stream.write, self._stream.close


def encode_with_av(path: Path, samples: np.ndarray, rate: int, how: dict) -> None:
    """Write (samples, channels) float32 with libav."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]
    target = _Pipe(path) if how.get("piped") else str(path)
    with av.open(target, "w", format=how["muxer"], container_options=how.get("muxing", {})) as container:
        stream = container.add_stream(how["codec"], rate=rate, options=how.get("coding", {}), layout=layout)
        if "format" in how:
            stream.codec_context.format = how["format"]
        if "quality" in how:
            stream.codec_context.qscale = True
            stream.codec_context.global_quality = how["quality"] * 118  # libav's FF_QP2LAMBDA
        if "bit_rate" in how:
            stream.bit_rate = how["bit_rate"]
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
        for at in range(0, len(samples), rate):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[at : at + rate].T), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    if how.get("piped"):
        target.close()


def write(path: Path, case: Case, seconds: float = SECONDS) -> np.ndarray:
    """Write the pattern; return it as (samples,), the mean over channels."""
    samples = pattern(seconds, case.rate, case.channels)
    if case.by == "av":
        encode_with_av(path, samples, case.rate, case.how)
    else:
        options = dict(case.how)
        level = {name: options.pop(name) for name in ("bitrate_mode", "compression_level") if name in options}
        with soundfile.SoundFile(path, "w", case.rate, case.channels, **options, **level) as file:
            for at in range(0, len(samples), case.rate):  # libsndfile's Vorbis overflows the stack in one large write
                file.write(samples[at : at + case.rate])
    return samples.mean(axis=1)


def decode_whole(path: Path) -> np.ndarray:
    """(samples,) float64: every frame that libav decodes from the start, one after the other, channels averaged."""

    def frames() -> Iterator[np.ndarray]:
        with av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                samples = frame.to_ndarray()
                if not frame.format.is_planar:
                    samples = samples.reshape(-1, frame.layout.nb_channels).T
                full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1) if samples.dtype.kind == "i" else 1.0
                yield (samples / full_scale).mean(axis=0, dtype=np.float64)

    return np.concatenate(list(frames()))


@dataclass(frozen=True)
class Made:
    """A file of one kind.

    Attributes:
        path: The file.
        case: Its kind.
        source: (samples,) what was encoded.
        whole: (samples,) what libav decodes.
    """

    path: Path
    case: Case
    source: np.ndarray
    whole: np.ndarray


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Return a function that gives the file of a case; each is made once."""
    folder, made, numbers = tmp_path_factory.mktemp("sounds"), {}, itertools.count()

    def make_one(name: str) -> Made:
        if name not in made:
            path = folder / f"{next(numbers)}.{CASES[name].suffix}"
            source = write(path, CASES[name])
            made[name] = Made(path, CASES[name], source, decode_whole(path))
        return made[name]

    return make_one


@pytest.fixture(scope="session")
def decode() -> Callable[[Path], np.ndarray]:
    """Return `decode_whole`."""
    return decode_whole


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for ``case_name`` once for each case."""
    if "case_name" in metafunc.fixturenames:
        metafunc.parametrize("case_name", list(CASES))


@pytest.fixture
def made(make: Callable[[str], Made], case_name: str) -> Made:
    """The file of this test's case."""
    return make(case_name)
