"""From the states of tokens, or of frames of audio, to one vector: ``NAME:pool=HOW``, for text and audio alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from larpbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

POOLINGS = ("mean", "max", "mean+std", "first", "last")
"""What may follow ``pool=``."""
OF_SENTENCES = ("weighted-mean", "mean-sqrt")
"""What the files of some sentence encoders ask for besides: the mean with weights 1 to n (Muennighoff 2022, SGPT), and
the sum divided by the square root of n (Reimers & Gurevych 2019)."""
_WORD = ":pool="


def split_pooling(argument: str, allowed: Sequence[str] = POOLINGS) -> tuple[str, str | None]:
    """Split ``NAME@LAYER:pool=HOW`` into ``NAME@LAYER`` and ``HOW``; None where there is no ``:pool=``.

    Raises:
        UsageError: If it ends in another word than those that are allowed.
    """
    rest, found, how = argument.rpartition(_WORD)
    if not found:
        return argument, None
    if how not in allowed or not rest:
        raise UsageError(
            f"{how!r} is no pooling", where=argument, allowed=f"NAME[@LAYER]{_WORD}{'|'.join(allowed)}, in this order"
        )
    return rest, how


def width_of(pooling: str, width: int) -> int:
    """Return the length of the vectors that a pooling makes of states of a width."""
    return 2 * width if pooling == "mean+std" else width


def pooled(states: Tensor, pooling: str) -> Tensor:
    """Return one vector of all states: (.., n, width) -> (.., width), or twice the width for ``mean+std``.

    No state may be padding. The standard deviation is that of the n states (divided by n): 0 for a single one.

    Args:
        states: One row a token or frame, of floating-point numbers.
        pooling: One of `POOLINGS` or `OF_SENTENCES`.

    Raises:
        ValueError: If it is none of them.
    """
    import torch

    count = states.shape[-2]
    if pooling == "mean":
        return states.mean(dim=-2)
    if pooling == "max":
        return states.amax(dim=-2)
    if pooling == "mean+std":
        return torch.cat([states.mean(dim=-2), states.std(dim=-2, correction=0)], dim=-1)
    if pooling == "first":
        return states[..., 0, :]
    if pooling == "last":
        return states[..., -1, :]
    if pooling == "weighted-mean":
        weights = torch.arange(1, count + 1, dtype=states.dtype, device=states.device)[:, None]
        return (states * weights).sum(dim=-2) / weights.sum()
    if pooling == "mean-sqrt":
        return states.sum(dim=-2) / count**0.5
    raise ValueError(f"unknown pooling: {pooling}")
