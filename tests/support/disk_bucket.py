"""Object stores in a folder, for several processes: objects appear whole, and there are no renames."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem


class DiskBucket(AbstractFileSystem):
    """``diskbucket:///folder``: creates an object exclusively."""

    protocol = "diskbucket"
    cachable = False

    def _create(self, written: Path, path: str) -> None:
        os.link(written, path)

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        path = self._strip_protocol(path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        written = Path(f"{path}.{secrets.token_hex(4)}.part")
        written.write_bytes(value)
        try:
            if mode == "create":
                self._create(written, path)
            else:
                written.replace(path)
        finally:
            written.unlink(missing_ok=True)

    def cat_file(self, path, start=None, end=None, **kwargs):
        return Path(self._strip_protocol(path)).read_bytes()[start:end]

    def rm_file(self, path):
        Path(self._strip_protocol(path)).unlink()

    def ls(self, path, detail=True, **kwargs):
        found = [each for each in Path(self._strip_protocol(path)).iterdir() if not each.name.endswith(".part")]
        if not detail:
            return [str(each) for each in found]
        return [
            {"name": str(each), "size": each.stat().st_size, "type": "directory" if each.is_dir() else "file"}
            for each in found
        ]

    def info(self, path, **kwargs):
        path = Path(self._strip_protocol(path))
        return {"name": str(path), "size": path.stat().st_size, "type": "directory" if path.is_dir() else "file"}

    def modified(self, path):
        return datetime.fromtimestamp(Path(self._strip_protocol(path)).stat().st_mtime, tz=UTC)


class CarelessBucket(DiskBucket):
    """``carelessbucket:///folder``: overwrites what is there in any mode, as some servers do."""

    protocol = "carelessbucket"

    def _create(self, written, path):
        written.replace(path)


class PlainBucket(DiskBucket):
    """``plainbucket:///folder``: looks whether an object is there before it creates it, as fsspec does by default."""

    protocol = "plainbucket"
    pipe_file = AbstractFileSystem.pipe_file

    def _open(self, path, mode="rb", **kwargs):
        path = Path(self._strip_protocol(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode)


class AwaitedBucket(AsyncFileSystem):
    """``awaitedbucket:///folder``: a `DiskBucket` whose methods are coroutines, as those of packages for clouds are."""

    protocol = "awaitedbucket"
    cachable = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._there = DiskBucket()

    async def _pipe_file(self, path, value, mode="overwrite", **kwargs):
        self._there.pipe_file(path, value, mode=mode)

    async def _cat_file(self, path, start=None, end=None, **kwargs):
        return self._there.cat_file(path, start, end)

    async def _rm_file(self, path, **kwargs):
        self._there.rm_file(path)

    async def _ls(self, path, detail=True, **kwargs):
        return self._there.ls(path, detail)

    async def _info(self, path, **kwargs):
        return self._there.info(path)


def register() -> None:
    """Let fsspec know them, in this process."""
    for kind in (DiskBucket, CarelessBucket, PlainBucket, AwaitedBucket):
        fsspec.register_implementation(kind.protocol, kind, clobber=True)
