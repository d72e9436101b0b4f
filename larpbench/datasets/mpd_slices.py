"""The Million Playlist Dataset's files: slices of playlists in JSON, in a zip or a folder."""

from __future__ import annotations

import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from larpbench.errors import DataError, named
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, read_json

_NAME = re.compile(r"mpd\.slice\.(\d+)-(\d+)\.json")
_TRACK = pl.Struct(dict.fromkeys(("track_uri", "track_name", "artist_name", "album_name"), pl.String()))
_PLAYLIST = pl.Struct({"pid": pl.String(), "num_tracks": pl.String(), "tracks": pl.List(_TRACK)})


@dataclass(frozen=True)
class Slice:
    """A file of playlists.

    Attributes:
        name: Path in the zip or folder.
        first: First playlist by its name.
        last: Last playlist by its name.
        stamp: What changes when its content does: size, and checksum or time.
    """

    name: str
    first: int
    last: int
    stamp: tuple[int, int]


@dataclass(frozen=True)
class SliceSource:
    """Slices in numeric order, and the way to read them.

    Attributes:
        path: The zip or folder.
        slices: All slices.
        archive: The open zip; None for a folder.
    """

    path: Path
    slices: tuple[Slice, ...]
    archive: zipfile.ZipFile | None

    def read(self, each: Slice) -> bytes:
        """Return the bytes of a slice.

        Raises:
            DataError: If the zip is damaged there.
        """
        if self.archive is None:
            with storage_errors(self.path / each.name, "read"):
                return (self.path / each.name).read_bytes()
        try:
            return self.archive.read(each.name)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise _bad_zip(self.path, f"{each.name}: {error}") from error


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
    """Open a zip or a folder with ``mpd.slice.<a>-<b>.json`` files, at any depth.

    Raises:
        DataError: If it cannot be read, holds no slices, or some between the first and the last are missing.
    """
    if path.is_dir():
        found = [(file.relative_to(path).as_posix(), file.stat()) for file in path.rglob("mpd.slice.*.json")]
        stamps = {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found}
        yield SliceSource(path, _in_order(path, stamps), None)
        return
    if not path.is_file():
        raise DataError(f"there is no {path}", allowed="spotify_million_playlist_dataset.zip, or its unpacked folder")
    with storage_errors(path, "read"):
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise _bad_zip(path, str(error)) from error
    with archive:
        stamps = {info.filename: (info.file_size, info.CRC) for info in archive.infolist()}
        yield SliceSource(path, _in_order(path, stamps), archive)


def parse_slice(data: bytes, where: str) -> ParsedSlice:
    """Parse a slice, or the challenge set. Albums and positions may lack, as they do in reduced copies.

    Args:
        data: JSON.
        where: Its name, for messages.

    Raises:
        DataError: If it is no JSON, or none of that kind.
    """
    allowed = '{"playlists": [{"pid", "tracks": [{"track_uri", "track_name", "artist_name"}]}]}'
    try:
        whole = read_json(data, schema={"playlists": pl.List(_PLAYLIST)})
        playlists = whole.explode("playlists").drop_nulls().unnest("playlists")
    except TABLE_ERRORS as error:
        reason = str(error).splitlines()[0].partition(".  Try")[0]
        raise DataError(f"the file is no slice of playlists: {reason}", where=where, allowed=allowed) from error
    listed = playlists["tracks"].list.len().fill_null(0)
    stated = playlists["num_tracks"].cast(pl.Int64, strict=False)
    entries = (
        playlists.select(pl.col("pid").cast(pl.Int64, strict=False), "tracks")
        .explode("tracks")
        .drop_nulls("tracks")
        .unnest("tracks")
        .select(
            "pid",
            pl.col("track_uri").str.split(":").list.last().alias("track_id"),
            pl.col("track_name").alias("title"),
            pl.col("artist_name").alias("artist"),
            pl.col("album_name").alias("album"),
        )
    )
    usable = entries.filter(pl.col("pid").is_not_null() & (pl.col("track_id").fill_null("") != ""))
    if usable.is_empty() or usable.height in (usable["title"].null_count(), usable["artist"].null_count()):
        raise DataError("no playlist of the file has tracks with id, name and artist", where=where, allowed=allowed)
    return ParsedSlice(
        usable,
        playlists.height,
        int((stated != listed).sum()),
        entries.height - usable.height,
        usable["album"].null_count() < usable.height,
    )


def _in_order(path: Path, stamps: dict[str, tuple[int, int]]) -> tuple[Slice, ...]:
    slices = []
    for name, stamp in stamps.items():
        matched = _NAME.fullmatch(name.rpartition("/")[2])
        if matched:
            slices.append(Slice(name, int(matched[1]), int(matched[2]), stamp))
    slices.sort(key=lambda each: (each.first, each.name))
    if not slices:
        raise DataError(
            "there are no slices of the Million Playlist Dataset",
            where=f"{path} ({named(sorted(stamps), 3) or 'empty'})",
            allowed="mpd.slice.0-999.json, mpd.slice.1000-1999.json, ..",
        )
    for before, after in itertools.pairwise(slices):
        if after.first != before.last + 1:
            missing = after.first > before.last + 1
            low, high = (before.last + 1, after.first - 1) if missing else (after.first, before.last)
            raise DataError(
                f"playlists {low} to {high} are {'missing' if missing else 'there twice'}: "
                f"after {before.name} comes {after.name}",
                where=str(path),
                allowed="slices without a gap",
                next_step="unpack or download the data set anew",
            )
    return tuple(slices)


def _bad_zip(path: Path, reason: str) -> DataError:
    return DataError(
        f"the zip is damaged or cut off: {reason}", where=str(path), next_step="download it anew, and compare its size"
    )
