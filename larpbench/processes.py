"""Worker processes: they end with their parent, and their exit codes say why they ended before they should."""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import threading
import time
from collections.abc import Iterable

_MEANINGS = {
    "SIGSEGV": "a crash in compiled code",
    "SIGBUS": "a crash in compiled code",
    "SIGILL": "compiled code for another processor",
    "SIGABRT": "compiled code gave up",
    "SIGKILL": "probably out of memory",
}
CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT")
"""Signals that a process gets for what its own compiled code does."""


def ending(code: int) -> str:
    """Return what an exit code says, such as ``SIGSEGV`` for -11 or ``exit code 3``."""
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:  # a number that is no signal here
        return f"exit code {code}"


def explained(endings: Iterable[str]) -> str:
    """Return endings, each once, with what they usually mean."""
    shown = [f"{each} ({_MEANINGS[each]})" if each in _MEANINGS else each for each in sorted(set(endings))]
    return ", ".join(shown) or "an unknown reason"


def endings_of_workers(error: BaseException) -> list[str]:
    """Return how the workers of a broken pool ended; joblib only prints that: ``{SIGSEGV(-11), EXIT(7)}``."""
    return [ending(int(code)) for code in re.findall(r"[A-Z]+\((-?\d+)\)", str(error))]


def serve_parent() -> None:
    """Make this process a worker: its parent handles interrupts and reports crashes, and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
