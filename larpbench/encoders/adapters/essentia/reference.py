"""Essentia's MusicExtractor, called on a file as its documentation does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import soundfile

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference

_FOLDER = Path(__file__).parent

_STATISTICS = ["mean", "var", "median", "min", "max", "dmean", "dmean2", "dvar", "dvar2"]
_LEFT_OUT = ("metadata.", "rhythm.beats_position", "lowlevel.melbands128", "lowlevel.loudness_ebu128")


def write_nothing(folder: Path) -> None:
    """Write no weights: there are none."""


def run_essentia(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return the descriptors that are left when those of another length for every clip and all text are left out.

    In the alphabetical order of their names, whereas the adapter has a table of them: (n, 2547) float32.
    """
    import essentia.standard

    rows = []
    for clip in batch.require_audio("Essentia"):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "clip.wav"
            soundfile.write(path, clip, 44_100, subtype="FLOAT")
            found, _ = essentia.standard.MusicExtractor(
                lowlevelStats=_STATISTICS,
                rhythmStats=_STATISTICS,
                tonalStats=_STATISTICS,
                mfccStats=["mean", "cov", "icov"],
                gfccStats=["mean", "cov", "icov"],
                lowlevelSilentFrames="drop",
                tonalSilentFrames="drop",
            )(str(path))
        numbers: list[float] = []
        for name in sorted(found.descriptorNames()):
            value = found[name]
            if name.startswith(_LEFT_OUT) or isinstance(value, str):
                continue
            matrix = np.asarray(value, dtype=np.float64)
            numbers += matrix[np.triu_indices(len(matrix))].tolist() if matrix.ndim == 2 else np.ravel(matrix).tolist()
        rows.append([np.sign(each) * np.log1p(abs(each)) for each in numbers])
    return np.array(rows, dtype=np.float32)


ESSENTIA = Reference(_FOLDER / "essentia.npz", "essentia 2.1b6.dev1389", write_nothing, run_essentia, seconds=3.0)
