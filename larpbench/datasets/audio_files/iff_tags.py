"""The texts that WAV and AIFF files carry in chunks of their own, where they have no ID3 tag."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LONGEST = 4096  # bytes of a text that are read
_MOST_CHUNKS = 10_000


def read_iff_texts(path: Path) -> dict[str, str]:
    """Return chunk name -> text: those of a WAV file's INFO list (``INAM``, ``IART``, ..), and AIFF's own ones.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is neither WAV nor AIFF.
    """
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            return {
                name: text
                for kind, start, size in _chunks(stream, 12, "<I")
                if kind == "LIST" and _read(stream, start, 4) == b"INFO"
                for name, text in _texts(stream, start + 4, start + size, "<I")
            }
        if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            return dict(_texts(stream, 12, None, ">I"))
    raise ValueError(f"{path} is neither WAV nor AIFF")


def _texts(stream: BinaryIO, start: int, end: int | None, order: str) -> Iterator[tuple[str, str]]:
    for kind, at, size in _chunks(stream, start, order):
        if end is not None and at > end:
            return
        if kind.startswith("I") or kind in ("NAME", "AUTH"):
            yield kind, _decoded(_read(stream, at, min(size, _LONGEST)))


def _chunks(stream: BinaryIO, start: int, order: str) -> Iterator[tuple[str, int, int]]:
    """Yield kind, position and size of each chunk from a position on; they begin at even positions."""
    for _ in range(_MOST_CHUNKS):
        head = _read(stream, start, 8)
        if len(head) < 8:
            return
        (size,) = struct.unpack(order, head[4:])
        yield head[:4].decode("latin-1"), start + 8, size
        start += 8 + size + size % 2


def _read(stream: BinaryIO, start: int, size: int) -> bytes:
    stream.seek(start)
    return stream.read(size)


def _decoded(data: bytes) -> str:
    text = data.partition(b"\x00")[0]
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")
