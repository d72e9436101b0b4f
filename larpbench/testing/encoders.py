"""Conformance tests of an encoder: what larpbench relies on, whatever it computes."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.encoders.encoder import EncodeContext, Encoder, FittedEncoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.testing.checks import (
    Check,
    Failure,
    Skip,
    difference,
    require_close,
    require_no_side_effects,
    restored_state,
    run_check,
    run_checks,
    skipped,
)
from larpbench.testing.toys import toy_batch, toy_split

_SEED = 3
_DURATIONS = (0.3, 1.0, 12.0)
_SHORT = 1.0
"""Seconds of a clip where its content does not matter."""


class _Subject:
    """An encoder, and its vectors of the toy batch, computed once."""

    def __init__(self, spec: EncoderSpec, encoder: Encoder) -> None:
        self.spec, self.encoder = spec, encoder

    @functools.cached_property
    def whole(self) -> Any:  # noqa: ANN401 - an encoder may return anything
        vectors = self.encoder.encode(toy_batch(self.spec))
        return vectors.copy() if isinstance(vectors, np.ndarray) else vectors


def check_encoder(spec: EncoderSpec, encoder: Encoder | None = None) -> list[Check]:
    """Run the conformance tests on an encoder; raises nothing that the encoder raises.

    Args:
        spec: The encoder.
        encoder: The encoder, already built, if it needs more than its spec, such as trained weights; default: built
            here, and fitted on four made-up captions if it learns from the train split.
    """
    with restored_state():
        checks = [run_check("card", _card, spec)]
        reason = _not_checkable(spec) if encoder is None else None
        if reason:
            return [*checks, *skipped({"build": None, **_CHECKS}, reason)]
        built: list[Encoder] = [encoder] if encoder else []
        if encoder is None:
            with tempfile.TemporaryDirectory() as folder:
                checks.append(run_check("build", lambda spec: built.append(_built(spec, Path(folder))), spec))
        if not built:
            return [*checks, *skipped(_CHECKS, "it could not be built")]
        return [*checks, *run_checks(_CHECKS, _Subject(spec, built[0]))]


def _not_checkable(spec: EncoderSpec) -> str | None:
    if spec.training:
        return "it has to be trained first: check the checkpoint, or larpbench run"
    if not spec.card.modalities and spec.digest:
        return "it looks up the tracks of one data set or file"
    return None


def _built(spec: EncoderSpec, folder: Path) -> Encoder:
    encoder = spec.build(EncodeContext(_SEED, folder))
    if spec.card.learns != "nothing":
        if not isinstance(encoder, FittedEncoder):
            raise Failure(
                "its card says that it learns, but it has no fit method", "add fit(train), or correct the card"
            )
        encoder.fit(toy_split())
    if not isinstance(encoder, Encoder):
        raise Failure(f"the factory returned a {type(encoder).__name__}", "it needs a method encode(batch)")
    return encoder


def _card(spec: EncoderSpec) -> None:
    card = spec.card
    wrong = {
        "an empty licence": not card.licence,
        "an empty entry for weights": not card.weights,
        "no speed": card.tracks_per_second <= 0,
        "no sample rate, although it reads audio": spec.reads_audio and not card.sample_rate,
        "pretrained weights, but not what they were trained on": card.weights.startswith("pretrained")
        and card.training_data == "none",
        "pretrained weights, but no digest of them": card.weights.startswith("pretrained")
        and not (spec.digest or spec.weights or spec.inputs or spec.takes),
        "random weights, but no seed": card.weights.startswith("random") and not card.stochastic,
    }
    if faults := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise Failure(
            f"the card has {'; '.join(faults)}", "complete the card: tables show it, and stored vectors depend on it"
        )


def _shape(it: _Subject) -> None:
    vectors = it.whole
    if not isinstance(vectors, np.ndarray):
        raise Failure(f"encode returned a {type(vectors).__name__}", "return a numpy array")
    dim = it.spec.card.dim or vectors.shape[-1]
    if vectors.shape != (4, dim):
        raise Failure(f"shape {vectors.shape} for 4 tracks", f"return (4, {dim}), the dim of the card")
    if vectors.dtype != np.float32:
        raise Failure(f"dtype {vectors.dtype}", "return float32: .astype(np.float32)")


def _usable(it: _Subject) -> None:
    vectors = np.asarray(it.whole)
    if not np.isfinite(vectors).all():
        raise Failure("NaN or infinite numbers", "such a row fails the whole cell (protocol rule 4)")
    if not vectors.any(axis=1).all():
        raise Failure("an all-zero row", "such a row fails the whole cell (protocol rule 4)")


def _deterministic(it: _Subject) -> None:
    first, second = np.asarray(it.whole), np.array(it.encoder.encode(toy_batch(it.spec)))
    if not np.array_equal(first, second):
        raise Failure(
            f"two calls differ by up to {difference(first, second):.2g}", "no random crops, dropout off (.eval())"
        )


def _one_by_one(it: _Subject) -> None:
    whole = np.asarray(it.whole)
    alone = np.concatenate([np.array(it.encoder.encode(toy_batch(it.spec, [row]))) for row in range(4)])
    require_close(alone, whole, "a batch of 1 and a batch of 4 differ", "mask what is padded; no batch statistics")


def _row_order(it: _Subject) -> None:
    whole = np.asarray(it.whole)
    turned = np.array(it.encoder.encode(toy_batch(it.spec, (3, 1, 0, 2))))
    require_close(turned, whole[[3, 1, 0, 2]], "rows do not stay with their tracks", "keep the order of the batch")


def _silence(it: _Subject) -> None:
    batch = toy_batch(it.spec)
    if batch.audio is None:
        raise Skip("it reads no audio itself")
    batch.audio[:] = 0
    if not np.isfinite(it.encoder.encode(batch)).all():
        raise Failure("NaN or infinite numbers for silence", "bound logarithms and divisions away from 0")


def _lengths(it: _Subject) -> None:
    if not it.spec.reads_audio:
        raise Skip("it reads no audio itself")
    dims = set()
    for seconds in _DURATIONS:
        vectors = np.asarray(it.encoder.encode(toy_batch(it.spec, (0, 1), seconds)))
        dims.add(vectors.shape[1:])
        if not np.isfinite(vectors).all():
            raise Failure(f"NaN or infinite numbers for clips of {seconds} s", "repeat or pad clips that are too short")
    if len(dims) > 1:
        raise Failure(f"the dim depends on the length: {sorted(dims)}", "pool over time")


def _captions(it: _Subject) -> None:
    if "text" not in it.spec.card.modalities or it.spec.inputs:
        raise Skip("it reads no captions itself")
    batch = toy_batch(it.spec, (0, 1, 2))
    batch.captions[:] = ["Ночь 夜 🎧 نور", "e\u0301 é ﬁ", "a" * 3_000]
    vectors = np.asarray(it.encoder.encode(batch))
    if not (np.isfinite(vectors).all() and vectors.any(axis=1).all()):
        raise Failure("no usable vector for captions of other scripts", "do not drop what is not ASCII")


def _global_state(it: _Subject) -> None:
    batch = toy_batch(it.spec, (0, 1), _SHORT)
    inputs = {"the batch's ids": batch.track_ids, "the batch's captions": batch.captions}
    inputs |= {"the batch's audio": batch.audio} if batch.audio is not None else {}
    inputs |= {f"the batch's input {number}": each for number, each in enumerate(batch.inputs)}
    require_no_side_effects(lambda: it.encoder.encode(batch), "encode", inputs)


_CHECKS: dict[str, Callable[[_Subject], None]] = {
    "shape and dtype": _shape,
    "finite and not zero": _usable,
    "deterministic": _deterministic,
    "batch of 1 = batch of N": _one_by_one,
    "row order": _row_order,
    "silence": _silence,
    f"short and long clips ({', '.join(f'{each:g}' for each in _DURATIONS)} s)": _lengths,
    "captions of any script": _captions,
    "global state": _global_state,
}
