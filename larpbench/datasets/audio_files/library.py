"""The audio files below a folder, by track id, and how they are found by names that somebody wrote elsewhere."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from larpbench.datasets.left_out import LeftOut
from larpbench.errors import DataError

AUDIO_SUFFIXES = frozenset(
    (".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".m4a", ".mp4", ".aac", ".aif", ".aiff", ".wma")
)


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC); Macs decompose the names of files (NFD)."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """Return what two names have in common that differ only in letter case or in the form of Unicode."""
    return composed(composed(name).casefold())


def name_fault(name: str) -> str | None:
    """Return what makes a file's name useless as an id, None if nothing does."""
    if name.isprintable():
        return None
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "is no Unicode"
    return "has control characters" if any(unicodedata.category(char) == "Cc" for char in name) else None


@dataclass(frozen=True)
class AudioLibrary:
    """Audio files by track id.

    Attributes:
        root: Folder that they lie below, without symbolic links.
        files: Track id -> file. An id is the path below `root` in Unicode's composed form, so that it is the same on
            every system; the file's path is as it is on disk.
    """

    root: Path
    files: dict[str, Path]

    def track_at(self, path: str) -> str | None:
        """Return the track whose file has this absolute path, in any form of Unicode."""
        below = _below(composed(path), self._root_composed)
        return below if below in self.files else None

    def tracks_like(self, path: str) -> list[str]:
        """Return the tracks whose files have this absolute path in any letter case and form of Unicode."""
        return self._folded.get(_below(folded(path), self._root_folded) or "", [])

    def tracks_ending(self, path: str) -> tuple[int, list[str]]:
        """Return the tracks whose paths share the longest end with `path`, in any letter case and form of Unicode.

        Args:
            path: Names of folders and a file, with slashes.

        Returns:
            How many names the shared end has (0: not even the file's), and the tracks; two if there are several.
        """
        parts = [part for part in folded(path).split("/") if part]
        for length in range(min(len(parts), self._depth), 0, -1):
            if tracks := self._endings.get("/".join(parts[-length:])):
                return length, tracks
        return 0, []

    @cached_property
    def _root_composed(self) -> str:
        return composed(self.root.as_posix()).rstrip("/") + "/"

    @cached_property
    def _root_folded(self) -> str:
        return folded(self._root_composed)

    @cached_property
    def _depth(self) -> int:
        return max((track_id.count("/") + 1 for track_id in self.files), default=0)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        return _two_of_each((folded(track_id), track_id) for track_id in self.files)

    @cached_property
    def _endings(self) -> dict[str, list[str]]:
        def ends() -> Iterable[tuple[str, str]]:
            for track_id in self.files:
                end = folded(track_id)
                while end:
                    yield end, track_id
                    end = end.partition("/")[2]

        return _two_of_each(ends())


def folder_without_links(folder: Path) -> Path:
    """Return the absolute path of a folder, without symbolic links.

    Raises:
        DataError: If there is no such folder, or its path cannot be written down.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    resolved = folder.resolve()
    if fault := name_fault(str(resolved)):
        raise DataError(f"the path of the folder {fault}: {str(resolved)!r}", next_step="rename it")
    return resolved


def find_library(root: Path, left_out: LeftOut) -> AudioLibrary:
    """Find the audio files of a folder, at any depth, by their names' endings; hidden files are left out.

    Args:
        root: The folder, without symbolic links.
        left_out: Takes the files that cannot have an id.
    """
    found: dict[str, Path] = {}
    for path in walk(root, left_out):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            continue
        name = path.relative_to(root).as_posix()
        track_id = composed(name)
        if fault := name_fault(name):
            left_out.add(f"files whose name {fault}", name)
        elif track_id in found:
            left_out.add("files with the id of another file", name)
        else:
            found[track_id] = path
    return AudioLibrary(root, found)


def walk(root: Path, left_out: LeftOut) -> Iterable[Path]:
    """Yield everything below a folder that is no folder and not hidden, in the order of the names.

    Links to folders are not followed. A folder that cannot be read is counted.
    """

    def unreadable(error: OSError) -> None:
        left_out.add("folders that cannot be read", os.path.relpath(os.fsdecode(error.filename), root))

    for folder, names, files in os.walk(root, onerror=unreadable):
        names.sort()
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder, name)


class PathsOnDisk:
    """Files by paths that may be in another form of Unicode than on disk, as copies from a Mac are."""

    def __init__(self) -> None:
        self._listings: dict[Path, dict[str, str]] = {}

    def find(self, path: Path) -> Path:
        """Return the path of what is there under this name, or else under its other form; else `path` as it is."""
        if path.parent == path or str(path).isascii() or os.path.lexists(path):
            return path
        folder = self.find(path.parent)
        return folder / self._listing(folder).get(composed(path.name), path.name)

    def _listing(self, folder: Path) -> dict[str, str]:
        """Return composed name -> name on disk, of the names that are not composed."""
        if folder not in self._listings:
            try:
                names = sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths
            except (OSError, ValueError):
                names = []
            self._listings[folder] = {composed(name): name for name in names if not name.isascii()}
        return self._listings[folder]


def _below(path: str, root: str) -> str | None:
    return path[len(root) :] if path.startswith(root) else None


def _two_of_each(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return key -> at most two of its tracks: one is an answer, two are none."""
    found: dict[str, list[str]] = {}
    for key, track_id in pairs:
        tracks = found.setdefault(key, [])
        if len(tracks) < 2:
            tracks.append(track_id)
    return found
