"""The missing shards of a split, encoded side by side with other processes and machines that share the folder.

Every process goes through the missing shards in order. It claims one when its turn comes, and leaves out what others
have claimed. Whoever finds nothing free waits for the others, and takes over what they leave undone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from larpbench import progress
from larpbench.encoders.run.claims import Claims
from larpbench.encoders.run.jobs import Job
from larpbench.encoders.run.keeping import Holder
from larpbench.encoders.run.passes import Take
from larpbench.encoders.run.remote import Remote
from larpbench.encoders.run.remote_claims import RemoteClaims
from larpbench.encoders.run.shards import Shard
from larpbench.errors import WaitError, named
from larpbench.runtime import Cost

Encode = Callable[[Sequence[Job], Take], Generator[tuple[Job, range, np.ndarray, Cost]]]
"""Encodes the parts of jobs that may be taken, in one pass."""
AnyClaims = Claims | RemoteClaims
_FIRST_LOOK_S, _LAST_LOOK_S = 0.05, 2.0
_SECONDS_BETWEEN_MESSAGES = 30.0


@dataclass(frozen=True)
class ShardCounts:
    """What became of the shards of a split.

    Attributes:
        encoded: How many were encoded by this call.
        there: How many were there already, or came from others meanwhile.
        others: How many were not asked for.
    """

    encoded: int
    there: int
    others: int


class Patience:
    """How long to wait for shards that others are encoding.

    Args:
        seconds: In all; None: as long as they are alive.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self._waited = 0.0

    def wait(self, claims: AnyClaims, missing: Sequence[Shard], remote: Remote | None, what: str) -> None:
        """Wait until one of some shards is there, or is claimed here because its owner has let go of it.

        Args:
            claims: Where the shards are claimed.
            missing: The shards.
            remote: The remote store, if there is one, where they may appear.
            what: Encoder and split, for messages.

        Raises:
            WaitError: If that takes too long.
        """
        look, began, said = _FIRST_LOOK_S, time.monotonic(), -_SECONDS_BETWEEN_MESSAGES
        before = self._waited
        while True:
            held: dict[Shard, Holder] = {}
            for shard in missing:
                if shard.is_sound() or (remote and remote.fetch(shard)):
                    return
                if (holder := claims.take(shard.path)) is None:
                    return
                held[shard] = holder
            waited = time.monotonic() - began
            self._waited = before + waited
            over = self.seconds is not None and self._waited >= self.seconds
            if over and not any(each.doubtful for each in held.values()):
                raise _too_long(held, what)
            if not over and waited - said >= _SECONDS_BETWEEN_MESSAGES:
                said = waited
                progress.say(f"{what}: waiting for {_described(held)}")
            time.sleep(look)
            look = min(1.5 * look, _LAST_LOOK_S)


def encode_free(
    encode: Encode, shards: Mapping[Job, Sequence[Shard]], claims: AnyClaims, remote: Remote | None
) -> dict[Job, list[Shard]]:
    """Encode in one pass what is missing of some encoders and not claimed by others; each shard is written at once.

    Args:
        encode: The pass.
        shards: What is missing, in order.
        claims: Where the shards are claimed.
        remote: The remote store, if there is one, which may have a shard by now, and gets those that are written.

    Returns:
        The shards that were written.

    Raises:
        StorageError: If the folder cannot be written.
    """
    at = {(job, shard.start): shard for job, missing in shards.items() for shard in missing}
    written: dict[Job, list[Shard]] = {job: [] for job in shards}
    failures: list[Exception] = []

    def take(job: Job, part: range) -> bool:
        shard = at[job, part.start]
        try:
            if failures or shard.is_sound() or claims.take(shard.path):
                return False
            if there := shard.is_sound():  # its owner has just finished it
                if remote:  # a kill may have come before the PUT
                    remote.send(shard.path)
            elif remote:
                there = remote.fetch(shard)
            if there:
                claims.release(shard.path)
                return False
        except Exception as error:  # not in the thread of a library, which may never say so
            failures.append(error)
            return False
        return True

    with closing(encode([*shards], take)) as encoded:
        for job, part, vectors, cost in encoded:
            shard = at[job, part.start]
            shard.write(vectors, cost)
            if remote:
                remote.send(shard.path)
            claims.release(shard.path)
            written[job].append(shard)
    if failures:
        raise failures[0]
    return written


def encode_all(
    encode: Encode,
    job_of: Callable[[Sequence[Shard]], Job],
    missing: Sequence[Shard],
    remote: Remote | None,
    patience: Patience,
    what: str,
) -> int:
    """Encode what is missing of one encoder, and wait for what others are encoding.

    Args:
        encode: A pass.
        job_of: Returns what is to be done in it, given the shards that are missing.
        missing: The shards that are missing, one at least.
        remote: The remote store, if there is one.
        patience: How long to wait.
        what: Encoder and split, for messages.

    Returns:
        How many shards were encoded here.

    Raises:
        StorageError: If the folder cannot be written.
        WaitError: If others take too long.
    """
    encoded = 0
    with claims_for(remote) as claims:
        while True:
            job = job_of(missing)
            written = {*encode_free(encode, {job: missing}, claims, remote)[job]}
            encoded += len(written)
            missing = [shard for shard in missing if shard not in written and not shard.is_sound()]
            if not missing:
                return encoded
            patience.wait(claims, missing, remote, what)


def claims_for(remote: Remote | None) -> AnyClaims:
    """Return what a worker claims shards with.

    Args:
        remote: The remote store, if there is one.
    """
    return remote.claims() if remote else Claims()


def _too_long(held: Mapping[Shard, Holder], what: str) -> WaitError:
    return WaitError(
        f"{what}: others are encoding what is missing: {_described(held)}",
        where=str(next(iter(held)).path.parent),
        next_step="run the same command again when they are done, or wait longer (--wait SECONDS; without it, as long "
        "as they are alive)",
    )


def _described(held: Mapping[Shard, Holder]) -> str:
    """Return which shards are held by whom."""
    by_owner: dict[object, list[tuple[Shard, Holder]]] = {}
    for shard, holder in held.items():
        by_owner.setdefault(holder.owner, []).append((shard, holder))
    return "; ".join(
        f"{len(each)} {'shard' if len(each) == 1 else 'shards'} of {each[0][1]} "
        f"({named([shard.path.stem for shard, _ in each], 2)})"
        for each in by_owner.values()
    )
