"""What claims on shards have in common, wherever they are kept: one owner who keeps them alive, and when they lapse."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from larpbench.owners import Owner

CLAIM_PREFIX = ".larpbench-claim-"
LAPSE_SECONDS = 120.0
"""Seconds without a sign of life after which a claim has lapsed: longer than a network file system hides a change."""
_BEATS_WATCHED = 3

Mark = TypeVar("Mark")


@dataclass(frozen=True)
class Holder:
    """Who has claimed a shard.

    Attributes:
        owner: The writer; None if the claim does not tell.
        seconds: Seconds since its last sign of life, as far as that is known.
        lapsed: Whether the claim may be taken over.
        doubtful: Whether it seems old, and is watched before it is taken over.
    """

    owner: Owner | None
    seconds: float
    lapsed: bool = False
    doubtful: bool = False

    @classmethod
    def judged(cls, owner: Owner | None, age: float, watched: float, beat: float) -> Holder:
        """Return who has a claim that has not changed for a while.

        Args:
            owner: The writer; None if the claim does not tell.
            age: Seconds since its last change by the clock of the place it is kept in; 0 if that is not known.
            watched: Seconds since this process first saw it as it is.
            beat: Seconds between two signs of life.
        """
        old = age >= LAPSE_SECONDS
        silent = watched >= (_BEATS_WATCHED * beat if old else LAPSE_SECONDS)
        lapsed = silent or (owner is not None and owner.has_ended())
        return cls(owner, max(age, watched, 0.0), lapsed, old and not lapsed)

    def __str__(self) -> str:
        who = f"{self.owner.host} (process {self.owner.pid}" if self.owner else "an unknown owner ("
        return f"{who}{', ' if self.owner else ''}last sign of life {self.seconds:.0f} s ago)"


class KeptClaims(ABC, Generic[Mark]):
    """The claims of one worker, kept alive by a thread until the end of a ``with`` block."""

    beat_seconds: ClassVar[float]
    """Seconds between two signs of life."""

    def __init__(self) -> None:
        self._owner = str(Owner.new())
        self._mine: dict[Path, Mark] = {}
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._beating: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for path in [*self._mine]:
            self._let_go(path, made=False)
        if self._beating:
            self._beating.join()

    @abstractmethod
    def take(self, path: Path) -> Holder | None:
        """Claim a file that is to be made, unless another one has; return who that is, None if it is this one now.

        Raises:
            StorageError: If the store cannot be written.
        """

    def release(self, path: Path) -> None:
        """Give up the claim on a file that has been made, if there is one."""
        self._let_go(path, made=True)

    def _keep(self, path: Path, mark: Mark) -> None:
        """Keep a claim that has been taken alive from now on."""
        with self._lock:
            self._mine[path] = mark
            if self._beating is None:
                self._beating = threading.Thread(target=self._beat, name="larpbench-claims", daemon=True)
                self._beating.start()

    def _let_go(self, path: Path, *, made: bool) -> None:
        with self._lock:  # a sign of life that comes later would bring the claim back
            mark = self._mine.pop(path, None)
        if mark is not None:
            self._give_up(path, mark, made=made)

    def _beat(self) -> None:
        while not self._closed.wait(self.beat_seconds):
            for path in [*self._mine]:
                with self._lock, suppress(Exception):  # another one has taken it over, or the network is gone
                    if path in self._mine:
                        self._touch(path, self._mine[path])

    @abstractmethod
    def _touch(self, path: Path, mark: Mark) -> None:
        """Give a sign of life."""

    @abstractmethod
    def _give_up(self, path: Path, mark: Mark, *, made: bool) -> None:
        """Let others have a file, which has been made by now or has not."""
