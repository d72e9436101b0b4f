"""Files that may be packed, read to their end or not at all: what they are is seen from their first bytes."""

from __future__ import annotations

import bz2
import gzip
import zlib
from typing import IO, Protocol

UNPACKING_ERRORS = (EOFError, OSError, ValueError, zlib.error)
"""What reading raises where a file is damaged or cut off."""
_PACKED_BYTES = 1 << 20


class Readable(Protocol):
    """Something to read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


def unpacked(raw: IO[bytes]) -> Readable:
    """Return the content of a file, which may be in bz2 or gzip, of one stream or several.

    Args:
        raw: The file, opened at its beginning.
    """
    first = raw.read(3)
    raw.seek(0)
    if first == b"BZh":
        return _Bz2Streams(raw)
    return gzip.GzipFile(fileobj=raw) if first.startswith(b"\x1f\x8b") else raw


class _Bz2Streams:
    """All streams of a bz2 file.

    Python's own reader takes a later stream whose beginning is damaged as the end of the file, and the rest is lost.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._stream = bz2.BZ2Decompressor()

    def read(self, size: int) -> bytes:
        parts = []
        while size and (part := self._part(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _part(self, most: int) -> bytes:
        """Return some bytes, none at the end of the last stream."""
        part = b""
        while not part:
            packed = b""
            if self._stream.eof:
                packed = self._stream.unused_data or self._raw.read(_PACKED_BYTES)
                if not packed:
                    return b""
                self._stream = bz2.BZ2Decompressor()
            elif self._stream.needs_input:
                packed = self._raw.read(_PACKED_BYTES)
                if not packed:
                    raise EOFError("it ends in the middle")
            part = self._stream.decompress(packed, most)
        return part
