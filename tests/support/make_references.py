"""Writes the stored references anew: ``python tests/support/make_references.py``, where the original code is installed.

The tests compute those of transformers again and compare, so that nobody has to believe the files. Other packages are
slow, or cannot be installed together: theirs are written by name, ``python tests/support/make_references.py mule``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from larpbench.encoders.adapters.clap.reference import CLAP_REFERENCE, HTSAT_REFERENCE
from larpbench.encoders.adapters.text.reference import REFERENCE as TEXT_REFERENCE
from larpbench.encoders.names import get_encoder
from larpbench.encoders.reference import Reference

STORED = {CLAP_REFERENCE: (None, "audio", "text"), HTSAT_REFERENCE: (None,), TEXT_REFERENCE: (None,)}
"""Reference -> the arguments that it has vectors of."""
RATES = {CLAP_REFERENCE: 48_000, HTSAT_REFERENCE: 48_000, TEXT_REFERENCE: None}
"""Sample rates in Hz."""


def computed(reference: Reference, folder: Path) -> dict[str, np.ndarray]:
    """Run the original code on the tiny checkpoint."""
    reference.write(folder)
    batch = reference.batch(RATES[reference])
    return {argument or "whole": reference.run(folder, batch, argument) for argument in STORED[reference]}


def of_package(name: str) -> tuple[Reference, int]:
    """Return the reference of an encoder, or of a kind of ``hf-audio`` or ``text``, and its sample rate in Hz."""
    from larpbench.encoders.adapters.hf_audio.reference import ENCODEC, HUBERT, WAV2VEC2
    from larpbench.encoders.adapters.hf_audio.tower_reference import TOWER_REFERENCES
    from larpbench.encoders.adapters.text.sentences import SENTENCES

    for reference in (ENCODEC, HUBERT, WAV2VEC2, *TOWER_REFERENCES.values(), *SENTENCES):
        if reference.stored.stem == name:
            return reference, reference.sample_rate
    spec = get_encoder(name)
    return spec.reference, spec.card.sample_rate


def write(reference: Reference, vectors: dict[str, np.ndarray]) -> None:
    """Store vectors where the reference expects them."""
    np.savez_compressed(reference.stored, **vectors)


if __name__ == "__main__":
    for each in STORED if len(sys.argv) == 1 else ():
        with tempfile.TemporaryDirectory() as made:
            write(each, computed(each, Path(made)))
    for each_name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as made:
            each, rate = of_package(each_name)
            each.write(Path(made))
            keys = each.arguments or (None,)
            write(each, {key or each.default: each.run(Path(made), each.batch(rate), key) for key in keys})
