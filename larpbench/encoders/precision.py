"""The word ``bf16`` at the end of an encoder's name: weights and arithmetic in bfloat16, hence other vectors."""

from __future__ import annotations

from dataclasses import replace

from larpbench.encoders.names import parse_variant, split_ending
from larpbench.encoders.spec import EncoderSpec

BFLOAT16 = "bf16"


def bind_precision(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder in the precision that its name asks for.

    Raises:
        UsageError: If it asks for something else.
    """
    (precision,) = parse_variant(spec, argument, (BFLOAT16,))
    return in_precision(spec, precision)


def in_precision(spec: EncoderSpec, precision: str | None) -> EncoderSpec:
    """Return the encoder in bfloat16, or unchanged if the name asks for no precision."""
    if precision != BFLOAT16:
        return spec
    return replace(spec, card=spec.card.model_copy(update={"weights": f"{spec.card.weights}, in bfloat16"}))


def in_bfloat16(argument: str | None) -> bool:
    """Return whether an argument ends in ``bf16``."""
    return split_ending(argument or "", (BFLOAT16,))[1] is not None
