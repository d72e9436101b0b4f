"""A file opened by the first decoder that gets through with it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import FileIO
from pathlib import Path
from typing import TypeVar

from larpbench.audio.errors import CannotDecodeError, UnusableAudio
from larpbench.audio.libsndfile import LibsndfileSound
from larpbench.audio.sound import Sound

Result = TypeVar("Result")
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 1_000_000  # Hz; beyond them a header is damaged


@contextmanager
def open_file(path: Path) -> Iterator[FileIO]:
    """Open a regular file for reading, unbuffered.

    Raises:
        UnusableAudio: If there is none, it may not be read, or has no bytes.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe could wait for ever
            raise UnusableAudio("unreadable", path, "a folder" if stat.S_ISDIR(mode) else "not a regular file")
        stream = path.open("rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a null byte in the name
        raise UnusableAudio("missing", path, "no such file") from error
    except OSError as error:
        raise UnusableAudio("unreadable", path, error.strerror or str(error)) from error
    with stream:
        if not stream.seek(0, 2):
            raise UnusableAudio("empty", path, "0 bytes")
        yield stream


def with_sound(
    path: Path, use: Callable[[Sound], Result], instead_of_libav: Callable[[], Result] | None = None
) -> Result:
    """Return what `use` makes of the file, opened by the first decoder that gets through with it.

    libsndfile comes first. libav takes what it cannot open (MP4, AAC, WMA, ...), seek in, or give the length of.
    The content of the file decides, never its name.

    Args:
        path: The file.
        use: What to do with it.
        instead_of_libav: What to do, without it, where libsndfile does not get through.

    Raises:
        UnusableAudio: If no decoder gets through; and whatever `use` raises.
    """

    def libav(stream: FileIO) -> Sound:
        from larpbench.audio.libav import LibavSound  # a large import that most libraries of music never need

        return LibavSound(stream)

    failures: dict[str, str] = {}
    with open_file(path) as stream:
        for name, open_sound in {"libsndfile": LibsndfileSound, "libav": libav}.items():
            try:
                with closing(open_sound(stream)) as sound:
                    if not _LOWEST_RATE <= sound.rate <= _HIGHEST_RATE:
                        raise CannotDecodeError(f"a sample rate of {sound.rate} Hz")
                    return use(sound)
            except CannotDecodeError as error:
                failures[name] = str(error)
                if instead_of_libav:
                    break
    if instead_of_libav:
        return instead_of_libav()
    raise UnusableAudio("unreadable", path, "; ".join(f"{name}: {why}" for name, why in failures.items()))
