"""Files that are either whole or absent: atomic writes, locks, the home folder. Never a pickle."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import FileLock

from larpbench import progress
from larpbench.errors import LarpbenchError, StorageError, UsageError, clipped

TEMPORARY_PREFIX = ".larpbench-tmp-"
WORK_PREFIX = ".larpbench-work-"
_ADVICE = {
    errno.ENOSPC: "free some space; everything finished is kept and the same command goes on from there",
    errno.EDQUOT: "free some space; everything finished is kept and the same command goes on from there",
    errno.EFBIG: "raise the file size limit (ulimit -f), or choose another folder",
    errno.EACCES: "choose a folder that you may write to (--output, or $LARPBENCH_HOME)",
    errno.EPERM: "choose a folder that you may write to (--output, or $LARPBENCH_HOME)",
    errno.EROFS: "choose a folder that you may write to (--output, or $LARPBENCH_HOME)",
    errno.ENOENT: "choose a folder that can be made (--output, or $LARPBENCH_HOME)",
    errno.ENOTDIR: "choose a folder, not a file",
    errno.EEXIST: "choose a folder, not a file",
}


def home() -> Path:
    """Return the folder for data sets and embeddings: ``$LARPBENCH_HOME``, else the user's cache folder."""
    chosen = os.environ.get("LARPBENCH_HOME")
    if not chosen:
        return platformdirs.user_cache_path("larpbench")
    try:
        return Path(chosen).expanduser()
    except RuntimeError as error:
        raise UsageError(f"LARPBENCH_HOME is {clipped(chosen)!r}: there is no such user", allowed="a folder") from error


def slug(name: str) -> str:
    """Return `name` as a file name: as it is if it is harmless, else shortened with 8 hex digits of its sha256."""
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", name) and not name.endswith("."):
        return name
    readable = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[-60:].strip("-.")
    return f"{readable or 'name'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextmanager
def storage_errors(path: Path, verb: str = "write") -> Iterator[None]:
    """Turn a failed system call inside the block into a StorageError that names `path` and says what to do."""
    try:
        yield
    except LarpbenchError:
        raise
    except Exception as error:
        number = _system_error(error)
        if number is None:
            raise
        where = clipped(str(path))
        if number == errno.ENAMETOOLONG:
            raise UsageError(f"cannot {verb}: {os.strerror(number)}", where=where, allowed="a shorter name") from error
        raise StorageError(
            f"cannot {verb}: {os.strerror(number)}", where=where, next_step=_ADVICE.get(number)
        ) from error


def _system_error(error: Exception) -> int | None:
    """Return the errno behind an exception; polars and safetensors only print it, as ``(os error 28)``."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    printed = re.search(r"\(os error (\d+)\)", str(error))
    return int(printed[1]) if printed else None


def make_folder(path: Path) -> Path:
    """Create a folder and its parents if need be, and return it."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it replaces `path` when the block ends well, and goes if it does not."""
    make_folder(path.parent)
    with storage_errors(path):
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `path` when the block ends well, and goes if it does not."""
    make_folder(path.parent)
    with storage_errors(path):
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; another process waits. A killed process leaves no lock behind."""
    make_folder(path.parent)
    lock = FileLock(path)
    with storage_errors(path):
        path.touch()  # where no file can be made, the lock would wait for ever
        lock.acquire()
    try:
        yield  # outside `storage_errors`: what fails in the block is no fault of this file
    finally:
        lock.release()


@contextmanager
def work_folder(output: Path, key: str) -> Iterator[Path]:
    """Give a folder beside `output` for the pieces of a long piece of work; it goes when the block ends well.

    After an error or a kill it stays, and the next work of the same key on the same output finds what is there. What
    work of another key has left for this output is deleted. One process at a time.

    Args:
        output: What is being made.
        key: Hex digits: what the pieces depend on.
    """
    make_folder(output.parent)
    mine = output.parent / f"{WORK_PREFIX}{output.name}-{key[:16]}"
    lock = output.parent / f".{output.name}.lock"
    with exclusive(lock):
        for other in output.parent.glob(f"{WORK_PREFIX}*"):
            if other != mine and re.fullmatch(re.escape(WORK_PREFIX + output.name) + "-[0-9a-f]{16}", other.name):
                shutil.rmtree(other, ignore_errors=True)
        make_folder(mine)
        sweep(mine)
        try:
            yield mine
        except BaseException:
            if any(mine.iterdir()):
                progress.say(f"what has been read is kept for the next try in {mine}")
            raise
        shutil.rmtree(mine, ignore_errors=True)
        with suppress(OSError):  # some systems keep files that are open
            lock.unlink()


def sweep(folder: Path) -> None:
    """Delete what a killed process left half-written in `folder`. Call it with the folder's lock held."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
