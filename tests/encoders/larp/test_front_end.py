from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from support.compiled_librosa import compile_librosa
from support.packed import LARP_MINI

from larpbench.encoders.towers.front_end import SpecAugment, log_mel, windows
from larpbench.encoders.towers.settings import MelSettings

FILTERS = LARP_MINI / "mel_filterbank.npz"
PAPER = MelSettings()
SMALL = MelSettings(sample_rate=16_000, n_fft=512, hop=320, n_mels=32, f_max=8_000, window_s=2)


def sound(n, seconds, rate, level=0.1):
    """Noise over a chord, a seed a row."""
    time = np.arange(int(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (110, 440, 3_000))
    noise = np.random.default_rng(0).standard_normal((n, len(time)))
    return (level * (noise + chord)).astype(np.float32)


def with_librosa(audio, settings, filters=None):
    compile_librosa()
    spectrum = librosa.stft(audio, n_fft=settings.n_fft, hop_length=settings.hop, window="hann", pad_mode="reflect")
    if filters is None:
        filters = librosa.filters.mel(
            sr=settings.sample_rate,
            n_fft=settings.n_fft,
            n_mels=settings.n_mels,
            fmin=settings.f_min,
            fmax=settings.f_max,
        )
    return librosa.power_to_db(filters @ np.abs(spectrum) ** 2, ref=1.0, amin=1e-10, top_db=None).T


@pytest.mark.parametrize("settings", [PAPER, SMALL])
@pytest.mark.parametrize("level", [1e-4, 0.1, 1.0])
def test_spectrogram_equals_librosa(settings, level):
    audio = sound(2, 1.5, settings.sample_rate, level)
    found = log_mel(torch.from_numpy(audio), settings)
    assert found.dtype == torch.float32
    assert found.shape == (2, 1 + audio.shape[1] // settings.hop, settings.n_mels)
    for row, clip in zip(found.numpy(), audio, strict=True):
        np.testing.assert_allclose(row, with_librosa(clip, settings), atol=1e-3)


def test_spectrogram_has_the_published_filters():
    audio = sound(1, 1, PAPER.sample_rate)
    expected = with_librosa(audio[0], PAPER, np.load(FILTERS)["filters"].T)
    np.testing.assert_allclose(log_mel(torch.from_numpy(audio), PAPER)[0], expected, atol=1e-3)


def test_ten_seconds_are_1001_frames_and_silence_is_at_the_floor():
    found = log_mel(torch.zeros(1, 480_000), PAPER)
    assert found.shape == (1, 1_001, 64)
    assert torch.equal(found, torch.full_like(found, -100))


@pytest.mark.parametrize("samples", [1, 512, 513])
def test_clips_shorter_than_a_frame_are_finite(samples):
    found = log_mel(torch.ones(2, samples), PAPER)
    assert found.shape[1] == 2
    assert found.isfinite().all()


def test_a_spectrogram_does_not_depend_on_the_batch():
    audio = torch.from_numpy(sound(20, 0.5, SMALL.sample_rate))
    whole = log_mel(audio, SMALL)
    torch.testing.assert_close(log_mel(audio[17:18], SMALL)[0], whole[17], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "starts"),
    [(100, [0]), (32_000, [0]), (32_001, [0, 1]), (64_000, [0, 32_000]), (80_000, [0, 32_000, 48_000])],
)
def test_windows(samples, starts):
    clips = torch.arange(samples, dtype=torch.float32).expand(2, -1)
    cut = windows(clips, SMALL)
    assert cut.shape == (2, len(starts), min(samples, 32_000))
    assert cut[1, :, 0].tolist() == starts
    assert cut[1, -1, -1] == samples - 1


def test_spec_augment_rests_outside_training():
    images = torch.randn(2, 50, 8)
    assert torch.equal(SpecAugment().eval()(images), images)


@pytest.mark.parametrize(("frames", "bands", "time_stripe", "band_stripe"), [(1_001, 64, 63, 7), (501, 32, 32, 4)])
def test_spec_augment_blanks_two_stripes_of_each_kind(frames, bands, time_stripe, band_stripe):
    torch.manual_seed(0)
    images = torch.ones(400, frames, bands)
    found = SpecAugment().train()(images)
    assert torch.equal(images, torch.ones_like(images))
    assert set(found.unique().tolist()) == {0.0, 1.0}
    for axis, widest in ((2, time_stripe), (1, band_stripe)):
        blank = (found == 0).all(dim=axis)
        stripes = (blank.int().diff(dim=1, prepend=torch.zeros(len(blank), 1).int()) == 1).sum(dim=1)
        assert stripes.max() == 2  # fewer where they overlap or have no width
        assert blank.sum(dim=1).max() <= 2 * widest
        assert blank[stripes == 1].sum(dim=1).min() < widest
        single = blank.sum(dim=1).float().mean() / 2
        assert 0.4 * widest < single < 0.52 * widest  # the mean width is half the widest, less what overlaps
        assert blank.any(dim=0).all()  # every place can be hit
    again = torch.manual_seed(0) and SpecAugment().train()(images)
    assert torch.equal(again, found)
    assert not torch.equal(SpecAugment().train()(images), found)
