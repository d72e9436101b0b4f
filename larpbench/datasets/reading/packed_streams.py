"""Files that may be packed, read to their end or not at all: what they are is seen from their first bytes."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from larpbench.runtime import cores

UNPACKING_ERRORS = (EOFError, OSError, RuntimeError, ValueError, zlib.error)
"""What reading raises where a file is damaged or cut off."""
_PACKED_BYTES = 1 << 20
_MOST_THREADS = 8  # more would wait for what reads the text


class Readable(Protocol):
    """Something to read bytes from."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


class Unpacked(Readable, Protocol):
    """The content of a file, and how much of the file it took."""

    @property
    def position(self) -> int:
        """How many bytes of the file have been unpacked so far."""


@contextmanager
def unpacked(path: Path, *, whole: bool = True) -> Iterator[Unpacked]:
    """Open the content of a file, which may be in bz2 or gzip, of one stream or several.

    bz2 is unpacked by several threads, which end with the block.

    Args:
        path: The file.
        whole: Whether it is read to its end. Threads unpack some blocks ahead, for nothing if a beginning is enough.
    """
    with path.open("rb") as raw:
        first = raw.read(3)
        raw.seek(0)
        if first == b"BZh" and whole:
            with _blocks(raw) as blocks:
                yield blocks
        elif first == b"BZh":
            yield _Plain(_Bz2Streams(raw), raw)
        else:
            yield _Plain(gzip.GzipFile(fileobj=raw) if first.startswith(b"\x1f\x8b") else raw, raw)


class _Plain:
    """A reader that moves on in its file as it reads."""

    def __init__(self, stream: Readable, raw: IO[bytes]) -> None:
        self.read = stream.read
        self._raw = raw

    @property
    def position(self) -> int:
        return self._raw.tell()


@contextmanager
def _blocks(raw: IO[bytes]) -> Iterator[Unpacked]:
    import rapidgzip

    with rapidgzip.IndexedBzip2File(raw, parallelization=min(max(cores(), 2), _MOST_THREADS)) as blocks:
        yield _Bz2Blocks(blocks, raw)


class _Bz2Blocks:
    """The blocks of a bz2 file, several at a time.

    The parallel reader takes what is no stream, behind the first one, as the end of the file. Whatever it has left is
    read by `_Bz2Streams`, which takes nothing for the end but the end.
    """

    def __init__(self, blocks: _ParallelReader, raw: IO[bytes]) -> None:
        self._blocks, self._raw = blocks, raw
        self._rest: _Bz2Streams | None = None

    @property
    def position(self) -> int:
        return self._raw.tell() if self._rest is not None else -(-self._blocks.tell_compressed() // 8)

    def read(self, size: int) -> bytes:
        if self._rest is None:
            part = self._blocks.read(size)
            if part or not size:
                return part
            end = self.position
            self._blocks.close()
            self._raw.seek(end)
            self._rest = _Bz2Streams(self._raw)
        return self._rest.read(size)


class _ParallelReader(Readable, Protocol):
    def tell_compressed(self) -> int:
        """Return the place in the file, in bits."""

    def close(self) -> None:
        """End the threads."""


class _Bz2Streams:
    """All streams of a bz2 file.

    Python's own reader takes a later stream whose beginning is damaged as the end of the file, and the rest is lost.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._stream: bz2.BZ2Decompressor | None = None

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
            if self._stream is None or self._stream.eof:
                packed = (self._stream and self._stream.unused_data) or self._raw.read(_PACKED_BYTES)
                if not packed:
                    return b""
                self._stream = bz2.BZ2Decompressor()
            elif self._stream.needs_input:
                packed = self._raw.read(_PACKED_BYTES)
                if not packed:
                    raise EOFError("it ends in the middle")
            part = self._stream.decompress(packed, most)
        return part
