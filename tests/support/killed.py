"""Runs a command, kills it at its n-th change of a file or folder, and runs it again. A script: no threads to fork.

Reads from standard input, as JSON: ``command``, in which ``{place}`` is where it may write; ``folder``, in which there
is one place for each moment and one, ``whole``, for a call that is left alone; ``seed`` and ``kills``. Writes one line
of JSON a kill: ``moment``, ``of`` (changes in all), ``code`` and ``err`` of the call after it.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HEAVY = ("polars", "larpbench.datasets.sources.csv", "larpbench.results.merge", "larpbench.report.site")
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"}


class Changes:
    """Counts changes below a folder, and calls a function before the one of a given number."""

    def __init__(self, folder: Path, moment: int, then: Callable[[], None]) -> None:
        self._folder, self._moment, self._then = str(folder), moment, then
        self.seen = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES and not (event == "open" and arguments[2] and arguments[2] & os.O_CREAT):
            return
        if isinstance(arguments[0], (str, os.PathLike)) and os.fspath(arguments[0]).startswith(self._folder):
            self.seen += 1
            if self.seen == self._moment:
                self._then()


def call(command: list[str], place: Path, moment: int, err: Path) -> tuple[int, int]:
    """Run a command in a process of its own; return how it ended, less than 0 for a signal, and the changes it made."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as counts:
            seen = counts.read()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(seen or 0)
    place.mkdir(parents=True, exist_ok=True)
    os.environ["LARPBENCH_HOME"] = str(place / "home")
    for number, path in ((1, os.devnull), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    changes = Changes(place, moment, lambda: os.kill(os.getpid(), signal.SIGKILL))
    sys.addaudithook(changes)
    sys.argv = ["larpbench", *(each.replace("{place}", str(place)) for each in command)]
    code = 1
    try:
        from larpbench.cli import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        os.write(writing, str(changes.seen).encode())
        sys.stderr.flush()
        os._exit(code)


def kill() -> None:
    """Do what standard input asks for."""
    asked = json.load(sys.stdin)
    for name in _HEAVY:
        importlib.import_module(name)
    command, folder = asked["command"], Path(asked["folder"])
    err = folder / "err.txt"
    folder.mkdir()
    code, changes = call(command, folder / "whole", 0, err)
    if code:
        sys.exit(err.read_text())
    moments = random.Random(asked["seed"]).sample(range(1, changes + 1), min(asked["kills"], changes))
    for moment in sorted(moments):
        ended, _ = call(command, folder / f"killed-{moment}", moment, err)
        if ended != -signal.SIGKILL:
            sys.exit(f"moment {moment} of {changes}: it ended with {ended}\n{err.read_text()}")
        code, _ = call(command, folder / f"killed-{moment}", 0, err)
        print(json.dumps({"moment": moment, "of": changes, "code": code, "err": err.read_text()}), flush=True)  # noqa: T201


if __name__ == "__main__":
    kill()
