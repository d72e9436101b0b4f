"""Descriptors of the signal that need no training: timbre, harmony, dynamics and rhythm, as librosa defines them.

All are of the whole clip at 22,050 Hz, frames of 2,048 samples every 512, librosa 0.11's defaults otherwise. One
spectrogram serves all that need one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from larpbench.compiled import use_cache
from larpbench.encoders.encoder import TrackBatch

use_cache()  # numba reads it when it is imported
import librosa  # noqa: E402

SAMPLE_RATE = 22_050
"""Hz."""
_N_FFT = 2_048
_HOP = 512
_DELTA_FRAMES = 9
_MIN_SAMPLES = (_DELTA_FRAMES - 1) * _HOP  # gives as many frames as the slope of the MFCC needs
_TEMPOGRAM_LAGS = 192  # 4.5 s


class Block(NamedTuple):
    """Neighbouring numbers of the vector that belong together.

    Attributes:
        name: ``feature.mean`` or ``feature.std`` over the frames.
        start: First column.
        stop: First column after it.
        meaning: What is measured, and its unit.
    """

    name: str
    start: int
    stop: int
    meaning: str


_FEATURES = (
    ("mfcc", 20, "mel-frequency cepstral coefficients of 128 mel bands, dB"),
    ("delta", 20, "their slope over 9 frames, dB a frame"),
    ("chroma", 12, "pitch classes C to B relative to the strongest, tuning corrected"),
    ("contrast", 7, "peak against valley of the spectrum, below 200 Hz and in 6 octaves above, dB"),
    ("centroid", 1, "centre of the spectrum, Hz"),
    ("bandwidth", 1, "spread of the spectrum around its centre, Hz"),
    ("rolloff", 1, "frequency below which 85 % of the spectrum lies, Hz"),
    ("flatness", 1, "geometric by arithmetic mean of the power spectrum: 1 is white noise"),
    ("zcr", 1, "share of samples where the sign changes"),
    ("rms", 1, "root mean square, full scale 1"),
    ("onset", 1, "onset strength: mean rise of the mel bands, dB"),
    ("tempogram", _TEMPOGRAM_LAGS, "autocorrelation of onset strength at lags of 0 to 191 frames of 23 ms"),
    ("tonnetz", 6, "fifths, minor and major thirds as angles (tonal centroid)"),
)


def _blocks() -> tuple[Block, ...]:
    blocks: list[Block] = []
    position = 0
    for feature, width, meaning in _FEATURES:
        for statistic in ("mean", "std"):
            blocks.append(Block(f"{feature}.{statistic}", position, position + width, meaning))
            position += width
    return (*blocks, Block("tempo", position, position + 1, "most likely tempo, beats a minute"))


BLOCKS = _blocks()
"""What each column is, in order; together they cover the vector once."""
DIM = BLOCKS[-1].stop
"""529."""


class HandcraftedEncoder:
    """529 descriptors of each clip (`BLOCKS`), in their own units: to be standardised before they are compared."""

    def __init__(self) -> None:
        self._mel_filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_N_FFT)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 529) float32 of `batch.audio`, (n, samples) float32 at 22,050 Hz; NaN for a clip with NaN.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        audio = batch.require_audio("handcrafted")
        vectors = np.empty((len(batch.track_ids), DIM), dtype=np.float32)
        with threadpool_limits(1, "blas"):
            for row, clip in enumerate(audio):
                vectors[row] = self._describe(clip) if np.isfinite(clip).all() else np.nan
        return vectors

    def _describe(self, clip: np.ndarray) -> np.ndarray:
        """Return (529,) of a clip; one that is too short for 9 frames (0.19 s) is repeated."""
        if len(clip) < _MIN_SAMPLES:
            clip = np.resize(clip, _MIN_SAMPLES)
        magnitude = np.abs(librosa.stft(clip, n_fft=_N_FFT, hop_length=_HOP))
        power = magnitude**2
        decibels = librosa.power_to_db(self._mel_filters @ power)  # (128, frames)

        mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=20)
        chroma = librosa.feature.chroma_stft(S=power, sr=SAMPLE_RATE, tuning=_tuning(power))
        centroid = librosa.feature.spectral_centroid(S=magnitude, sr=SAMPLE_RATE)
        onset = librosa.onset.onset_strength(S=decibels, sr=SAMPLE_RATE, hop_length=_HOP)
        tempogram = librosa.feature.tempogram(
            onset_envelope=onset, sr=SAMPLE_RATE, hop_length=_HOP, win_length=_TEMPOGRAM_LAGS
        )
        by_frame = {
            "mfcc": mfcc,
            "delta": librosa.feature.delta(mfcc, width=_DELTA_FRAMES),
            "chroma": chroma,
            "contrast": librosa.feature.spectral_contrast(S=magnitude, sr=SAMPLE_RATE),
            "centroid": centroid,
            "bandwidth": librosa.feature.spectral_bandwidth(S=magnitude, sr=SAMPLE_RATE, centroid=centroid),
            "rolloff": librosa.feature.spectral_rolloff(S=magnitude, sr=SAMPLE_RATE),
            "flatness": librosa.feature.spectral_flatness(S=magnitude),
            "zcr": librosa.feature.zero_crossing_rate(clip, frame_length=_N_FFT, hop_length=_HOP),
            "rms": librosa.feature.rms(y=clip, frame_length=_N_FFT, hop_length=_HOP),
            "onset": onset[None],
            "tempogram": tempogram,
            "tonnetz": librosa.feature.tonnetz(chroma=chroma, sr=SAMPLE_RATE),
        }
        parts = []
        for feature, _, _ in _FEATURES:
            parts += [by_frame[feature].mean(axis=1), by_frame[feature].std(axis=1)]
        parts.append(librosa.feature.tempo(tg=tempogram, sr=SAMPLE_RATE, hop_length=_HOP))
        return np.concatenate(parts)


def _tuning(power: np.ndarray) -> float:
    """Return the deviation from A = 440 Hz in semitones, 0 if nothing has a pitch.

    As librosa's `estimate_tuning`, which warns of clips without pitch.
    """
    pitches, strengths = librosa.piptrack(S=power, sr=SAMPLE_RATE, n_fft=_N_FFT)
    strengths, pitches = strengths[pitches > 0], pitches[pitches > 0]
    if not len(pitches):
        return 0.0
    return float(librosa.pitch_tuning(pitches[strengths >= np.median(strengths)]))
