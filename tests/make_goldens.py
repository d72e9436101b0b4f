"""Writes the stored references anew: ``python tests/make_goldens.py``, where the original code is installed.

The tests compute them again and compare, so that nobody has to believe the files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from larpbench.encoders import goldens
from larpbench.encoders.goldens import Golden
from larpbench.encoders.goldens.clap import CLAP, HTSAT
from larpbench.encoders.goldens.text import TEXT

STORED = {CLAP: (None, "audio", "text"), HTSAT: (None,), TEXT: (None,)}
"""Golden -> the arguments that it has vectors of."""
RATES = {CLAP: 48_000, HTSAT: 48_000, TEXT: None}


def computed(golden: Golden, folder: Path) -> dict[str, np.ndarray]:
    """Run the original code on the tiny checkpoint."""
    assert golden.reference is not None
    golden.write(folder)
    batch = golden.batch(RATES[golden])
    return {argument or "whole": golden.reference(folder, batch, argument) for argument in STORED[golden]}


if __name__ == "__main__":
    for each in STORED:
        with tempfile.TemporaryDirectory() as made:
            np.savez(Path(goldens.__file__).parent / f"{each.name}.npz", **computed(each, Path(made)))
