"""Who writes where: standard output is the answer of the command, and what a terminal would obey reaches none.

The code of plug-ins, of libraries and of the programs that they start prints what it likes. Under `owned` whatever
writes to file descriptor 1 ends up on standard error, and both streams spell control characters.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from larpbench.errors import printable

_PIPE_BYTES = 2**20
_OUT, _ERR = 1, 2


@dataclass
class _State:
    owned: bool = False


_state = _State()


def spelt(text: str) -> str:
    """Return a text as `printable` has it, but with the returns by which progress bars begin their line again."""
    return "\r".join(map(printable, text.split("\r")))


class Spelling:
    """A text stream that spells what a terminal would obey, and is otherwise the one that it writes to.

    Args:
        stream: Where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        self.stream.write(spelt(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self.stream, name)


@contextlib.contextmanager
def owned() -> Iterator[None]:
    """Keep standard output for what this process prints as its answer, as long as the block runs."""
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as undo:
        undo.callback(_put_back, *before)  # last: until then a thread may spell what a plug-in has written
        if _writes_to(sys.stdout, _OUT) and _writes_to(sys.stderr, _ERR):
            undo.enter_context(_descriptors_kept())
        if sys.stdout is not None:
            sys.stdout = Spelling(sys.stdout)
        if sys.stderr is not None:
            sys.stderr = Spelling(sys.stderr)
        yield


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Send to standard error what the block prints: it runs code of plug-ins and libraries, and is no answer."""
    with contextlib.redirect_stdout(messages()):
        yield


@contextlib.contextmanager
def foreign() -> Iterator[None]:
    """Run code of a plug-in: `aside`, and what it writes to file descriptor 2 is spelt too, where that is `owned`."""
    with aside():
        if not _state.owned:
            yield
            return
        kept = os.dup(_ERR)
        os.dup2(_OUT, _ERR)
        try:
            yield
        finally:
            os.dup2(kept, _ERR)
            os.close(kept)


def messages() -> TextIO:
    """Return standard error; what keeps nothing where it is closed, or the program has none."""
    return _nowhere() if sys.stderr is None else sys.stderr


@functools.cache
def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def terminal() -> TextIO:
    """Return standard error as it is, for progress bars, which move the cursor."""
    return sys.stderr.stream if isinstance(sys.stderr, Spelling) else sys.stderr


def answer() -> TextIO:
    """Return standard output as it is, for text with styles of a terminal whose words are `printable` already."""
    return sys.stdout.stream if isinstance(sys.stdout, Spelling) else sys.stdout


def _put_back(out: TextIO | None, err: TextIO | None) -> None:
    sys.stdout, sys.stderr = out, err


def _writes_to(stream: TextIO | None, descriptor: int) -> bool:
    """Whether a stream writes to a file descriptor: in tests and notebooks it does not."""
    try:
        return stream is not None and stream.fileno() == descriptor
    except (OSError, ValueError):  # closed, or no file at all
        return False


@contextlib.contextmanager
def _descriptors_kept() -> Iterator[None]:
    """Let both streams write to copies of their descriptors; a thread passes on what else is written to the first."""
    sys.stdout.flush()
    sys.stdout, sys.stderr = (_copy(stream) for stream in (sys.stdout, sys.stderr))
    out = sys.stdout
    source, sink = os.pipe()
    with contextlib.suppress(ImportError, OSError, AttributeError):  # more than a C function prints in one call
        import fcntl

        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    os.dup2(sink, _OUT)
    ended = threading.Event()
    thread = threading.Thread(target=_pass_on, args=(source, ended), name="larpbench-output", daemon=True)
    thread.start()
    _state.owned = True
    try:
        yield
    finally:
        _state.owned = False
        ended.set()
        os.write(sink, b"\n")  # wakes the thread; processes that are still there may hold the pipe open
        thread.join()
        os.dup2(out.fileno(), _OUT)
        for each in (source, sink):
            os.close(each)


def _copy(stream: TextIO) -> TextIO:
    return open(  # noqa: PTH123 - a descriptor, no path
        os.dup(stream.fileno()),
        "w",
        buffering=1 if stream.line_buffering else -1,
        encoding=stream.encoding,
        errors=stream.errors,
    )


def _pass_on(source: int, ended: threading.Event) -> None:
    """Copy lines to standard error, until the end is said and nothing more is there to read."""
    rest = b""
    while not ended.is_set() or select.select([source], [], [], 0)[0]:
        *lines, rest = (rest + os.read(source, 65_536)).split(b"\n")
        for line in lines:
            _say(line)
    _say(rest)


def _say(line: bytes) -> None:
    if line.strip():
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line.decode("utf-8", "replace") + "\n")
            sys.stderr.flush()
