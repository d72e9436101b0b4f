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
A lapsed claim that belongs to another user, and cannot be changed, stays, and the shard is encoded without one.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from larpbench import storage
from larpbench.encoders.run.keeping import CLAIM_PREFIX, Holder, KeptClaims
from larpbench.owners import Owner

_TRIES = 20
_UNSEEN = "unseen"
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
_IMPOSSIBLE = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


class Claims(KeptClaims[Path]):
    """The claims of one worker in folders; where the file system cannot hold any, everything can be taken."""

    beat_seconds = 5.0

    def __init__(self) -> None:
        super().__init__()
        self._watched: dict[Path, tuple[str, int, float]] = {}  # claim -> owner, its last touch, seen since when
        self._possible = True

    def take(self, path: Path) -> Holder | None:  # noqa: D102 - the base says it
        claim = claim_of(path)
        with self._lock, storage.storage_errors(path):
            if path in self._mine or not self._possible:
                return None
            holder = self._taken(claim)
            if holder is None and self._possible:
                self._keep(path, claim / self._owner)
            return holder

    def _taken(self, claim: Path) -> Holder | None:
        own = claim.with_name(f"{storage.OWN_PREFIX}{claim.name.removeprefix('.larpbench-')}.{self._owner}")
        try:
            own.mkdir(exist_ok=True)  # whoever shares the folder by his group may take it over
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
            theirs = isinstance(error, PermissionError) and claim.is_dir()  # another user's, in a sticky folder
            if error.errno not in _TAKEN and not theirs:
                raise
            return False
        return True

    def _renamed(self, claim: Path) -> bool:
        """Take over a lapsed claim: make the file of its owner this owner's, if nobody else has done so."""
        theirs = claim / self._watched[claim][0]
        try:
            os.utime(theirs)  # else it would be as old as before under its new name
            theirs.rename(claim / self._owner)
        except FileNotFoundError:
            return False
        except PermissionError:  # it is another user's: nobody is kept from the work by it
            return True
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
        except PermissionError:  # another user's: whose it is, and its age, cannot be seen
            names, touched = [_UNSEEN], 0
        owner, seen = Owner.parse(names[0]), self._watched.get(claim)
        if seen is None or seen[:2] != (names[0], touched):
            seen = self._watched[claim] = (names[0], touched, time.monotonic())
        age = now - touched / 1e9 if touched else 0.0
        return Holder.judged(owner, age, time.monotonic() - seen[2], self.beat_seconds)

    def _touch(self, path: Path, mark: Path) -> None:
        os.utime(mark)

    def _give_up(self, path: Path, mark: Path, *, made: bool) -> None:
        _remove(mark.parent, mark.name)


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
