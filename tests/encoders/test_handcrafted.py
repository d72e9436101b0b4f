from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from support.compiled_librosa import compile_librosa

librosa = pytest.importorskip("librosa")

from larpbench.encoders.adapters.handcrafted.encoder import BLOCKS, DIM, SAMPLE_RATE, HandcraftedEncoder  # noqa: E402
from larpbench.encoders.encoder import TrackBatch  # noqa: E402
from larpbench.errors import EmbeddingError  # noqa: E402


@pytest.fixture(scope="module")
def encode():
    compile_librosa()
    encoder = HandcraftedEncoder()

    def call(audio):
        audio = np.atleast_2d(np.asarray(audio, dtype=np.float32))
        ids = np.array([f"t{i}" for i in range(len(audio))])
        return encoder.encode(TrackBatch(ids, ids, audio))

    return call


def column(vectors, name):
    block = next(block for block in BLOCKS if block.name == name)
    return vectors[..., block.start : block.stop]


def seconds(length):
    return np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE


def tone(hz, length=2.0):
    return 0.5 * np.sin(2 * np.pi * hz * seconds(length))


def noise(n, length, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((n, int(length * SAMPLE_RATE)))


def clicks(beats_per_minute, length=10.0):
    audio = np.zeros(int(length * SAMPLE_RATE) + 400)
    shape = np.exp(-np.arange(400) / 60) * np.sin(0.5 * np.arange(400))
    for time in np.arange(0, length, 60 / beats_per_minute):
        audio[int(time * SAMPLE_RATE) :][:400] += shape
    return audio[:-400]


def test_529_numbers_each_in_one_block():
    assert DIM == 529
    assert [block.start for block in BLOCKS] == [0, *(block.stop for block in BLOCKS[:-1])]
    assert all(block.stop > block.start for block in BLOCKS)
    assert len({block.name for block in BLOCKS}) == len(BLOCKS)


def test_the_page_lists_the_same_blocks():
    page = (Path(__file__).parents[2] / "docs" / "encoders" / "handcrafted.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (\d+)–(\d+) \| (.*) \|$", page, re.MULTILINE)
    assert [(name, int(first), int(last) + 1, text) for name, first, last, text in rows] == [tuple(b) for b in BLOCKS]


@pytest.mark.parametrize("beats_per_minute", [80, 100, 120, 140])
def test_tempo_of_clicks(encode, beats_per_minute):
    assert column(encode(clicks(beats_per_minute)), "tempo")[0, 0] == pytest.approx(beats_per_minute, rel=0.03)


def test_chroma_of_an_a(encode):
    for hz in (220.0, 440.0, 445.0):  # the last is out of tune
        chroma = column(encode(tone(hz)), "chroma.mean")[0]
        assert chroma.argmax() == 9
        assert chroma[9] > 0.95
        assert np.delete(chroma, 9).max() < 0.5


def test_spectral_order_of_tones_and_noise(encode):
    vectors = encode([tone(200), tone(1_000), tone(5_000), noise(1, 2)[0]])
    for name in ("centroid.mean", "rolloff.mean", "zcr.mean"):
        assert (np.diff(column(vectors, name)[:3, 0]) > 0).all(), name
    assert column(vectors, "centroid.mean")[1, 0] == pytest.approx(1_000, rel=0.05)
    assert column(vectors, "zcr.mean")[1, 0] == pytest.approx(2 * 1_000 / SAMPLE_RATE, rel=0.05)
    assert column(vectors, "rms.mean")[1, 0] == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    for name in ("flatness.mean", "bandwidth.mean"):
        assert column(vectors, name)[:, 0].argmax() == 3, name
    assert column(encode(clicks(120)), "onset.std")[0, 0] > 3 * column(vectors, "onset.std")[1, 0]


def test_the_shared_spectrogram_gives_what_librosa_gives(encode):
    audio = (clicks(110, 3) + tone(330, 3) + noise(1, 3)[0]).astype(np.float32)
    vector = encode(audio)[0]
    feature = librosa.feature
    for name, expected in {
        "mfcc": feature.mfcc(y=audio, sr=SAMPLE_RATE),
        "delta": feature.delta(feature.mfcc(y=audio, sr=SAMPLE_RATE)),
        "chroma": feature.chroma_stft(y=audio, sr=SAMPLE_RATE),
        "contrast": feature.spectral_contrast(y=audio, sr=SAMPLE_RATE),
        "centroid": feature.spectral_centroid(y=audio, sr=SAMPLE_RATE),
        "bandwidth": feature.spectral_bandwidth(y=audio, sr=SAMPLE_RATE),
        "rolloff": feature.spectral_rolloff(y=audio, sr=SAMPLE_RATE),
        "flatness": feature.spectral_flatness(y=audio),
        "zcr": feature.zero_crossing_rate(audio),
        "rms": feature.rms(y=audio),
        "onset": librosa.onset.onset_strength(y=audio, sr=SAMPLE_RATE)[None],
        "tempogram": feature.tempogram(y=audio, sr=SAMPLE_RATE, win_length=192),
        "tonnetz": feature.tonnetz(chroma=feature.chroma_stft(y=audio, sr=SAMPLE_RATE)),
    }.items():
        for statistic in ("mean", "std"):
            np.testing.assert_allclose(
                column(vector, f"{name}.{statistic}"),
                getattr(expected, statistic)(axis=1),
                rtol=1e-3,
                atol=1e-4,
                err_msg=f"{name}.{statistic}",
            )


@pytest.mark.parametrize(
    "clip",
    [
        np.zeros(SAMPLE_RATE),
        np.full(SAMPLE_RATE, 0.5),
        1e-7 * noise(1, 1)[0],
        1e-38 * noise(1, 1)[0],
        np.eye(1, SAMPLE_RATE)[0],
        np.sign(tone(100, 1)),
        noise(1, 0.3)[0],
        noise(1, 0.1)[0],
        np.array([0.3]),
        np.array([0.0]),
    ],
    ids=["silence", "constant", "faint", "denormal", "impulse", "clipped", "0.3 s", "0.1 s", "sample", "zero sample"],
)
def test_odd_clips_are_finite_and_nobody_is_warned(encode, clip):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vector = encode(clip)
    assert vector.shape == (1, DIM)
    assert np.isfinite(vector).all()


def test_no_audio():
    with pytest.raises(EmbeddingError):
        HandcraftedEncoder().encode(TrackBatch(np.array(["a"]), np.array(["a"])))


def test_a_broken_clip_gives_nan_and_spoils_no_other(encode):
    audio = noise(3, 0.5)
    audio[1, 7] = np.nan
    vectors = encode(audio)
    assert np.isnan(vectors[1]).all()
    np.testing.assert_array_equal(vectors[[0, 2]], encode(audio[[0, 2]]))


def test_vectors_depend_on_nothing_but_the_clip(encode):
    audio = noise(3, 1)
    whole = encode(audio)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(encode(audio), whole)
    for row in range(3):
        np.testing.assert_array_equal(encode(audio[row])[0], whole[row])
    assert encode(np.empty((0, SAMPLE_RATE))).shape == (0, DIM)
