"""What every encoder must keep to, whatever it computes."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from larpbench.encoders.encoder import EncodeContext, Encoder, FittedEncoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.streams import foreign
from larpbench.testing.toys import toy_batch, toy_split

_CLOSE = 1e-4
_SEED = 3
_UNUSUAL = 734_271  # a seed that no encoder takes
_DURATIONS = (0.3, 1.0, 12.0)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        outcome: How it went.
        detail: What was seen.
        advice: What to do about a failure.
    """

    name: str
    outcome: Literal["pass", "fail", "skipped"]
    detail: str = ""
    advice: str = ""


class _Failed(Exception):  # noqa: N818 - it never leaves this module
    """A check that did not pass: what was seen, and what to do."""


class _Skipped(Exception):  # noqa: N818
    """A check that says nothing of this encoder."""


class _Subject:
    """An encoder, and what it makes of the toy batch, computed once."""

    def __init__(self, spec: EncoderSpec, encoder: Encoder) -> None:
        self.spec, self.encoder = spec, encoder

    @functools.cached_property
    def whole(self) -> Any:  # noqa: ANN401 - an encoder may return anything
        vectors = self.encoder.encode(toy_batch(self.spec))
        return vectors.copy() if isinstance(vectors, np.ndarray) else vectors


def check_encoder(spec: EncoderSpec, encoder: Encoder | None = None) -> list[Check]:
    """Return what an encoder keeps to and what it does not; raises nothing that the encoder raises.

    Args:
        spec: The encoder.
        encoder: It built, if it needs more than its spec, such as trained weights; default: built here, and fitted on
            four made-up captions if it learns from the train split.
    """
    with _put_back():
        return _checked(spec, encoder)


def _checked(spec: EncoderSpec, encoder: Encoder | None) -> list[Check]:
    checks = [_run("card", lambda: _card(spec))]
    unfit = _unfit(spec) if encoder is None else None
    if unfit:
        return [*checks, *(Check(name, "skipped", unfit) for name in ("build", *_CHECKS))]
    made: list[Encoder] = [encoder] if encoder else []
    if encoder is None:
        with tempfile.TemporaryDirectory() as folder:
            checks.append(_run("build", lambda: made.append(_built(spec, Path(folder)))))
    if not made:
        return [*checks, *(Check(name, "skipped", "it could not be built") for name in _CHECKS)]
    subject = _Subject(spec, made[0])
    checks += [_run(name, lambda check=check: check(subject)) for name, check in _CHECKS.items()]  # type: ignore[misc]
    return checks


def _run(name: str, check: Callable[[], object]) -> Check:
    try:
        with foreign():
            check()
    except _Failed as failed:
        return Check(name, "fail", *failed.args)
    except _Skipped as skipped:
        return Check(name, "skipped", *skipped.args)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an encoder may raise anything
        return Check(name, "fail", f"{type(error).__name__}: {error}".splitlines()[0], "it must not raise")
    return Check(name, "pass")


def _unfit(spec: EncoderSpec) -> str | None:
    if spec.training:
        return "it has to be trained first: check the checkpoint, or larpbench run"
    if not spec.card.modalities and spec.digest:
        return "it looks up the tracks of one data set or file"
    return None


def _built(spec: EncoderSpec, folder: Path) -> Encoder:
    encoder = spec.build(EncodeContext(_SEED, folder))
    if spec.card.learns != "nothing":
        if not isinstance(encoder, FittedEncoder):
            raise _Failed("its card says that it learns, but it has no fit method", "add fit(train), or mend the card")
        encoder.fit(toy_split())
    if not isinstance(encoder, Encoder):
        raise _Failed(f"the factory made a {type(encoder).__name__}", "it needs a method encode(batch)")
    return encoder


def _card(spec: EncoderSpec) -> None:
    card = spec.card
    wrong = {
        "an empty licence": not card.licence,
        "weights that are not told": not card.weights,
        "no speed": card.tracks_per_second <= 0,
        "no sample rate, although it hears audio": spec.reads_audio and not card.sample_rate,
        "pretrained weights, but not what they were trained on": card.weights.startswith("pretrained")
        and card.training_data == "none",
        "pretrained weights, but no digest of them": card.weights.startswith("pretrained")
        and not (spec.digest or spec.weights or spec.inputs or spec.takes),
        "random weights, but no seed": card.weights.startswith("random") and not card.stochastic,
    }
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise _Failed(f"the card has {'; '.join(found)}", "say it: tables show it, and stored vectors depend on it")


def _shape(it: _Subject) -> None:
    vectors = it.whole
    if not isinstance(vectors, np.ndarray):
        raise _Failed(f"encode gave a {type(vectors).__name__}", "return a numpy array")
    dim = it.spec.card.dim or vectors.shape[-1]
    if vectors.shape != (4, dim):
        raise _Failed(f"shape {vectors.shape} for 4 tracks", f"return (4, {dim}), the dim of the card")
    if vectors.dtype != np.float32:
        raise _Failed(f"dtype {vectors.dtype}", "return float32: .astype(np.float32)")


def _usable(it: _Subject) -> None:
    vectors = np.asarray(it.whole)
    if not np.isfinite(vectors).all():
        raise _Failed("NaN or infinite numbers", "such a row fails the whole cell (protocol rule 4)")
    if not vectors.any(axis=1).all():
        raise _Failed("an all-zero row", "such a row fails the whole cell (protocol rule 4)")


def _deterministic(it: _Subject) -> None:
    first, second = np.asarray(it.whole), np.array(it.encoder.encode(toy_batch(it.spec)))
    if not np.array_equal(first, second):
        raise _Failed(
            f"two calls differ by up to {_difference(first, second):.2g}", "no random crops, dropout off (.eval())"
        )


def _one_by_one(it: _Subject) -> None:
    whole = np.asarray(it.whole)
    alone = np.concatenate([np.array(it.encoder.encode(toy_batch(it.spec, [row]))) for row in range(4)])
    _require_close(alone, whole, "a batch of 1 and a batch of 4 differ", "mask what is padded; no batch statistics")


def _row_order(it: _Subject) -> None:
    whole = np.asarray(it.whole)
    turned = np.array(it.encoder.encode(toy_batch(it.spec, (3, 1, 0, 2))))
    _require_close(turned, whole[[3, 1, 0, 2]], "rows do not stay with their tracks", "keep the order of the batch")


def _silence(it: _Subject) -> None:
    batch = toy_batch(it.spec)
    if batch.audio is None:
        raise _Skipped("it hears nothing itself")
    batch.audio[:] = 0
    if not np.isfinite(it.encoder.encode(batch)).all():
        raise _Failed("NaN or infinite numbers for silence", "bound logarithms and divisions away from 0")


def _lengths(it: _Subject) -> None:
    if not it.spec.reads_audio:
        raise _Skipped("it hears nothing itself")
    dims = set()
    for seconds in _DURATIONS:
        vectors = np.asarray(it.encoder.encode(toy_batch(it.spec, (0, 1), seconds)))
        dims.add(vectors.shape[1:])
        if not np.isfinite(vectors).all():
            raise _Failed(f"NaN or infinite numbers for clips of {seconds} s", "repeat or pad clips that are too short")
    if len(dims) > 1:
        raise _Failed(f"the dim depends on the length: {sorted(dims)}", "pool over time")


def _captions(it: _Subject) -> None:
    if "text" not in it.spec.card.modalities or it.spec.inputs:
        raise _Skipped("it reads no captions itself")
    batch = toy_batch(it.spec, (0, 1, 2))
    batch.captions[:] = ["Ночь 夜 🎧 نور", "e\u0301 é ﬁ", "a" * 3_000]
    vectors = np.asarray(it.encoder.encode(batch))
    if not (np.isfinite(vectors).all() and vectors.any(axis=1).all()):
        raise _Failed("no usable vector for captions of other scripts", "do not drop what is not ASCII")


def _global_state(it: _Subject) -> None:
    batch = toy_batch(it.spec)
    own = [each.copy() for each in _arrays(batch)]
    with _put_back(), tempfile.TemporaryDirectory() as folder:
        _disturb(folder)  # an encoder that sets what it finds set already would pass
        before = _state()
        it.encoder.encode(batch)
        after = _state()
        os.chdir(before["the working folder"])
    changed = [name for name, value in before.items() if value != after[name]]
    if any(not np.array_equal(mine, its) for mine, its in zip(own, _arrays(batch), strict=True)):
        changed.append("the batch that it was given")
    if changed:
        raise _Failed(f"encode changes {', '.join(changed)}", "use generators of your own, and leave the rest alone")


def _arrays(batch: Any) -> list[np.ndarray]:  # noqa: ANN401 - a TrackBatch
    return [each for each in (batch.track_ids, batch.captions, batch.audio, *batch.inputs) if each is not None]


def _disturb(folder: str) -> None:
    os.chdir(folder)
    random.seed(_UNUSUAL)
    np.random.seed(_UNUSUAL)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(_UNUSUAL)
        torch.set_num_threads(torch.get_num_threads() + 1)


def _state() -> dict[str, Any]:
    """Return all that encoders share; torch's only if it has been imported, by whomever."""
    found: dict[str, Any] = {
        "Python's random numbers": random.getstate(),
        "numpy's random numbers": _hashable(np.random.get_state()),
        "numpy's treatment of floating-point errors": tuple(sorted(np.geterr().items())),
        "the working folder": str(Path.cwd()),
        "environment variables": tuple(sorted(os.environ.items())),
    }
    torch = sys.modules.get("torch")
    found["torch's random numbers"] = torch and torch.get_rng_state().numpy().tobytes()
    found["torch's threads"] = torch and torch.get_num_threads()
    found["torch's default dtype"] = torch and str(torch.get_default_dtype())
    found["torch's gradients"] = torch and torch.is_grad_enabled()
    return found


def _hashable(state: Any) -> tuple[object, ...]:  # noqa: ANN401 - numpy's state
    return tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in state)


@contextlib.contextmanager
def _put_back() -> Iterator[None]:
    """Put back what the block changes, so that the caller does not suffer from it."""
    folder, environment, errors = Path.cwd(), dict(os.environ), np.geterr()
    numbers, numpy_numbers = random.getstate(), np.random.get_state()
    torch = sys.modules.get("torch")
    of_torch = (torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()) if torch else None
    try:
        yield
    finally:
        os.chdir(folder)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        np.seterr(**errors)
        random.setstate(numbers)
        np.random.set_state(numpy_numbers)
        if torch and of_torch:
            torch.set_rng_state(of_torch[0])
            torch.set_num_threads(of_torch[1])
            torch.set_default_dtype(of_torch[2])


def _require_close(found: np.ndarray, expected: np.ndarray, what: str, advice: str) -> None:
    if found.shape != expected.shape:
        raise _Failed(f"{what}: shapes {found.shape} and {expected.shape}", advice)
    size = max(float(np.linalg.norm(expected, axis=1).mean()), 1.0) if expected.size else 1.0
    if not (_difference(found, expected) <= _CLOSE * size):
        raise _Failed(f"{what} by up to {_difference(found, expected):.2g}", advice)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0))


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
