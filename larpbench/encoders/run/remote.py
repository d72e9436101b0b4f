"""A store in the cloud: shards are kept under an ``fsspec`` URL, and read through copies in a local folder.

The local folder is a store by itself. Before shards are looked for in it, those that only the remote store has are
copied to it, and those that only it has to the remote store, each by one PUT. A copy is put in place when its digest is
right, so whatever happens on the way, a shard is there whole or not at all. There are no claims between machines:
object stores have no renames, and not all of them can create a file exclusively.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from larpbench import progress, storage
from larpbench.encoders.run.shards import Shard
from larpbench.errors import LarpbenchError, MissingPartError, StorageError, UsageError, clipped, error_text

EMBEDDINGS = "LARPBENCH_EMBEDDINGS"
"""The environment variable that says where embeddings are kept."""
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
        self.url, self._folder = url, folder
        self._files, root = _file_system(url)
        self._root = root.rstrip("/")
        self._damaged: set[str] = set()

    def synchronise(self, shards: Sequence[Shard]) -> None:
        """Copy what only one of the two stores has to the other one.

        Args:
            shards: Of one encoder and split, one at least.

        Raises:
            StorageError: If a store cannot be read or written.
        """
        names = self.names(shards[0].path.parent)
        sound = [shard.is_sound() for shard in shards]
        wanted = [shard for shard, here in zip(shards, sound, strict=True) if not here and shard.path.name in names]
        if wanted:
            self._fetch(wanted)
        for shard, here in zip(shards, sound, strict=True):
            if here and shard.path.name not in names:
                self._put(shard.path)

    def fetch(self, shard: Shard) -> bool:
        """Copy a shard from the remote store if it is there by now; return whether it is, and can be trusted."""
        with self._errors("read"):
            try:
                data = self._files.cat_file(self._address(shard.path))
            except FileNotFoundError:
                return False
        return self._accepted(shard, data)

    def send(self, *paths: Path) -> None:
        """Copy files to the remote store that are not there; a damaged shard there is replaced."""
        for path in paths:
            address = self._address(path)
            with self._errors("read"):
                there = address not in self._damaged and self._files.exists(address)
            if not there:
                self._put(path)

    def names(self, folder: Path) -> set[str]:
        """Return the names of the remote files that belong in a local folder."""
        with self._errors("read"):
            self._files.invalidate_cache()
            try:
                return {each.rstrip("/").rpartition("/")[2] for each in self._files.ls(self._address(folder), False)}
            except FileNotFoundError:
                return set()

    def _fetch(self, shards: Sequence[Shard]) -> None:
        storage.make_folder(shards[0].path.parent)
        with progress.stage(f"copy from {clipped(self.url, 60)}", len(shards), "shards", brief=True) as advance:
            for first in range(0, len(shards), _AT_ONCE):
                by_address = {self._address(shard.path): shard for shard in shards[first : first + _AT_ONCE]}
                with self._errors("read"):
                    found = self._files.cat([*by_address], on_error="return")
                for address, shard in by_address.items():
                    data = found[address]
                    if isinstance(data, bytes):
                        self._accepted(shard, data)
                    elif not isinstance(data, FileNotFoundError):
                        raise self._failed("read", data)
                    advance(1)

    def _accepted(self, shard: Shard, data: bytes) -> bool:
        """Put the bytes of a shard in place if they can be trusted."""
        sound = False

        def publish(temporary: Path) -> None:
            if sound:
                shard.publish(temporary)

        with storage.own_file(shard.path, publish) as written:
            written.write_bytes(data)
            sound = replace(shard, path=written).is_sound()
        if not sound:
            self._damaged.add(self._address(shard.path))
            progress.say(f"warning: {self._address(shard.path)} cannot be trusted, and is encoded anew")
        return sound

    def _put(self, path: Path) -> None:
        with storage.storage_errors(path, "read"):
            data = path.read_bytes()
        address = self._address(path)
        with self._errors("write"):
            try:
                self._files.pipe_file(address, data)
            except FileNotFoundError:  # some stores have folders
                self._files.makedirs(address.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(address, data)

    def _address(self, path: Path) -> str:
        return f"{self._root}/{path.relative_to(self._folder).as_posix()}"

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except LarpbenchError:
            raise
        except Exception as error:  # each kind of store has errors of its own
            raise self._failed(verb, error) from error

    def _failed(self, verb: str, error: BaseException) -> StorageError:
        return StorageError(
            f"cannot {verb} the remote store of embeddings: {clipped(error_text(error))}",
            where=clipped(self.url),
            next_step=f"check the address (${EMBEDDINGS}), rights and network; what is encoded is in the local folder, "
            "and the same command continues",
        )


def _file_system(url: str) -> tuple[Any, str]:
    """Return what fsspec reads and writes a URL with, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingPartError(
            f"embeddings in {clipped(url)} need fsspec, which is not installed",
            where=f"${EMBEDDINGS}",
            next_step="pip install 'larpbench[fsspec]'",
        ) from error
    kind = url.partition("://")[0]
    try:
        files, root = url_to_fs(url)
    except ImportError as error:  # fsspec says which package serves it
        raise MissingPartError(
            f"embeddings in {clipped(url)}: {clipped(str(error))}",
            where=f"${EMBEDDINGS}",
            next_step=f"pip install {_PACKAGES[kind]}" if kind in _PACKAGES else f"install what serves {kind}://",
        ) from error
    except Exception as error:
        raise UsageError(
            f"embeddings in {clipped(url)}: {clipped(str(error))}",
            where=f"${EMBEDDINGS}",
            allowed="a folder, or an address that fsspec knows, such as s3://bucket/prefix",
        ) from error
    return files, root


_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
