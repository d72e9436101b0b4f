"""Low-level descriptors as in AcousticBrainz, by Essentia's MusicExtractor: timbre, harmony and rhythm of a clip.

Bogdanov et al. 2013, Essentia; Porter et al. 2015, AcousticBrainz. Essentia is AGPL-3.0: an optional extra, which runs
from the package alone or from ``essentia-tensorflow``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from larpbench.encoders.encoder import TrackBatch
from larpbench.errors import EmbeddingError

SAMPLE_RATE = 44_100
"""Hz."""
_SHORTEST_S = 3.0  # a shorter clip is repeated: rhythm needs some beats
_STATISTICS = ["mean", "var", "median", "min", "max", "dmean", "dmean2", "dvar", "dvar2"]
_MATRICES = ["mean", "cov", "icov"]
_COEFFICIENTS = 13  # of MFCC and GFCC
_SILENT = "completely silent"  # what MusicExtractor says of a clip without any loud enough frame


class Block(NamedTuple):
    """Neighbouring numbers of the vector that belong together.

    Attributes:
        name: Essentia's name of the descriptor, such as ``lowlevel.dissonance.mean``.
        width: How many numbers; of a symmetric matrix, its upper triangle by rows.
    """

    name: str
    width: int


_BANDS = ("crest", "flatness_db", "kurtosis", "skewness", "spread")
_FRAME_BY_FRAME = {
    **{f"lowlevel.{bank}_{shape}": 1 for bank in ("barkbands", "erbbands", "melbands") for shape in _BANDS},
    "lowlevel.barkbands": 27,
    "lowlevel.dissonance": 1,
    "lowlevel.erbbands": 40,
    "lowlevel.hfc": 1,
    "lowlevel.melbands": 40,
    "lowlevel.pitch_salience": 1,
    "lowlevel.silence_rate_20dB": 1,
    "lowlevel.silence_rate_30dB": 1,
    "lowlevel.silence_rate_60dB": 1,
    "lowlevel.spectral_centroid": 1,
    "lowlevel.spectral_complexity": 1,
    "lowlevel.spectral_contrast_coeffs": 6,
    "lowlevel.spectral_contrast_valleys": 6,
    "lowlevel.spectral_decrease": 1,
    "lowlevel.spectral_energy": 1,
    "lowlevel.spectral_energyband_high": 1,
    "lowlevel.spectral_energyband_low": 1,
    "lowlevel.spectral_energyband_middle_high": 1,
    "lowlevel.spectral_energyband_middle_low": 1,
    "lowlevel.spectral_entropy": 1,
    "lowlevel.spectral_flux": 1,
    "lowlevel.spectral_kurtosis": 1,
    "lowlevel.spectral_rms": 1,
    "lowlevel.spectral_rolloff": 1,
    "lowlevel.spectral_skewness": 1,
    "lowlevel.spectral_spread": 1,
    "lowlevel.spectral_strongpeak": 1,
    "lowlevel.zerocrossingrate": 1,
    "rhythm.beats_loudness": 1,
    "rhythm.beats_loudness_band_ratio": 6,
    "tonal.chords_strength": 1,
    "tonal.hpcp": 36,
    "tonal.hpcp_crest": 1,
    "tonal.hpcp_entropy": 1,
}
_OF_THE_CLIP = {
    "lowlevel.average_loudness": 1,
    "lowlevel.dynamic_complexity": 1,
    "rhythm.beats_count": 1,
    "rhythm.bpm": 1,
    "rhythm.bpm_histogram": 250,
    "rhythm.bpm_histogram_first_peak_bpm": 1,
    "rhythm.bpm_histogram_first_peak_weight": 1,
    "rhythm.bpm_histogram_second_peak_bpm": 1,
    "rhythm.bpm_histogram_second_peak_spread": 1,
    "rhythm.bpm_histogram_second_peak_weight": 1,
    "rhythm.danceability": 1,
    "rhythm.onset_rate": 1,
    "tonal.chords_changes_rate": 1,
    "tonal.chords_histogram": 24,
    "tonal.chords_number_rate": 1,
    "tonal.key_edma.strength": 1,
    "tonal.key_krumhansl.strength": 1,
    "tonal.key_temperley.strength": 1,
    "tonal.thpcp": 36,
    "tonal.tuning_diatonic_strength": 1,
    "tonal.tuning_equal_tempered_deviation": 1,
    "tonal.tuning_frequency": 1,
    "tonal.tuning_nontempered_energy_ratio": 1,
}


def _blocks() -> tuple[Block, ...]:
    triangle = _COEFFICIENTS * (_COEFFICIENTS + 1) // 2
    blocks = [Block(f"{name}.{each}", width) for name, width in _FRAME_BY_FRAME.items() for each in _STATISTICS]
    for name in ("lowlevel.gfcc", "lowlevel.mfcc"):
        blocks += [Block(f"{name}.{each}", _COEFFICIENTS if each == "mean" else triangle) for each in _MATRICES]
    blocks += [Block(name, width) for name, width in _OF_THE_CLIP.items()]
    return tuple(sorted(blocks))


BLOCKS = _blocks()
"""What the columns are, in order: that of the names."""
DIM = sum(block.width for block in BLOCKS)
"""2,547."""


class EssentiaEncoder:
    """2,547 descriptors of each clip (`BLOCKS`) on a logarithmic scale: to be standardised before they are compared.

    Raw values reach 9e12 (inverse covariances, variances of frequencies), hence ``sign(x) log(1 + |x|)``.
    """

    def __init__(self) -> None:
        self._extract = music_extractor()

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 2547) float32 of `batch.audio`, (n, samples) float32 at 44.1 kHz.

        A row is all 0 if Essentia finds the clip silent at any level (less than a twentieth of it sounds), and NaN if
        the clip has NaN: no number would be true, and the store refuses such rows and names them (protocol rule 4).

        Raises:
            EmbeddingError: If the batch has no audio, or this version of Essentia gives other descriptors.
        """
        audio = batch.require_audio("essentia")
        vectors = np.empty((len(batch), DIM), dtype=np.float32)
        with tempfile.TemporaryDirectory(prefix="larpbench-") as folder:
            for row, clip in enumerate(audio):
                vectors[row] = self._describe(clip, Path(folder) / "clip.wav")
        return vectors

    def _describe(self, clip: np.ndarray, path: Path) -> np.ndarray:
        if not np.isfinite(clip).all():
            return np.full(DIM, np.nan, dtype=np.float32)
        clip = np.resize(clip, max(len(clip), round(_SHORTEST_S * SAMPLE_RATE)))
        found = self._of_file(clip, path)
        if found is None and (peak := np.abs(clip).max()):
            # The extractor brings every clip to one loudness, but takes those below some level for silence.
            found = self._of_file(clip / peak, path)
        return np.zeros(DIM, dtype=np.float32) if found is None else signed_log(flatten(found))

    def _of_file(self, clip: np.ndarray, path: Path) -> Mapping[str, Any] | None:
        """Return the descriptors by name, None if the clip is silent; the extractor takes files only."""
        soundfile.write(path, clip, SAMPLE_RATE, subtype="FLOAT")
        try:
            return self._extract(str(path))[0]
        except RuntimeError as error:
            if _SILENT in str(error):
                return None
            raise EmbeddingError(f"Essentia cannot describe a clip: {error}") from error


def music_extractor() -> Callable[[str], tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return Essentia's extractor with its defaults, but for silent frames: they are left out.

    By default, noise of a random seed stands in for them: the same clip would give other numbers every time.
    """
    import essentia
    import essentia.standard

    essentia.log.infoActive = essentia.log.warningActive = False
    return essentia.standard.MusicExtractor(
        lowlevelStats=_STATISTICS,
        rhythmStats=_STATISTICS,
        tonalStats=_STATISTICS,
        mfccStats=_MATRICES,
        gfccStats=_MATRICES,
        lowlevelSilentFrames="drop",
        tonalSilentFrames="drop",
    )


def flatten(descriptors: Mapping[str, Any]) -> np.ndarray:
    """Return (2547,) float64, the descriptors of `BLOCKS` in order.

    Raises:
        EmbeddingError: If one is missing or has another width.
    """
    parts = []
    for block in BLOCKS:
        try:
            values = np.atleast_1d(np.asarray(descriptors[block.name], dtype=np.float64))
        except KeyError as error:
            raise EmbeddingError(f"this version of Essentia gives no {block.name!r}") from error
        if values.ndim == 2:
            values = values[np.triu_indices(len(values))]
        if values.shape != (block.width,):
            raise EmbeddingError(
                f"this version of Essentia gives {values.size} numbers as {block.name!r}", allowed=str(block.width)
            )
        parts.append(values)
    return np.concatenate(parts)


def signed_log(values: np.ndarray) -> np.ndarray:
    """Return ``sign(x) log(1 + |x|)`` as float32."""
    return (np.sign(values) * np.log1p(np.abs(values))).astype(np.float32)
