"""A store in the cloud: shards are kept under an ``fsspec`` URL, and read through copies in a local folder.

The local folder is a store by itself. Before shards are looked for in it, those that only the remote store has are
copied to it, and those that only it has to the remote store, each by one PUT. A copy is put in place when its digest is
right, so whatever happens on the way, a shard is there whole or not at all. Claims are kept in the remote store if it
can hold any; without, machines may do work twice, and come to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from larpbench import progress, storage
from larpbench.encoders.run.bucket import Bucket
from larpbench.encoders.run.claims import Claims
from larpbench.encoders.run.remote_claims import RemoteClaims, claims_on
from larpbench.encoders.run.shards import Shard
from larpbench.errors import clipped

_AT_ONCE = 32


class Remote:
    """The remote store of shards, and the local folder of copies.

    Args:
        url: Such as ``s3://bucket/prefix``.
        folder: The root of the local store.

    Raises:
        UsageError: If there is no such kind of URL.
        MissingPartError: If the package that serves it is not installed.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._bucket, self._folder = Bucket(url), folder
        self._damaged: set[str] = set()
        self._without_claims = False  # said so

    @property
    def url(self) -> str:
        """Where it is."""
        return self._bucket.url

    def claims(self) -> Claims | RemoteClaims:
        """Return what a worker claims shards with: on the remote store if that can hold claims, else on this machine.

        Raises:
            StorageError: If the remote store cannot be written.
        """
        why_not = self._bucket.refuses_claims
        if why_not is None:
            return RemoteClaims(self._bucket, self._folder)
        if not self._without_claims:
            self._without_claims = True
            progress.say(
                f"{clipped(self.url, 60)} holds no claims ({why_not}): several machines may encode the same shard, "
                "which encode --part I/N avoids"
            )
        return Claims()

    def synchronise(self, shards: Sequence[Shard]) -> bool:
        """Copy what only one of the two stores has to the other one.

        Args:
            shards: Of one encoder and split, one at least.

        Returns:
            Whether the remote store has got something.

        Raises:
            StorageError: If a store cannot be read or written.
        """
        folder = shards[0].path.parent
        names = self.names(folder)
        sound = {shard.path.name for shard in shards if shard.is_sound()}
        wanted = [each for each in shards if each.path.name in names and each.path.name not in sound]
        if wanted:
            self._fetch(wanted)
        lacking = [each for each in shards if each.path.name in sound and each.path.name not in names]
        for shard in lacking:
            self._put(shard.path)
        made = [each.path.name for each in shards if each.path.name in names and each.is_sound()]
        self._bucket.delete(self._name(folder / each) for each in claims_on(made, names))
        return bool(lacking)

    def fetch(self, shard: Shard) -> bool:
        """Copy a shard from the remote store if it is there by now; return whether it is, and can be trusted."""
        data = self._bucket.read(self._name(shard.path))
        return data is not None and self._accepted(shard, data)

    def send(self, *paths: Path) -> None:
        """Copy files to the remote store that are not there; a damaged shard there is replaced."""
        for path in paths:
            name = self._name(path)
            if name in self._damaged or not self._bucket.has(name):
                self._put(path)

    def names(self, folder: Path) -> set[str]:
        """Return the names of the remote files that belong in a local folder."""
        return self._bucket.names(self._name(folder))

    def _fetch(self, shards: Sequence[Shard]) -> None:
        storage.make_folder(shards[0].path.parent)
        with progress.stage(f"copy from {clipped(self.url, 60)}", len(shards), "shards", brief=True) as advance:
            for first in range(0, len(shards), _AT_ONCE):
                by_name = {self._name(shard.path): shard for shard in shards[first : first + _AT_ONCE]}
                for name, data in self._bucket.read_all(by_name).items():
                    self._accepted(by_name[name], data)
                advance(len(by_name))

    def _accepted(self, shard: Shard, data: bytes) -> bool:
        """Put the bytes of a shard in place if they can be trusted."""
        sound = False

        def publish(temporary: Path) -> None:
            if sound:
                shard.publish(temporary)

        with storage.own_file(shard.path, publish) as written:
            written.write_bytes(data)
            sound = replace(shard, path=written).is_sound()
        name = self._name(shard.path)
        if sound:
            self._damaged.discard(name)
        elif name not in self._damaged:
            self._damaged.add(name)
            progress.say(f"warning: {self._bucket.address(name)} cannot be trusted, and is encoded anew")
        return sound

    def _put(self, path: Path) -> None:
        with storage.storage_errors(path, "read"):
            data = path.read_bytes()
        name = self._name(path)
        self._bucket.write(name, data)
        self._damaged.discard(name)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
