"""Files that are either whole or absent: atomic writes, locks, the home folder. Never a pickle.

What is being written of ``NAME`` lies beside it as ``.larpbench-tmp-NAME``; meanwhile ``.larpbench-lock-NAME.lock`` is
locked. A lock ends with its process, so whoever gets it knows that a killed process has left what lies there. Both go
at the end.

Where several processes, also on other machines, may write one file at once, each writes ``.larpbench-part-NAME.OWNER``
and nothing is locked: locks of one machine are not seen on another on all shared disks.
"""

from __future__ import annotations

import errno
import filecmp
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs
from filelock import BaseFileLock, FileLock, Timeout

from larpbench import progress
from larpbench.errors import LarpbenchError, StorageError, UsageError, clipped, name_too_long, printable
from larpbench.owners import Owner

TEMPORARY_PREFIX = ".larpbench-tmp-"
OWN_PREFIX = ".larpbench-part-"
LOCK_PREFIX, LOCK_SUFFIX = ".larpbench-lock-", ".lock"
WORK_PREFIX = ".larpbench-work-"
_SECONDS_UNTIL_ABANDONED = 3600.0
"""After which a file of a process on another machine, which may have ended, is taken for a left-over."""
_SILENT_SECONDS = 30.0
"""For which a process waits for another one without saying so."""
_LONGEST_NAME = 200
"""Bytes of a file name that leave room for a prefix."""
_PLACES = "--output, $LARPBENCH_HOME or $LARPBENCH_EMBEDDINGS"
_FREE = "free some space; everything finished is kept and the same command goes on from there"
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FREE),
    errno.EFBIG: "raise the file size limit (ulimit -f), or choose another folder",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), f"choose a folder that you may write to ({_PLACES})"),
    errno.ENOENT: f"choose a folder that can be made ({_PLACES})",
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "choose a folder, not a file"),
}


def home() -> Path:
    """Return the folder for data sets and embeddings: ``$LARPBENCH_HOME``, else the user's cache folder.

    Raises:
        UsageError: If the variable names no folder.
    """
    chosen = os.environ.get("LARPBENCH_HOME")
    return folder_named_by("LARPBENCH_HOME", chosen) if chosen else platformdirs.user_cache_path("larpbench")


def folder_named_by(variable: str, text: str) -> Path:
    """Return the folder that an environment variable names, which need not be there.

    Raises:
        UsageError: If it is of an unknown user, or something else is there.
    """
    try:
        folder = Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{variable} is {clipped(text)!r}: there is no such user", allowed="a folder") from error
    there = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), None)
    if there and not os.path.isdir(there):  # noqa: PTH112 - Path.is_dir raises where access is refused
        which = "which" if there == folder else f"and {clipped(str(there))!r}"
        raise UsageError(
            f"{variable} is {clipped(text)!r}, {which} is no folder",
            allowed="a folder; it is made if there is nothing",
        )
    return folder


def slug(name: str) -> str:
    """Return `name` as a file name: as it is if it is harmless, else shortened with 8 hex digits of its sha256."""
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,79}", name) and not name.endswith("."):
        return name
    readable = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[-60:].strip("-.")
    return f"{readable or 'name'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextmanager
def storage_errors(path: Path, verb: str = "write") -> Iterator[None]:
    """Turn a failed system call inside the block into a StorageError that names `path` and says what to do.

    A name that is too long is a UsageError instead.
    """
    try:
        yield
    except LarpbenchError:
        raise
    except Exception as error:
        number = _system_error(error)
        if number is None:
            raise
        if number == errno.ENAMETOOLONG:
            raise name_too_long(str(path)) from error
        where = clipped(str(path))
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
    with locked(path), storage_errors(path):
        temporary = _beside(path, TEMPORARY_PREFIX)
        _delete(temporary)
        try:
            temporary.touch(0o600)
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            _delete(temporary)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (UTF-8)."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def own_file(path: Path, publish: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Give a temporary path that no other writer has; the file is put in place when the block ends well.

    Nothing is locked, and several may write one file at once, also on other machines.

    Args:
        path: Where the file belongs.
        publish: Puts the temporary file there; by default it replaces what is there.
    """
    temporary = path.with_name(f"{OWN_PREFIX}{path.name}.{Owner.new()}")
    with storage_errors(path):
        try:
            temporary.touch(0o600)
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            if publish:
                publish(temporary)
            else:
                temporary.replace(path)
        finally:
            _delete(temporary)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes `path` when the block ends well, and goes if it does not."""
    with staging_folder(path) as temporary:
        yield temporary
        put_in_place(temporary, path)


@contextmanager
def staging_folder(output: Path) -> Iterator[Path]:
    """Give an empty folder beside `output`, which is locked meanwhile; it goes with all that is then still in it.

    What killed processes have left beside `output` is deleted. An output has one such folder at a time.
    """
    with locked(output), storage_errors(output):
        sweep(output.parent)
        temporary = _beside(output, TEMPORARY_PREFIX)
        _delete(temporary)
        try:
            temporary.mkdir(0o700)
            yield temporary
        finally:
            _delete(temporary)


def put_in_place(folder: Path, output: Path) -> None:
    """Move a filled staging folder to `output`, where nothing or an empty folder is.

    Raises:
        StorageError: If something is there, or it cannot be written.
    """
    with storage_errors(output):
        folder.chmod(0o755)
        if output.is_dir() and not any(output.iterdir()):
            output.rmdir()
        folder.rename(output)


def put_in_place_of(folder: Path, output: Path) -> None:
    """Move a filled staging folder to `output`; the folder that is there goes, and goes whole.

    Raises:
        StorageError: If it cannot be written.
    """
    earlier = folder.with_name(f"{folder.name}.earlier")
    with storage_errors(output):
        _delete(earlier)
        output.rename(earlier)
        put_in_place(folder, output)
        _delete(earlier)


def put_in_place_once(folder: Path, output: Path) -> bool:
    """Move a filled staging folder to `output`, unless just the same is there: a kill may have come after the move.

    Returns:
        Whether it was moved.

    Raises:
        UsageError: If something else is there.
        StorageError: If it cannot be written.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        put_in_place(folder, output)
        return True
    if output.is_dir() and _same_files(folder, output):
        return False
    raise UsageError(
        "the output is not empty: something else is there already",
        where=str(output),
        allowed="a new or an empty folder",
        next_step="choose another --output, or remove that one first",
    )


def _same_files(one: Path, other: Path) -> bool:
    first, second = (sorted(path.relative_to(top) for path in top.rglob("*") if path.is_file()) for top in (one, other))
    return first == second and all(filecmp.cmp(one / path, other / path, shallow=False) for path in first)


_mine = threading.local()
"""Has, in ``locks``, the lock files that this thread holds."""


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Be the one process, and the one thread in it, that makes `output`; another one waits, and says so.

    Whoever has it may take it again. A killed process does not have it any longer.

    Raises:
        StorageError: If the folder of `output` cannot be written.
    """
    held: set[Path] = _mine.__dict__.setdefault("locks", set())
    file = _beside(output, LOCK_PREFIX, LOCK_SUFFIX)
    make_folder(file.parent)
    file = file.parent.resolve() / file.name
    if file in held:
        yield
        return
    with storage_errors(output):
        lock = _acquired(file, waits_for=output)
    held.add(file)
    try:
        yield  # outside `storage_errors`: what fails in the block is no fault of this file
    finally:
        held.discard(file)
        _let_go(lock, file)


def _acquired(file: Path, waits_for: Path | None = None) -> BaseFileLock:
    """Return the lock of a file that is there; who held it before has deleted the file that others waited for."""
    while True:
        file.touch()  # where no file can be made, the lock would wait for ever
        lock = FileLock(file)
        try:
            lock.acquire(timeout=_SILENT_SECONDS if waits_for else 0)
        except Timeout:
            if waits_for is None:
                raise
            progress.say(f"waiting for another process, which is making {printable(str(waits_for))}")
            lock.acquire()
        number = lock._context.lock_file_fd
        with suppress(FileNotFoundError):
            if number is None or os.path.samestat(os.fstat(number), file.stat()):
                return lock
        lock.release()


def _let_go(lock: BaseFileLock, file: Path) -> None:
    with suppress(OSError):  # some systems keep files that are open; there the lock itself deletes it
        file.unlink()
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
    any_key = _beside(output, WORK_PREFIX)
    mine = any_key.with_name(f"{any_key.name}-{key[:16]}")
    with locked(output):
        sweep(output.parent)
        for other in any_key.parent.iterdir():
            if other != mine and re.fullmatch(re.escape(any_key.name) + "-[0-9a-f]{16}", other.name):
                _delete(other)
        make_folder(mine)
        sweep(mine)
        try:
            yield mine
        except BaseException:
            if any(mine.iterdir()):
                progress.say(f"what has been read is kept for the next try in {mine}")
            else:
                mine.rmdir()
            raise
        _delete(mine)


def sweep(folder: Path) -> None:
    """Delete what killed processes have left half-written in `folder`; what a living one writes stays."""
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    names = {name.removeprefix(TEMPORARY_PREFIX) for name in found if name.startswith(TEMPORARY_PREFIX)}
    locks = {name.removeprefix(LOCK_PREFIX) for name in found if name.startswith(LOCK_PREFIX)}
    for name in names | {each.removesuffix(LOCK_SUFFIX) for each in locks if each.endswith(LOCK_SUFFIX)}:
        lock = folder.resolve() / f"{LOCK_PREFIX}{name}{LOCK_SUFFIX}"
        if lock in getattr(_mine, "locks", ()):
            continue
        with suppress(OSError, NotImplementedError):  # somebody has it, or we may not write here
            free = _acquired(lock)
            _delete(folder / f"{TEMPORARY_PREFIX}{name}")
            _let_go(free, lock)
    for name in found:
        if name.startswith(OWN_PREFIX) and is_abandoned(folder / name, Owner.of_file(name), folder):
            _delete(folder / name)


def is_abandoned(path: Path, owner: Owner | None, folder: Path) -> bool:
    """Return whether a file of a writer is a left-over: its process has ended here, or elsewhere, for all one can see.

    Args:
        path: The file, which the writer touches now and then.
        owner: The writer; None if that is not known.
        folder: Where a file may be made for a moment, to learn what time it is there.
    """
    if owner and owner.is_here:
        return owner.has_ended()
    return _seconds_since_touched(path, folder) > _SECONDS_UNTIL_ABANDONED


def _seconds_since_touched(path: Path, folder: Path) -> float:
    """Return the age of a file by the clock of its file system; 0 if that cannot be told."""
    try:
        touched = path.stat().st_mtime
        if time.time() - touched < _SECONDS_UNTIL_ABANDONED / 2:  # no need to ask the file system
            return 0.0
        clock = folder / f"{OWN_PREFIX}clock.{Owner.new()}"
        try:
            clock.touch()
            return clock.stat().st_mtime - touched
        finally:
            _delete(clock)
    except OSError:
        return 0.0


def _beside(path: Path, prefix: str, suffix: str = "") -> Path:
    """Return the path beside `path` with more to its name; a name that would be too long is that of its digest."""
    path, name = path.absolute(), path.absolute().name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest() + path.suffix
    return path.with_name(f"{prefix}{name}{suffix}")


def _delete(path: Path) -> None:
    """Delete a file, or a folder with all in it, as far as that can be done."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
