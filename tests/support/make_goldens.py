"""Writes the stored references anew: ``python tests/make_goldens.py``, where the original code is installed.

The tests compute those of transformers again and compare, so that nobody has to believe the files. Other packages are
slow, or cannot be installed together: theirs are written by name, ``python tests/make_goldens.py mule``.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from larpbench.encoders import references as goldens
from larpbench.encoders.references import Golden
from larpbench.encoders.references.clap import CLAP, HTSAT
from larpbench.encoders.references.text import TEXT

STORED = {CLAP: (None, "audio", "text"), HTSAT: (None,), TEXT: (None,)}
"""Golden -> the arguments that it has vectors of."""
RATES = {CLAP: 48_000, HTSAT: 48_000, TEXT: None}


def computed(golden: Golden, folder: Path) -> dict[str, np.ndarray]:
    """Run the original code on the tiny checkpoint."""
    assert golden.reference is not None
    golden.write(folder)
    batch = golden.batch(RATES[golden])
    return {argument or "whole": golden.reference(folder, batch, argument) for argument in STORED[golden]}


OF_PACKAGES = {
    "essentia": ("essentia:ESSENTIA", "run_essentia", 44_100),
    "mule": ("mule:MULE", "run_mule", 16_000),
    "jukebox": ("jukebox:JUKEBOX", "run_jukebox", 44_100),
    "openl3": ("openl3:OPENL3", "run_openl3", 48_000),
    "laion-clap": ("laion_clap:LAION_CLAP", "run_laion_clap", 48_000),
    "hubert": ("hf_audio:HUBERT", "run_layer", 16_000),
    "wav2vec2": ("hf_audio:WAV2VEC2", "run_layer", 16_000),
    "encodec": ("hf_audio:ENCODEC", "run_layer", 24_000),
}
"""Name of the file -> module and golden, the function that runs the original code, sample rate in Hz."""


def computed_by_package(name: str, folder: Path) -> dict[str, np.ndarray]:
    """Run the original code of a package on the tiny checkpoint."""
    place, function, rate = OF_PACKAGES[name]
    module_name, _, attribute = place.partition(":")
    module = importlib.import_module(f"larpbench.encoders.references.{module_name}")
    golden: Golden = getattr(module, attribute)
    golden.write(folder)
    return {"whole": getattr(module, function)(folder, golden.batch(rate), None)}


def _write(name: str, vectors: dict[str, np.ndarray]) -> None:
    np.savez_compressed(Path(goldens.__file__).parent / f"{name}.npz", **vectors)


if __name__ == "__main__":
    for each in STORED if len(sys.argv) == 1 else ():
        with tempfile.TemporaryDirectory() as made:
            _write(each.name, computed(each, Path(made)))
    for each_name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as made:
            _write(each_name, computed_by_package(each_name, Path(made)))
