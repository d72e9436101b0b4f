"""The wire format of protocol buffers, as far as files of weights need it."""

from __future__ import annotations

from collections.abc import Iterator

from larpbench.errors import DataError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def wire_fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of the fields of a protocol buffer.

    Raises:
        DataError: If it has a wire type that is no longer in use.
        IndexError: If it is cut off.
    """
    position = 0
    while position < len(raw):
        tag, position = varint(raw, position)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            number, position = varint(raw, position)
            yield field, number
            continue
        if wire == _BYTES:
            length, position = varint(raw, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise DataError(f"wire type {wire} in a protocol buffer", allowed="0, 1, 2 or 5")
        yield field, raw[position : position + length]
        position += length


def varint(raw: bytes, position: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, lowest first, and the position after it."""
    number = shift = 0
    while True:
        byte = raw[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
