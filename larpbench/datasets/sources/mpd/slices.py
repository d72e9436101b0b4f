"""The Million Playlist Dataset's files: slices of playlists in JSON, in a zip, in a folder, or one alone."""

from __future__ import annotations

import codecs
import gzip
import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from larpbench.datasets.track_ids import ids_of_uris
from larpbench.errors import DataError, clipped, named, printable
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, read_json

_NAME = re.compile(r"mpd\.slice\.(\d+)-(\d+)\.json(?:\.gz)?")
_SOURCES = "spotify_million_playlist_dataset.zip, its unpacked folder, or one slice (.json, .json.gz)"
_GZIP = b"\x1f\x8b"
_ENCRYPTED = 0x1  # the flag of a member of a zip
_TRACK = pl.Struct(dict.fromkeys(("track_uri", "track_name", "artist_name", "album_name"), pl.String()))
_PLAYLIST = pl.Struct({"pid": pl.String(), "num_tracks": pl.String(), "tracks": pl.List(_TRACK)})


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
    """

    path: Path
    slices: tuple[Slice, ...]
    words: str
    missing: tuple[tuple[int, int], ...]
    archive: zipfile.ZipFile | None

    def read(self, each: Slice) -> bytes:
        """Return the bytes of a slice, unpacked if it is gzipped.

        Raises:
            DataError: If the zip or the slice is damaged, or needs a password.
        """
        where = f"{self.path}: {each.name}"
        if self.archive is None:
            with storage_errors(self.path / each.name, "read"):
                return unzipped((self.path / each.name).read_bytes(), where)
        try:
            data = self.archive.read(each.name)
        except (RuntimeError, NotImplementedError) as error:  # a password, or a way of packing that Python lacks
            raise _closed_zip(self.path, f"{each.name}: {error}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise _bad_zip(self.path, f"{each.name}: {error}") from error
        return unzipped(data, where)


@dataclass(frozen=True)
class ParsedSlice:
    """The content of a slice.

    Attributes:
        entries: Columns ``pid`` (Int64), ``track_id``, ``title``, ``artist``, ``album``, in the order of the playlists.
        playlists: How many there are.
        contradicting: How many of them have another number of tracks than ``num_tracks`` says.
        without_id: Entries that name no track, or playlists without a number; they are not in `entries`.
        has_albums: Whether any entry has an album.
    """

    entries: pl.DataFrame
    playlists: int
    contradicting: int
    without_id: int
    has_albums: bool


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


def unzipped(data: bytes, where: str) -> bytes:
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


def parse_slice(data: bytes, where: str) -> ParsedSlice:
    """Parse a slice, or the challenge set. Albums and positions may lack, as they do in reduced copies.

    Args:
        data: JSON.
        where: Its name, for messages.

    Raises:
        DataError: If it is no JSON, or none of that kind, or has two playlists of the same number.
    """
    allowed = '{"playlists": [{"pid", "tracks": [{"track_uri", "track_name", "artist_name"}]}]}'
    try:
        whole = read_json(data.removeprefix(codecs.BOM_UTF8), schema={"playlists": pl.List(_PLAYLIST)})
        playlists = whole.explode("playlists").drop_nulls().unnest("playlists")
    except TABLE_ERRORS as error:
        reason = clipped(str(error).partition("\n")[0].partition(".  Try")[0])
        raise DataError(f"the file is no slice of playlists: {reason}", where=where, allowed=allowed) from error
    pids = playlists["pid"].drop_nulls()
    if pids.n_unique() < len(pids):
        twice = named(pids.filter(pids.is_duplicated()).unique().sort())
        raise DataError(f"playlists are there twice: pid {twice}", where=where, allowed="each pid once")
    listed = playlists["tracks"].list.len().fill_null(0)
    stated = playlists["num_tracks"].cast(pl.Int64, strict=False)
    entries = (
        playlists.select(pl.col("pid").cast(pl.Int64, strict=False), "tracks")
        .explode("tracks")
        .drop_nulls("tracks")
        .unnest("tracks")
        .select(
            "pid",
            "track_uri",
            pl.col("track_name").alias("title"),
            pl.col("artist_name").alias("artist"),
            pl.col("album_name").alias("album"),
        )
    )
    entries = entries.with_columns(track_id=ids_of_uris(entries["track_uri"])).drop("track_uri")
    usable = entries.drop_nulls(["pid", "track_id"]).select("pid", "track_id", "title", "artist", "album")
    if usable.is_empty() or usable.height in (usable["title"].null_count(), usable["artist"].null_count()):
        raise DataError("no playlist of the file has tracks with id, name and artist", where=where, allowed=allowed)
    return ParsedSlice(
        usable,
        playlists.height,
        int((stated != listed).sum()),
        entries.height - usable.height,
        usable["album"].null_count() < usable.height,
    )


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
