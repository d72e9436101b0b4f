"""Objects under an ``fsspec`` URL: what the store of embeddings in the cloud is made of.

A store that could be read or written, and then cannot, is tried again for a minute: networks come back.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from larpbench import progress
from larpbench.errors import LarpbenchError, MissingPartError, StorageError, UsageError, clipped, error_text, printable
from larpbench.owners import Owner

EMBEDDINGS = "LARPBENCH_EMBEDDINGS"
"""The environment variable that says where embeddings are kept."""
PROBE_PREFIX = ".larpbench-probe-"
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between the tries of what has failed."""
_ANSWERS = (FileNotFoundError, FileExistsError)
_FINAL = (PermissionError, IsADirectoryError, NotADirectoryError, NotImplementedError, TypeError, ValueError)
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
_ALLOWED = "a folder, or an address that fsspec knows, such as s3://bucket/prefix"

T = TypeVar("T")


class Bucket:
    """The objects under a URL, each with a name relative to it.

    Args:
        url: Such as ``s3://bucket/prefix``.

    Raises:
        UsageError: If there is no such kind of URL.
        MissingPartError: If the package that serves it is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._files, root = _file_system(url)
        self._root = root.rstrip("/")
        self._answered: set[str] = set()  # what it has been able to do: to read, to write
        self._clock: float | None = None  # what time it is there, less the seconds of this process's clock

    def address(self, name: str) -> str:
        """Return the path of an object, for messages and the file system."""
        return f"{self._root}/{name}"

    def names(self, folder: str) -> set[str]:
        """Return the last parts of the names of what lies directly in a folder.

        Raises:
            StorageError: If the store cannot be read.
        """

        def listed() -> list[str]:
            self._files.invalidate_cache()
            return self._files.ls(self.address(folder), False)

        try:
            return {each.rstrip("/").rpartition("/")[2] for each in self._ask("read", listed)}
        except FileNotFoundError:
            return set()

    def has(self, name: str) -> bool:
        """Return whether there is an object of this name.

        Raises:
            StorageError: If the store cannot be read.
        """

        def exists() -> bool:
            self._files.invalidate_cache()
            return self._files.exists(self.address(name))

        return self._ask("read", exists)

    def read(self, name: str) -> bytes | None:
        """Return the content of an object, None if there is none.

        Raises:
            StorageError: If the store cannot be read.
        """
        try:
            return self._ask("read", lambda: self._files.cat_file(self.address(name)))
        except FileNotFoundError:
            return None

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of objects, read at once, without those that are not there.

        Raises:
            StorageError: If the store cannot be read.
        """
        by_address = {self.address(name): name for name in names}

        def found() -> dict[str, Any]:
            read: dict[str, Any] = self._files.cat([*by_address], on_error="return")
            for data in read.values():
                if isinstance(data, BaseException) and not isinstance(data, FileNotFoundError):
                    raise data
            return read

        return {by_address[each]: data for each, data in self._ask("read", found).items() if isinstance(data, bytes)}

    def write(self, name: str, data: bytes, *, tries: int | None = None) -> None:
        """Put an object in place, whole, by one PUT.

        Args:
            name: Its name.
            data: Its content.
            tries: How often to try; None: for a minute.

        Raises:
            StorageError: If the store cannot be written.
        """
        address = self.address(name)

        def put() -> None:
            try:
                self._files.pipe_file(address, data)
            except FileNotFoundError:
                if self.url.partition("://")[0] in _PACKAGES:  # else a mistyped bucket would be made
                    raise
                self._files.makedirs(address.rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(address, data)

        try:
            self._ask("write", put, tries)
        except _ANSWERS as error:
            raise self._failed("write", error) from error

    def create(self, name: str, data: bytes) -> bool:
        """Make an object unless there is one of this name; return whether it was made. See `refuses_claims`.

        Raises:
            StorageError: If the store cannot be written.
        """
        try:
            self._ask("write", lambda: self._files.pipe_file(self.address(name), data, mode="create"))
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise self._failed("write", error) from error
        return True

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects as far as that can be done."""
        for name in names:
            with suppress(Exception):
                self._files.rm_file(self.address(name))

    def age(self, name: str) -> float:
        """Return the seconds since an object was written by the clock of the store; 0 if that is not known."""
        modified = self._modified(name)
        return 0.0 if modified is None or self._clock is None else time.monotonic() + self._clock - modified

    @functools.cached_property
    def refuses_claims(self) -> str | None:
        """Why claims cannot be kept here, None if they can.

        They can if an object that is there cannot be created again, and can be deleted. That is tried.
        """
        from fsspec import AbstractFileSystem

        by_default = AbstractFileSystem.pipe_file  # which looks first, and then writes
        if getattr(self._files.pipe_file, "__func__", None) is by_default:
            return "it cannot create an object exclusively"
        probe = f"{PROBE_PREFIX}{Owner.new()}"
        path = self.address(probe)
        try:
            self._files.pipe_file(path, b"first", mode="create")
            modified = self._modified(probe)
            self._clock = None if modified is None else modified - time.monotonic()
            with suppress(FileExistsError):
                self._files.pipe_file(path, b"second", mode="create")
                return "it cannot create an object exclusively"
            kept = self._files.cat_file(path) == b"first"
            self._files.rm_file(path)
        except Exception as error:  # each kind of store has errors of its own
            return f"a try to create an object exclusively ended with {clipped(error_text(error))}"
        finally:
            self.delete([probe])
        return None if kept else "an object that was to be created again has changed"

    def _modified(self, name: str) -> float | None:
        """Return when an object was written, by the clock of the store; None if that is not known."""
        try:
            self._files.invalidate_cache()
            return float(self._files.modified(self.address(name)).timestamp())
        except Exception:
            return None

    def _ask(self, verb: str, question: Callable[[], T], tries: int | None = None) -> T:
        """Return an answer; raise FileNotFoundError and FileExistsError as they come, and StorageError for the rest."""
        pauses = (_PAUSES if verb in self._answered else ())[: None if tries is None else tries - 1]
        for pause in (*pauses, None):
            try:
                answer = question()
            except _ANSWERS:
                self._answered.add(verb)
                raise
            except LarpbenchError:
                raise
            except Exception as error:  # each kind of store has errors of its own
                if pause is None or isinstance(error, _FINAL):
                    raise self._failed(verb, error) from error
                progress.say(
                    f"warning: cannot {verb} the remote store of embeddings ({clipped(error_text(error), 120)}); "
                    f"trying again in {pause:.0f} s"
                )
                time.sleep(pause)
            else:
                self._answered.add(verb)
                return answer
        raise AssertionError("the last try has no pause")

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
            f"embeddings in {clipped(url)}: {clipped(printable(str(error)))}",
            where=f"${EMBEDDINGS}",
            allowed=_ALLOWED,
        ) from error
    if kind in _PACKAGES and not root.partition("/")[0]:
        raise UsageError(f"embeddings in {clipped(url)}: no bucket is named", where=f"${EMBEDDINGS}", allowed=_ALLOWED)
    return files, root
