"""Does an adapter compute what the original code computes?"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.reference import Reference
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import shell_word
from larpbench.streams import aside
from larpbench.testing.checks import Check


def check_reference(spec: EncoderSpec) -> list[Check]:
    """Compare an adapter with the original code: with the stored reference, and with the code itself where it can run.

    The first needs no weights: a tiny checkpoint is written anew. The second needs the real weights.
    """
    stored, live = "as the original code on a tiny checkpoint", "as the original code on the real weights"
    if spec.reference is None:
        reason = "there is no stored reference" if spec.card.original else "it is larpbench's own: nothing to compare"
        return [Check(stored, "skipped", reason)]
    if "in bfloat16" in spec.card.weights:
        return [Check(stored, "skipped", "references are in float32: check the encoder without :bf16")]
    return [_stored(stored, spec, spec.reference), _live(live, spec, spec.reference)]


def _stored(name: str, spec: EncoderSpec, reference: Reference) -> Check:
    if (spec.argument or "").startswith("@") and spec.argument not in reference.arguments:
        return Check(name, "skipped", f"there is no stored reference of {spec.argument}")
    with tempfile.TemporaryDirectory() as folder:
        reference.write(Path(folder))
        encoder = build_on(spec, Path(folder))
        return _compared(
            name,
            encoder,
            reference,
            reference.expected(key_of(spec, reference)),
            reference.batch(spec.card.sample_rate),
        )


def _live(name: str, spec: EncoderSpec, reference: Reference) -> Check:
    if not reference.installable:
        return Check(name, "skipped", f"{reference.original} cannot be installed beside larpbench")
    if spec.weights is None:
        return Check(name, "skipped", "it has no weights")
    folder = spec.weights.found()
    if folder is None:
        return Check(name, "skipped", "the weights are not here", f"larpbench fetch {shell_word(spec.identity)}")
    batch = reference.batch(spec.card.sample_rate)
    batch = TrackBatch(batch.track_ids[:2], batch.captions[:2], None if batch.audio is None else batch.audio[:2])
    try:
        with aside():
            expected = reference.run(folder, batch, spec.argument)
    except ImportError as error:
        return Check(name, "skipped", f"{reference.original} is not installed: {error}")
    encoder = spec.factory(replace(EncodeContext(0, folder), weights=folder), spec.argument)
    return _compared(name, encoder, reference, expected, batch)


def build_on(spec: EncoderSpec, folder: Path) -> Encoder:
    """Return the encoder with the weights of a folder, whatever its spec names."""
    argument = spec.argument if spec.takes is None or spec.takes.startswith("[") else None
    return spec.factory(replace(EncodeContext(0, folder), weights=folder), argument)


def key_of(spec: EncoderSpec, reference: Reference) -> str:
    """Return the name of an encoder's vectors in the stored file."""
    if (spec.argument or "").startswith("@"):
        return str(spec.argument)
    views = [each for each in ("audio", "text") if each in (spec.argument or "").split(":")]
    return views[0] if views else reference.default


def _compared(name: str, encoder: Encoder, reference: Reference, expected: np.ndarray, batch: TrackBatch) -> Check:
    with aside():
        found = np.asarray(encoder.encode(batch))
    if found.shape != expected.shape:
        return Check(name, "fail", f"shape {found.shape}, and {expected.shape} of the original code")
    difference = np.abs(found.astype(np.float64) - expected).max() / np.linalg.norm(expected, axis=1).mean()
    allowed = f"({reference.original}; allowed {reference.tolerance:g})"
    detail = f"largest difference {difference:.1g} of a vector's length {allowed}"
    if not difference <= reference.tolerance:
        return Check(name, "fail", detail, "do not use its results; larpbench doctor, and report it")
    return Check(name, "pass", detail)
