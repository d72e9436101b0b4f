"""Names of writers, by which others can tell whether a writer is still alive.

A name is a part of file names: ``PID.MACHINE.TOKEN.HOST``. Processes of one machine see each other end. Of a process on
another machine nothing is known but when it last touched a file.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"(\d{1,10})\.([0-9a-f]{8})\.([0-9a-f]{8})\.([\w-][\w.-]*)", re.ASCII)
_LONGEST_HOST = 40


@dataclass(frozen=True)
class Owner:
    """One writer: a process, or one of several in it.

    Attributes:
        pid: Number of the process.
        machine: 8 hex digits that tell apart machines, their boots, and containers with process numbers of their own.
        token: 8 hex digits that tell apart writers of one process.
        host: Name of the machine, for messages.
    """

    pid: int
    machine: str
    token: str
    host: str

    @classmethod
    def new(cls) -> Owner:
        """Return a new writer of this process."""
        return cls(os.getpid(), _machine(), secrets.token_hex(4), _host())

    @classmethod
    def parse(cls, name: str) -> Owner | None:
        """Return the writer of this name; None if it is no such name."""
        found = _NAME.fullmatch(name)
        return cls(int(found[1]), found[2], found[3], found[4]) if found else None

    @classmethod
    def of_file(cls, name: str) -> Owner | None:
        """Return the writer whose name a file name ends with; None if there is none."""
        found = re.search(rf"\.({_NAME.pattern})$", name, re.ASCII)
        return cls.parse(found[1]) if found else None

    def __str__(self) -> str:
        return f"{self.pid}.{self.machine}.{self.token}.{self.host}"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine since its last boot."""
        return self.machine == _machine()

    def has_ended(self) -> bool:
        """Return whether it is certain that its process has ended."""
        if not self.is_here:
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:  # it belongs to another user
            return False
        return _is_zombie(self.pid)


def _is_zombie(pid: int) -> bool:
    """Return whether a process has ended, and its parent has not noticed yet."""
    with suppress(OSError, IndexError):
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
            in "ZX"
        )
    return False


def _host() -> str:
    return re.sub(r"[^\w.-]+", "-", socket.gethostname(), flags=re.ASCII).strip("-.")[:_LONGEST_HOST] or "host"


@functools.cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        boot, space = f"{uuid.getnode():x}", ""
    return hashlib.sha256(f"{boot} {space} {_host()}".encode()).hexdigest()[:8]
