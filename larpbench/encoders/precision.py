"""Words at the end of an encoder's name that say how it is computed, hence other vectors.

``bf16``: weights and arithmetic in bfloat16. ``openvino``, behind it if both are there: by OpenVINO and not by torch.
"""

from __future__ import annotations

from dataclasses import replace

from larpbench.encoders.names import EncoderName, get_encoder, parse_name, parse_variant, split_ending, split_label
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import LarpbenchError, UsageError

BFLOAT16 = "bf16"
OPENVINO = "openvino"
BACKENDS = ("torch", OPENVINO)


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


def on_backend(spec: EncoderSpec, backend: str | None) -> EncoderSpec:
    """Return the encoder as its name asks for, or unchanged if the name asks for no backend."""
    if backend != OPENVINO:
        return spec
    card = spec.card.model_copy(update={"weights": f"{spec.card.weights}, computed by OpenVINO"})
    return replace(spec, card=card, requires=(*spec.requires, OPENVINO), extra=OPENVINO)


def named_for(name: str, backend: str) -> str:
    """Return the name of an encoder computed by a backend; the same if it has no such variant.

    Of a combination each part is that has one, also in parentheses.

    Args:
        name: As on the command line, perhaps with a label.
        backend: One of `BACKENDS`.

    Raises:
        UsageError: If there is no such backend.
    """
    if backend not in BACKENDS:
        raise UsageError(f"there is no backend {backend!r}", allowed=", ".join(BACKENDS))
    if backend != OPENVINO or name in ("all", "default"):
        return name
    label, whole = split_label(name)
    try:
        found = "+".join(map(_by_openvino, parse_name(whole)))
    except LarpbenchError:  # whoever asks for the encoder meets it
        return name
    return found if label is None else f"{label}={found}"


def _by_openvino(part: EncoderName) -> str:
    """Return the name of a part of a combination computed by OpenVINO; the same if it has no such variant."""
    weight, times, name = part.written.partition("*") if part.weight is not None else ("", "", part.written)
    before, group, inside = name.partition(":(")
    if group and inside.endswith(")"):
        return f"{weight}{times}{before}:({named_for(inside[:-1], OPENVINO)})"
    try:
        found = get_encoder(f"{name}:{OPENVINO}")
    except LarpbenchError:
        return part.written
    return f"{part.written}:{OPENVINO}" if _needs_openvino(found) else part.written


def _needs_openvino(spec: EncoderSpec) -> bool:
    """Return whether OpenVINO computes it; the word may be the end of a file's name, or of a model's, instead."""
    return OPENVINO in spec.requires or any(map(_needs_openvino, spec.inputs))


def in_bfloat16(argument: str | None) -> bool:
    """Return whether an argument asks for bfloat16."""
    return split_ending(split_ending(argument or "", (OPENVINO,))[0], (BFLOAT16,))[1] is not None


def by_openvino(argument: str | None) -> bool:
    """Return whether an argument asks for OpenVINO."""
    return split_ending(argument or "", (OPENVINO,))[1] is not None
