"""Kills one command at random moments, runs it until it is done, and compares with a call that was left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from larpbench.testing.torture.commands import HOME, Command
from larpbench.testing.torture.comparing import different, left_over

_MOST_KILLS_IN_A_ROW = 3
_SHOWN = 3


@dataclass
class Tally:
    """What came of killing one command.

    Attributes:
        kills: Kills that met a running process.
        failed: Calls after a kill that did not end with exit code 0.
        lost: Finished files that were gone, or made again, after a kill.
        different: Files that are not as an uninterrupted call writes them.
        left: Files and hidden folders that an uninterrupted call does not leave.
    """

    kills: int = 0
    failed: int = 0
    lost: int = 0
    different: int = 0
    left: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, different or left."""
        return not (self.failed or self.lost or self.different or self.left)


@dataclass
class Torturer:
    """Kills commands in a scratch folder.

    Attributes:
        inputs: What the commands read.
        scratch: Where they write; homes, caches and temporary folders are in it too.
        draw: Chooses the moments.
        say: Receives a line for everything that is wrong.
    """

    inputs: Path
    scratch: Path
    draw: random.Random
    say: Callable[[str], None]
    _seconds: dict[str, float] = field(default_factory=dict)

    def prepare(self, line: list[str], place: str = "prepared") -> Path:
        """Run a command line that is left alone, in a fresh place, and return the place.

        Raises:
            RuntimeError: If it fails.
        """
        made = self._fresh(place)
        if self.call(line, made):
            raise RuntimeError(f"it does not work when it is left alone: {' '.join(line)}\n{self._printed()}")
        return made

    def torture(self, command: Command, kills: int) -> Tally:
        """Kill a command so many times, in as many fresh places as that takes.

        Raises:
            RuntimeError: If it fails even when it is left alone.
        """
        started = time.monotonic()
        whole = self.prepare(command.line(self.inputs, self.scratch / "whole"), "whole")
        self._seconds[command.name] = time.monotonic() - started
        tally = Tally()
        while tally.kills < kills:
            self._episode(command, whole, tally, min(kills - tally.kills, self.draw.randint(1, _MOST_KILLS_IN_A_ROW)))
        return tally

    def call(self, line: list[str], place: Path, seconds: float | None = None) -> int:
        """Run a command line, for some seconds at most; return its exit code, less than 0 if it was killed."""
        temporary = self.scratch / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # what libraries leave in the system's own folder is not ours
        temporary.mkdir()
        surroundings = os.environ | {
            "LARPBENCH_HOME": str(place / HOME),
            "NUMBA_CACHE_DIR": str(self.scratch / "numba"),
            "TMPDIR": str(temporary),
            "JOBLIB_TEMP_FOLDER": str(temporary),
        }
        with (self.scratch / "printed.txt").open("wb") as printed:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "larpbench", *line],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                env=surroundings,
                start_new_session=True,
            )
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise

    def _episode(self, command: Command, whole: Path, tally: Tally, kills: int) -> None:
        """Kill a command in a fresh place, so many times at most, and run it to its end."""
        place = self._fresh("killed")
        line = command.line(self.inputs, place)
        finished: dict[str, tuple[int, int]] = {}
        killed = 0
        while killed < kills:
            started = time.monotonic()
            code = self.call(line, place, self.draw.uniform(0, self._seconds[command.name]))
            if code != -signal.SIGKILL:  # it was done before: the next moment is drawn from less
                if code:
                    tally.failed += 1
                    self.say(f"{command.name}: exit code {code} after {killed} kills: {self._printed()}")
                self._seconds[command.name] = time.monotonic() - started
                break
            killed += 1
            tally.lost += self._lost(command, place, finished)
            finished = _finished(command, place)
        tally.kills += killed
        if code := self.call(line, place):
            tally.failed += 1
            self.say(f"{command.name}: exit code {code} after {killed} kills: {self._printed()}")
        tally.lost += self._lost(command, place, finished)
        for what, names in (("different", different(whole, place)), ("left", left_over(whole, place))):
            if names:
                setattr(tally, what, getattr(tally, what) + len(names))
                self.say(f"{command.name}: {what}: {', '.join(names[:_SHOWN])}")

    def _lost(self, command: Command, place: Path, before: dict[str, tuple[int, int]]) -> int:
        now = _finished(command, place)
        lost = [name for name, mark in before.items() if now.get(name) != mark]
        if lost:
            self.say(f"{command.name}: lost or made again: {', '.join(lost[:_SHOWN])}")
        return len(lost)

    def _fresh(self, name: str) -> Path:
        place = self.scratch / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place

    def _printed(self) -> str:
        return (self.scratch / "printed.txt").read_text(encoding="utf-8", errors="replace").strip()[-600:]


def _finished(command: Command, place: Path) -> dict[str, tuple[int, int]]:
    """Return the files of finished work, each with what changes when it is written again."""
    found = [path for pattern in command.finished for path in place.glob(pattern)]
    marks = {path.relative_to(place).as_posix(): path.stat() for path in found}
    return {name: (mark.st_ino, mark.st_mtime_ns) for name, mark in marks.items()}
