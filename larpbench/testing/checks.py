"""What all conformance checks share: their results, and the state of the process that checked code must not change."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from larpbench.streams import foreign

S = TypeVar("S")
_UNUSUAL_SEED = 734_271  # a seed that no plug-in takes
_CLOSE = 1e-4


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: What was checked.
        outcome: How it went; a ``warning`` points at something odd that does not have to be wrong.
        detail: What was seen.
        advice: What to do about a failure or a warning.
    """

    name: str
    outcome: Literal["pass", "warning", "fail", "skipped"]
    detail: str = ""
    advice: str = ""


class Failure(Exception):  # noqa: N818 - it never leaves this package
    """Raised by a check that fails: what was seen, and what to do."""


class Caution(Exception):  # noqa: N818
    """Raised by a check that saw something odd: what, and what to do."""


class Skip(Exception):  # noqa: N818
    """Raised by a check that does not apply: why."""


def run_checks(checks: Mapping[str, Callable[[S], object]], subject: S) -> list[Check]:
    """Run checks by name, in order; whatever the checked code raises is a failure."""
    return [run_check(name, check, subject) for name, check in checks.items()]


def run_check(name: str, check: Callable[[S], object], subject: S) -> Check:
    """Run one check."""
    try:
        with foreign():
            check(subject)
    except Failure as failure:
        return Check(name, "fail", *failure.args)
    except Caution as caution:
        return Check(name, "warning", *caution.args)
    except Skip as skip:
        return Check(name, "skipped", *skip.args)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plug-in may raise anything
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        return Check(name, "fail", text, "it must not raise")
    return Check(name, "pass")


def skipped(checks: Mapping[str, object], why: str) -> list[Check]:
    """Return all checks as skipped."""
    return [Check(name, "skipped", why) for name in checks]


def require_fields(owner: object, **kinds: type) -> None:
    """Fail if attributes are missing, of another type, or empty texts.

    Args:
        owner: What has them.
        kinds: Attribute -> its type.
    """
    for name, kind in kinds.items():
        value = getattr(owner, name, None)
        if not isinstance(value, kind) or isinstance(value, bool) or value == "":
            raise Failure(f"its {name} is {value!r}", f"set it: results and keys depend on it ({kind.__name__})")
    if "\n" in getattr(owner, "summary", ""):
        raise Failure("its summary has several lines", "one line, for lists")
    if getattr(owner, "version", 1) < 1:
        raise Failure("its version is below 1", "start with 1, and raise it with every change that changes scores")


def require_close(actual: np.ndarray, expected: np.ndarray, what: str, advice: str) -> None:
    """Fail if rows differ by more than a rounding error of their mean length."""
    if actual.shape != expected.shape:
        raise Failure(f"{what}: shapes {actual.shape} and {expected.shape}", advice)
    size = max(float(np.linalg.norm(expected, axis=1).mean()), 1.0) if expected.size else 1.0
    if not (difference(actual, expected) <= _CLOSE * size):
        raise Failure(f"{what} by up to {difference(actual, expected):.2g}", advice)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest absolute difference; infinite for other shapes."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0))


def require_no_side_effects(call: Callable[[], object], verb: str, inputs: Mapping[str, np.ndarray]) -> None:
    """Fail if a call changes what all code of the process shares, or its own inputs.

    Args:
        call: What to call.
        verb: What it is, for the message.
        inputs: Name -> array that it gets.
    """
    own = {name: array.copy() for name, array in inputs.items()}
    with restored_state(), tempfile.TemporaryDirectory() as folder:
        _disturb(folder)  # code that sets what it finds set already would pass
        before = _state()
        call()
        after = _state()
        os.chdir(before["the working folder"])
    changed = [name for name, value in before.items() if value != after[name]]
    changed += [name for name, array in own.items() if not np.array_equal(array, inputs[name])]
    if changed:
        raise Failure(f"{verb} changes {', '.join(changed)}", "use generators of your own, and leave the rest alone")


def _disturb(folder: str) -> None:
    os.chdir(folder)
    random.seed(_UNUSUAL_SEED)
    np.random.seed(_UNUSUAL_SEED)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(_UNUSUAL_SEED)
        torch.set_num_threads(torch.get_num_threads() + 1)


def _state() -> dict[str, Any]:
    """Return all that plug-ins share; torch's only if it has been imported, by whomever."""
    torch = sys.modules.get("torch")
    return {
        "Python's random numbers": random.getstate(),
        "numpy's random numbers": _hashable(np.random.get_state()),
        "numpy's treatment of floating-point errors": tuple(sorted(np.geterr().items())),
        "the working folder": str(Path.cwd()),
        "environment variables": tuple(sorted(os.environ.items())),
        "torch's random numbers": torch and torch.get_rng_state().numpy().tobytes(),
        "torch's threads": torch and torch.get_num_threads(),
        "torch's default dtype": torch and str(torch.get_default_dtype()),
        "torch's gradients": torch and torch.is_grad_enabled(),
    }


def _hashable(state: Any) -> tuple[object, ...]:  # noqa: ANN401 - numpy's state
    return tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in state)


@contextlib.contextmanager
def restored_state() -> Iterator[None]:
    """Restore what the block changes of the process, so that the caller does not suffer from it."""
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
