"""Claims on shards: who encodes what, so that processes and machines that share a folder do not do work twice.

Claims only save work. What makes a store right is how a shard appears in it: whole, or not at all.

The claim on ``shard-000007.safetensors`` is a folder beside it, ``.larpbench-claim-shard-000007.safetensors``, with one
empty file in it, which has the name of its owner (`larpbench.owners`). All changes are renames of something that one
process at most can have:

* To take a free shard, a folder with the owner's file in it is renamed to the claim. That fails where a claim is.
* The owner touches its file every few seconds.
* To take over a lapsed claim, the file of its owner is renamed to that of the taker. Only one taker can do that.

A claim has lapsed when its owner's process has ended on this machine. Elsewhere it has lapsed when its file has not
been touched for a while. Clocks of machines differ, so the age of the file is its distance from a file that has just
been made in the same folder, and a claim that seems old is watched for some seconds more before it is taken over.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from larpbench import storage
from larpbench.owners import Owner

CLAIM_PREFIX = ".larpbench-claim-"
BEAT_SECONDS = 5.0
"""Seconds between two touches."""
LAPSE_SECONDS = 120.0
"""Seconds without a touch after which a claim has lapsed: longer than a network file system hides a change."""
_BEATS_WATCHED = 3
_TRIES = 20
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
_IMPOSSIBLE = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


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

    def __str__(self) -> str:
        who = f"{self.owner.host} (process {self.owner.pid}" if self.owner else "an unknown owner ("
        return f"{who}{', ' if self.owner else ''}last sign of life {self.seconds:.0f} s ago)"


class Claims:
    """The claims of one worker, kept alive by a thread until the end of a ``with`` block."""

    def __init__(self) -> None:
        self._owner = str(Owner.new())
        self._mine: dict[Path, Path] = {}  # claim -> the file in it
        self._watched: dict[Path, tuple[str, int, float]] = {}  # claim -> owner, its last touch, seen since when
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._beating: threading.Thread | None = None
        self._possible = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for path in [*self._mine]:
            self._let_go(path)
        if self._beating:
            self._beating.join()

    def take(self, path: Path) -> Holder | None:
        """Claim a file that is to be made, unless another one has; return who that is, None if it is this one now.

        Where the file system cannot hold claims, everything can be taken.

        Raises:
            StorageError: If the folder cannot be written.
        """
        claim = claim_of(path)
        with self._lock, storage.storage_errors(path):
            if claim in self._mine or not self._possible:
                return None
            holder = self._taken(claim)
            if holder is None and self._beating is None and self._possible:
                self._beating = threading.Thread(target=self._beat, name="larpbench-claims", daemon=True)
                self._beating.start()
            return holder

    def release(self, path: Path) -> None:
        """Give up the claim on a file, if there is one."""
        self._let_go(claim_of(path))

    def _taken(self, claim: Path) -> Holder | None:
        own = claim.with_name(f"{storage.OWN_PREFIX}{claim.name.removeprefix('.larpbench-')}.{self._owner}")
        try:
            own.mkdir(0o755, exist_ok=True)
            now = _touched(own / self._owner)
            for _ in range(_TRIES):
                if self._placed(own, claim):
                    return None
                holder = self._judged(claim, now)
                if holder is None:  # it has gone in the meantime
                    continue
                if holder.lapsed and not self._renamed(claim):
                    continue
                return None if holder.lapsed else holder
            return Holder(None, 0.0)
        finally:
            with suppress(OSError):
                (own / self._owner).unlink()
            with suppress(OSError):
                own.rmdir()

    def _placed(self, own: Path, claim: Path) -> bool:
        """Put a folder with this owner's file in the place of a claim, where none or an empty one is."""
        try:
            own.rename(claim)
        except NotADirectoryError:  # a file, which no version of larpbench has put there
            claim.unlink(missing_ok=True)
            return False
        except OSError as error:
            if error.errno in _IMPOSSIBLE:
                self._possible = False
                return True
            if error.errno not in _TAKEN:
                raise
            return False
        self._mine[claim] = claim / self._owner
        return True

    def _renamed(self, claim: Path) -> bool:
        """Take over a lapsed claim: make the file of its owner this owner's, if nobody else has done so."""
        theirs = claim / self._watched[claim][0]
        try:
            os.utime(theirs)  # else it would be as old as before under its new name
            theirs.rename(claim / self._owner)
        except FileNotFoundError:
            return False
        self._mine[claim] = claim / self._owner
        return True

    def _judged(self, claim: Path, now: float) -> Holder | None:
        """Return who has a claim; None if nobody has. `now` is the time of the file system."""
        try:
            names = sorted(os.listdir(claim), key=lambda each: (Owner.parse(each) is None, each))  # noqa: PTH208
            if not names:
                return None
            touched = (claim / names[0]).stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return None
        owner, seen = Owner.parse(names[0]), self._watched.get(claim)
        if seen is None or seen[:2] != (names[0], touched):
            seen = self._watched[claim] = (names[0], touched, time.monotonic())
        age, watched = now - touched / 1e9, time.monotonic() - seen[2]
        old = age >= LAPSE_SECONDS
        silent = watched >= (_BEATS_WATCHED * BEAT_SECONDS if old else LAPSE_SECONDS)
        lapsed = silent or (owner is not None and owner.has_ended())
        return Holder(owner, max(age, watched, 0.0), lapsed, old and not lapsed)

    def _let_go(self, claim: Path) -> None:
        with self._lock:
            file = self._mine.pop(claim, None)
        if file:
            _remove(claim, file.name)

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            with self._lock:
                mine = [*self._mine.values()]
            for file in mine:
                with suppress(OSError):  # another one has taken it over
                    os.utime(file)


def _touched(file: Path) -> float:
    """Make a file, and return what time it is by the clock of its file system."""
    file.touch()
    return file.stat().st_mtime


def claim_of(path: Path) -> Path:
    """Return the folder that is the claim on a file."""
    return path.with_name(f"{CLAIM_PREFIX}{path.name}")


def sweep(folder: Path) -> None:
    """Delete the claims of processes that have ended, and those that nobody has touched for very long."""
    with suppress(OSError):
        claims = [each for each in folder.iterdir() if each.name.startswith(CLAIM_PREFIX)]
        for claim in claims:
            with suppress(OSError):
                names = os.listdir(claim)  # noqa: PTH208
                for name in names:
                    if storage.is_abandoned(claim / name, Owner.parse(name), folder):
                        _remove(claim, name)
                if not names:
                    claim.rmdir()


def _remove(claim: Path, name: str) -> None:
    """Delete the file of an owner, and the claim, unless it is another one's by now."""
    with suppress(OSError):
        (claim / name).unlink()
    with suppress(OSError):
        claim.rmdir()
