"""What the tensors of a checkpoint must be: those of the model by name and shape, floating, and nothing besides.

A model whose checkpoint lacks a tensor would be part random. A tensor that it has no place for is a sign of another
model, or of another version of it. Both are refused by name. Half precision is read, and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from larpbench import progress
from larpbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

NOT_WEIGHTS = ("*position_ids", "*token_type_ids", "*num_batches_tracked", "*relative_position_index", "*.attn_mask")
"""Buffers that are the same in every model of a kind, or that only training reads: they may be there or not."""
_CAST = ("float16", "bfloat16", "float64")
_SHOWN = 3
_NEXT_STEP = "fetch the weights again, or name another checkpoint"


class TensorFacts(NamedTuple):
    """What a checkpoint says of a tensor before it is read.

    Attributes:
        shape: Its shape.
        dtype: As torch names it, such as ``float32``.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def floating(self) -> bool:
        """Whether it holds real numbers that every model can compute with."""
        return self.dtype == "float32" or self.dtype in _CAST

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


@dataclass
class Faults:
    """What is wrong with a checkpoint, by the names of tensors.

    Attributes:
        missing: What the model needs and the checkpoint has not.
        unexpected: What the checkpoint has and the model has no place for.
        other: Tensors of another shape or type, with what the model needs.
    """

    missing: dict[str, TensorFacts] = field(default_factory=dict)
    unexpected: dict[str, TensorFacts] = field(default_factory=dict)
    other: dict[str, tuple[TensorFacts, TensorFacts]] = field(default_factory=dict)

    def refuse(self, model: str, path: Path, next_step: str = _NEXT_STEP) -> None:
        """Raise if there is any.

        Args:
            model: What the checkpoint should be of, for the message.
            path: File or folder of the checkpoint.
            next_step: What to do then.

        Raises:
            DataError: With the names of the first of each kind.
        """
        parts = [
            _listed("missing", [f"{name!r} {facts}" for name, facts in self.missing.items()]),
            _listed("unexpected", [f"{name!r} {facts}" for name, facts in self.unexpected.items()]),
            _listed(
                "of another shape or type",
                [f"{name!r} is {found}, expected {wanted}" for name, (found, wanted) in self.other.items()],
            ),
        ]
        if any(parts):
            raise DataError(
                f"these weights are not those of {model}: {'; '.join(part for part in parts if part)}",
                where=str(path),
                allowed="every tensor of the model by name and shape, as float32, float16 or bfloat16, and no other",
                next_step=next_step,
            )


def facts_of(state: Mapping[str, Tensor]) -> dict[str, TensorFacts]:
    """Return what is to be known of tensors, by name."""
    return {name: TensorFacts(tuple(each.shape), dtype_name(each)) for name, each in state.items()}


def dtype_name(tensor: Tensor) -> str:
    """Return the type of a tensor's numbers, such as ``float32``."""
    return str(tensor.dtype).removeprefix("torch.")


def require_tensors(
    found: Mapping[str, TensorFacts],
    expected: Mapping[str, TensorFacts],
    model: str,
    path: Path,
    unused: Sequence[str] = (),
    optional: Sequence[str] = (),
    next_step: str = _NEXT_STEP,
) -> None:
    """Refuse a checkpoint that is not exactly a model's.

    Args:
        found: What it holds.
        expected: What the model needs.
        model: Name of the model, for messages.
        path: File or folder of the checkpoint.
        unused: Patterns (``*``) of names that the checkpoint may hold although the model has no place for them.
        optional: Patterns of names that it may lack.
        next_step: What to do if it is refused.

    Raises:
        DataError: If a tensor is missing, unexpected, of another shape, or not floating where the model's is.
    """
    faults = Faults()
    for name, wanted in expected.items():
        if name in found:
            floating = found[name].floating or not wanted.floating
            if found[name].shape != wanted.shape or not floating:
                faults.other[name] = found[name], wanted
        elif not matches(name, (*NOT_WEIGHTS, *optional)):
            faults.missing[name] = wanted
    for name, facts in found.items():
        if name not in expected and not matches(name, (*NOT_WEIGHTS, *unused)):
            faults.unexpected[name] = facts
    faults.refuse(model, path, next_step)


def not_floating(found: Mapping[str, TensorFacts]) -> dict[str, tuple[TensorFacts, TensorFacts]]:
    """Return the tensors that are integer, complex or otherwise unusable, and what they should be."""
    return {
        name: (facts, TensorFacts(facts.shape))
        for name, facts in found.items()
        if not facts.floating and not matches(name, NOT_WEIGHTS)
    }


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a tensor's name fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def say_casts(found: Mapping[str, TensorFacts], path: Path, total: int | None = None) -> None:
    """Say on standard error that weights are stored in another precision than they are computed with.

    Args:
        found: The tensors of the checkpoint that are used.
        path: Its file or folder.
        total: How many tensors there are; those of `found` if it is left out.
    """
    for dtype in _CAST:
        if stored := sum(facts.dtype == dtype for facts in found.values()):
            progress.say(
                f"{path.name}: {stored} of {total or len(found)} tensors are stored as {dtype} and cast to float32"
            )


def _listed(what: str, items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{what}: {', '.join(items[:_SHOWN])}{more}" if items else ""
