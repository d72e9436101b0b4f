"""Claims on shards of a store in the cloud, which has no renames, but creates an object exclusively (`Bucket`).

The claim on ``shard-000007.safetensors`` is an object beside it, ``.larpbench-claim-shard-000007.safetensors.1``, with
the name of its owner and a number, which the owner raises now and then by writing the object anew.

* To take a free shard, generation 1 is created. That fails where it is.
* To take over a lapsed claim, the next generation is created. Only one taker can do that, and then has the shard:
  a claim counts only if it is the last generation.
* An owner that gives up without having made the shard says so in its object. The next one takes over at once.

As long as a shard is not there, generations are only added, so that no name has two owners one after the other. When it
is there, they are deleted. Whoever then creates generation 1 again looks for the shard, and finds it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from larpbench.encoders.run.bucket import Bucket
from larpbench.encoders.run.keeping import CLAIM_PREFIX, Holder, KeptClaims
from larpbench.errors import StorageError
from larpbench.owners import Owner

_TRIES = 20
_GIVEN_UP = b"given up\n"


class RemoteClaims(KeptClaims[int]):
    """The claims of one worker in objects of a store, which must not refuse them.

    Args:
        bucket: The store.
        folder: The local folder of copies.
    """

    beat_seconds = 15.0  # each sign of life is one PUT

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        super().__init__()
        self._bucket, self._folder = bucket, folder
        self._watched: dict[Path, tuple[int, bytes, float]] = {}  # last generation, its content, seen since when
        self._beats = 0

    def take(self, path: Path) -> Holder | None:  # noqa: D102 - the base says it
        if path in self._mine:
            return None
        for attempt in range(_TRIES):
            last, holder = self._judged(path) if attempt or path in self._watched else (0, None)
            if holder and str(holder.owner) == self._owner:  # created, and only the answer was lost
                self._keep(path, last)
                return None
            if holder and not holder.lapsed:
                return holder
            if self._bucket.create(self._name(path, last + 1), self._content()):
                self._keep(path, last + 1)
                return None
        return Holder(None, 0.0)

    def _judged(self, path: Path) -> tuple[int, Holder | None]:
        """Return the last generation of a claim, and who has it; 0 and None if nobody has ever claimed the shard."""
        seen = self._watched.get(path)
        last = seen[0] if seen else 1
        found = self._bucket.read(self._name(path, last))
        if found is None and last > 1:
            last, found = 1, self._bucket.read(self._name(path, 1))
        if found is None:
            self._watched.pop(path, None)
            return 0, None
        while (later := self._bucket.read(self._name(path, last + 1))) is not None:
            last, found = last + 1, later
        if seen is None or seen[:2] != (last, found):
            seen = self._watched[path] = (last, found, time.monotonic())
        if found == _GIVEN_UP:
            return last, Holder(None, 0.0, lapsed=True)
        owner = Owner.parse(found.decode("ascii", "replace").partition("\n")[0])
        age = self._bucket.age(self._name(path, last))
        return last, Holder.judged(owner, age, time.monotonic() - seen[2], self.beat_seconds)

    def _touch(self, path: Path, mark: int) -> None:
        self._beats += 1
        self._bucket.write(self._name(path, mark), self._content(), tries=1)

    def _give_up(self, path: Path, mark: int, *, made: bool) -> None:
        if made:
            self._bucket.delete(self._name(path, generation) for generation in range(1, mark + 1))
            return
        with suppress(StorageError):  # then the claim lapses
            self._bucket.write(self._name(path, mark), _GIVEN_UP, tries=1)

    def _content(self) -> bytes:
        return f"{self._owner}\n{self._beats}\n".encode("ascii")

    def _name(self, path: Path, generation: int) -> str:
        folder = path.parent.relative_to(self._folder).as_posix()
        return f"{folder}/{CLAIM_PREFIX}{path.name}.{generation}"


def claims_on(made: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return those of the names in a folder that are claims on files which have been made: left there by a kill."""
    made = {*made}
    claims = (each for each in names if each.startswith(CLAIM_PREFIX))
    return [each for each in claims if each.removeprefix(CLAIM_PREFIX).rpartition(".")[0] in made]
