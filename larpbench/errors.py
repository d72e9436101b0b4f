"""The errors that a user meets: each says what is wrong, where, what is allowed and what to do next."""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
import traceback
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class LarpbenchError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: One sentence: what is wrong.
        where: File, table, column or cell that it was found in.
        allowed: What would have been right.
        next_step: What to do, best as a command.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str | None = None, allowed: str | None = None, next_step: str | None = None
    ) -> None:
        self.what, self.where, self.allowed, self.next_step = what, where, allowed, next_step
        super().__init__(what)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)  # a worker process may raise it

    def __str__(self) -> str:
        parts = (("", self.what), ("where: ", self.where), ("allowed: ", self.allowed), ("next: ", self.next_step))
        return "\n  ".join(label + text for label, text in parts if text)


def _restored(kind: type[LarpbenchError], args: tuple[object, ...], state: dict[str, object]) -> LarpbenchError:
    """Return an error as it was raised in another process, whatever its class asks for when it is made."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def error_text(error: BaseException) -> str:
    """Return what to say of an error that nobody raised on purpose: its kind, its text, and the line of code.

    Further lines of its text are indented, so that they do not look like messages of their own.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return printable(f"{type(error).__name__}: {error}{place}").replace("\n", "\n  ")


def schema_fault(error: ValidationError) -> str:
    """Return the first thing that does not fit a schema, and how many more there are, for a message."""
    first, *others = error.errors(include_url=False, include_input=False)
    place = "".join(f"{each}." for each in first["loc"])[:-1]
    what = f"{place + ': ' if place else ''}{first['msg']}" + (f" (and {len(others)} more)" if others else "")
    return clipped(printable(what))


def clipped(text: str, most: int = 300) -> str:
    """Return a text that came from a file, short enough for a message."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def printable(text: str) -> str:
    """Return a text without what a terminal would obey: other control characters than line ends and tabs are spelt."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def shell_word(value: object) -> str:
    """Return a path or a name as one word of a command for a shell: quoted where it holds a space or the like."""
    return shlex.quote(str(value))


class UsageError(LarpbenchError):
    """The command or call makes no sense as it stands."""

    exit_code = 2


def name_too_long(path: str) -> UsageError:
    """Return the error for a path that holds a longer name than the file system takes."""
    return UsageError(
        "the name of a file or folder is too long", where=clipped(path, 120), allowed="255 bytes on most systems"
    )


_LONGEST_NAME = 100  # that is worth a guess: longer ones take long


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the question which of the known names was meant, to be put behind a message; empty if none is near."""
    close = difflib.get_close_matches(name[:_LONGEST_NAME], sorted(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


class UnknownNameError(UsageError):
    """A name that no registry knows."""

    def __init__(self, kind: str, name: str, known: Iterable[str], next_step: str | None = None) -> None:
        self.name, names = name, sorted(known)
        super().__init__(
            f"unknown {kind} {clipped(name)!r}{nearest(name, names)}",
            allowed=", ".join(names) or "(none)",
            next_step=next_step or f"larpbench list {kind}s",
        )


class DataError(LarpbenchError):
    """Input data that cannot be used: missing columns, broken files, ids in two splits."""

    exit_code = 2


class MissingPartError(LarpbenchError):
    """Something that must be installed, fetched or built first."""

    exit_code = 3


class EmbeddingError(LarpbenchError):
    """An encoder gave no usable vector for some track (protocol rule 4)."""


class ProtocolError(LarpbenchError):
    """A result that contradicts the protocol or arithmetic (rules 7 and 10)."""


class TrainingError(LarpbenchError):
    """Training that broke down: a loss that is not finite, or no trial that worked."""


class WaitError(LarpbenchError):
    """Vectors that another process is encoding were not there in time."""


class EngineError(LarpbenchError):
    """A cluster that cannot be used, or a worker that did not do its work."""


class StorageError(LarpbenchError):
    """A file or folder that cannot be written or read back."""


def named(ids: Collection[object], most: int = 5) -> str:
    """Return the first ids, quoted, and how many more there are: for messages."""
    shown = ", ".join(repr(str(each)) for each in itertools.islice(ids, most))
    return shown + (f" and {len(ids) - most} more" if len(ids) > most else "")
