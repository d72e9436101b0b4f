"""Clips by larpbench against the plain way by hand: open, seek, read, mean over channels, soxr."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from paired import paired_ratio
from pytest_benchmark.fixture import BenchmarkFixture

from larpbench.audio import load_clip

SECONDS, RATE, CLIP_S, TO_RATE = 200, 44_100, 10, 48_000
STARTS = (21.5, 47.03, 90.25, 133.1, 168.77)  # on the grids of both rates
TARGET = "<= 1.15"
FORMATS = {
    "MP3 CBR": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.4},
    "Ogg Vorbis": {"format": "OGG", "subtype": "VORBIS"},
    "FLAC": {"format": "FLAC"},
}

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def write(path: Path, options: dict) -> None:
    """Write noise of changing colour and loudness, stereo, second by second."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, **options) as file:
        for second in range(SECONDS):
            noise = np.cumsum(rng.standard_normal((RATE, 2)), axis=0) * 1e-3 + 0.05 * rng.standard_normal((RATE, 2))
            file.write(np.clip(noise * (0.3 + 0.5 * np.sin(second)), -0.9, 0.9))


def numpy_mean(block: np.ndarray) -> np.ndarray:
    """Return the mean over channels as anybody would write it."""
    return block.mean(axis=1)


def fast_mean(block: np.ndarray) -> np.ndarray:
    """Return the same many times faster, so that only decoding and resampling are left to compare."""
    return (block[:, 0] + block[:, 1]) * np.float32(0.5)


def plain(path: Path, start_s: float, mean: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the clip by hand."""
    with soundfile.SoundFile(path) as file:
        file.seek(round(start_s * file.samplerate))
        block = file.read(CLIP_S * file.samplerate, dtype="float32", always_2d=True)
        return soxr.resample(mean(block), file.samplerate, TO_RATE, quality="HQ")


@pytest.mark.parametrize("name", list(FORMATS))
def test_load_clip(
    benchmark: BenchmarkFixture, figure: Callable[[str, str, str], None], tmp_path: Path, name: str
) -> None:
    path = tmp_path / "sound"
    write(path, FORMATS[name])

    def ours() -> list[np.ndarray]:
        return [load_clip(path, start_s, CLIP_S, TO_RATE) for start_s in STARTS]

    def by_hand(mean: Callable[[np.ndarray], np.ndarray] = numpy_mean) -> list[np.ndarray]:
        return [plain(path, start_s, mean) for start_s in STARTS]

    for clip, other in zip(ours(), by_hand(), strict=True):
        inner = slice(TO_RATE, -TO_RATE)  # at its ends the plain way lacks what the filter needs
        np.testing.assert_allclose(clip[inner], other[inner], atol=1e-3)
    benchmark.pedantic(ours, rounds=1, warmup_rounds=1)
    for mean, label in ((numpy_mean, "its mean by numpy"), (fast_mean, "its mean by columns")):
        ratio = paired_ratio(ours, lambda mean=mean: by_hand(mean), rounds=15)
        benchmark.extra_info |= {label: ratio.median, "target": TARGET}
        figure(f"load_clip / soundfile + soxr, {label}: {name}", TARGET, ratio)
