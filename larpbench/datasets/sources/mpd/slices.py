"""The Million Playlist Dataset's files: slices of playlists, in a zip, in a folder, or one alone."""

from __future__ import annotations

import gzip
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from larpbench.errors import DataError, clipped, named, printable
from larpbench.storage import storage_errors

_NAME = re.compile(r"mpd\.slice\.(\d+)-(\d+)\.json(?:\.gz)?")
_SOURCES = "spotify_million_playlist_dataset.zip, its unpacked folder, or one slice (.json, .json.gz)"
_GZIP = b"\x1f\x8b"
_ENCRYPTED = 0x1  # the flag of a member of a zip
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Slice:
    """A file of playlists.

    Attributes:
        name: Path in the zip or folder.
        stamp: What changes when its content does: size, and checksum or time.
    """

    name: str
    stamp: tuple[int, int]


@dataclass(frozen=True)
class SliceSource:
    """Slices in numeric order, and the way to read them.

    Attributes:
        path: The zip or folder.
        slices: All slices.
        words: What they are, for people.
        missing: First and last playlist of each gap between two slices, by their names.
        archive: The open zip; None for a folder.
        content: Where slices are read, one after another: new memory for each costs half as much as unpacking.
    """

    path: Path
    slices: tuple[Slice, ...]
    words: str
    missing: tuple[tuple[int, int], ...]
    archive: zipfile.ZipFile | None
    content: bytearray = field(default_factory=bytearray, repr=False, compare=False)

    def read(self, each: Slice) -> bytes | bytearray:
        """Return the bytes of a slice, unpacked if it is gzipped, until the next one is read.

        Raises:
            DataError: If the zip or the slice is damaged, or needs a password.
        """
        where = f"{self.path}: {each.name}"
        if self.archive is None:
            with storage_errors(self.path / each.name, "read"), (self.path / each.name).open("rb") as stream:
                self._fill(stream)
            return unzipped(self.content, where)
        try:
            with self.archive.open(each.name) as packed:
                self._fill(packed)
        except (RuntimeError, NotImplementedError) as error:  # a password, or a way of packing that Python lacks
            raise _closed_zip(self.path, f"{each.name}: {error}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise _bad_zip(self.path, f"{each.name}: {error}") from error
        return unzipped(self.content, where)

    def _fill(self, stream: IO[bytes]) -> None:
        """Write all of a stream over what was read before."""
        size = 0
        while chunk := stream.read(_CHUNK_BYTES):
            self.content[size : size + len(chunk)] = chunk
            size += len(chunk)
        del self.content[size:]


@contextmanager
def open_slices(path: Path) -> Iterator[SliceSource]:
    """Open a zip or a folder with ``mpd.slice.<a>-<b>.json`` files, or ``.json.gz``, at any depth; or one such file.

    Slices may be missing. One file alone may have another name.

    Raises:
        DataError: If it cannot be read, holds no slices, or two of them hold the same playlists.
    """
    if path.is_dir():
        files = [file for kind in ("json", "json.gz") for file in path.rglob(f"mpd.slice.*.{kind}")]
        yield _in_order(path, [Slice(file.relative_to(path).as_posix(), _stamp(file)) for file in files], None)
        return
    if not path.is_file():
        raise DataError(f"there is no {path}", allowed=_SOURCES)
    if path.name.lower().endswith((".json", ".json.gz")):
        one = Slice(path.name, _stamp(path))
        named_as_slice = _NAME.fullmatch(path.name)
        yield (
            _in_order(path.parent, [one], None)
            if named_as_slice
            else SliceSource(path.parent, (one,), printable(path.name), (), None)
        )
        return
    with storage_errors(path, "read"):
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise _bad_zip(path, str(error)) from error
        except NotImplementedError as error:
            raise _closed_zip(path, str(error)) from error
    with archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        source = _in_order(path, [Slice(info.filename, (info.file_size, info.CRC)) for info in members], archive)
        encrypted = {info.filename for info in members if info.flag_bits & _ENCRYPTED}
        if locked := [each.name for each in source.slices if each.name in encrypted]:
            raise _closed_zip(path, f"{len(locked)} of {len(source.slices)} slices need a password: {named(locked, 3)}")
        yield source


def unzipped(data: bytes | bytearray, where: str) -> bytes | bytearray:
    """Return the content of gzipped bytes, and others as they are.

    Args:
        data: What a file holds.
        where: Its name, for messages.

    Raises:
        DataError: If it is damaged or cut off.
    """
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"the gzipped file is damaged or cut off: {error}", where=where, next_step="get it anew"
        ) from error


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _in_order(path: Path, files: list[Slice], archive: zipfile.ZipFile | None) -> SliceSource:
    """Return those files that are slices by their names, in the order of their numbers."""
    found = []
    for each in files:
        matched = _NAME.fullmatch(each.name.rpartition("/")[2])
        if matched:
            found.append((int(matched[1]), int(matched[2]), each))
    if not found:
        raise DataError(
            "there are no slices of the Million Playlist Dataset",
            where=f"{path} ({clipped(named(sorted(each.name for each in files), 3)) or 'empty'})",
            allowed="mpd.slice.0-999.json, mpd.slice.1000-1999.json, .., or .json.gz",
        )
    found.sort(key=lambda each: (each[0], each[2].name))
    missing = []
    for (_, last, before), (start, _, after) in itertools.pairwise(found):
        if start <= last:
            raise DataError(
                f"playlists {start} to {last} are there twice: in {before.name!r} and {after.name!r}",
                where=str(path),
                allowed="each playlist in one slice",
                next_step="take one of the two away",
            )
        if start > last + 1:
            missing.append((last + 1, start - 1))
    words = f"{len(found)} slices (playlists {found[0][0]} to {found[-1][1]})"
    return SliceSource(path, tuple(each for _, _, each in found), words, tuple(missing), archive)


def _bad_zip(path: Path, reason: str) -> DataError:
    return DataError(
        f"the zip is damaged or cut off: {reason}",
        where=str(path),
        allowed=_SOURCES,
        next_step="download it anew, and compare its size",
    )


def _closed_zip(path: Path, reason: str) -> DataError:
    return DataError(
        f"the zip cannot be unpacked here: {reason}",
        where=str(path),
        allowed=_SOURCES,
        next_step="unpack it with the program that packed it, and give the folder as --source",
    )
