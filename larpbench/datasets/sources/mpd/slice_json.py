"""The JSON of a slice of playlists: the few fields that count, decoded by type; whatever is odd, slowly and exactly."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import msgspec
import polars as pl

from larpbench.errors import DataError, clipped, named
from larpbench.table_files import TABLE_ERRORS, read_json

_ALLOWED = '{"playlists": [{"pid", "tracks": [{"track_uri", "track_name", "artist_name"}]}]}'
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Cell = str | int | float | bool | None


class Entry(msgspec.Struct, gc=False):
    """A track of a playlist; fields in the order of the published files, in which they are found faster."""

    artist_name: str | None = None
    track_uri: str | None = None
    track_name: str | None = None
    album_name: str | None = None


class Playlist(msgspec.Struct, gc=False):
    """A playlist, and how many tracks it says it has."""

    pid: _Number
    tracks: list[Entry]
    num_tracks: _Number | None = None


class _Slice(msgspec.Struct, gc=False):
    playlists: list[Playlist]


class _AnyEntry(msgspec.Struct, gc=False):
    track_uri: _Cell = None
    track_name: _Cell = None
    artist_name: _Cell = None
    album_name: _Cell = None


class _AnyPlaylist(msgspec.Struct, gc=False):
    pid: _Cell = None
    tracks: list[_AnyEntry | None] | None = None
    num_tracks: _Cell = None


class _AnySlice(msgspec.Struct, gc=False):
    playlists: list[_AnyPlaylist | None]


_SLICE = msgspec.json.Decoder(_Slice)
_ANY_SLICE = msgspec.json.Decoder(_AnySlice)
_ANY_TRACK = pl.Struct(dict.fromkeys(Entry.__struct_fields__, pl.String()))
_ANY_LIST = pl.Struct({"pid": pl.String(), "num_tracks": pl.String(), "tracks": pl.List(_ANY_TRACK)})
_ANY: dict[str, pl.DataType] = {"playlists": pl.List(_ANY_LIST)}


@dataclass(frozen=True)
class ParsedSlice:
    """The content of a slice.

    Attributes:
        playlists: Those that have a number, each once.
        count: How many there are, with or without a number.
        contradicting: How many of them have another number of tracks than ``num_tracks`` says.
        without_pid: Entries of playlists without a number.
        where: Name of the file, for messages.
    """

    playlists: list[Playlist]
    count: int
    contradicting: int
    without_pid: int
    where: str

    def nothing_usable(self) -> DataError:
        """Return the error of a slice of which no entry can be used."""
        return DataError(
            "no playlist of the file has tracks with id, name and artist", where=self.where, allowed=_ALLOWED
        )


def parse_slice(data: bytes | bytearray, where: str) -> ParsedSlice:
    """Parse a slice, or the challenge set. Albums and positions may lack, as they do in reduced copies.

    Args:
        data: JSON.
        where: Its name, for messages.

    Raises:
        DataError: If it is no JSON, or none of that kind, or has two playlists of the same number.
    """
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
    try:
        if not data.isascii():
            data.decode()  # what is skipped is checked too
        playlists = _SLICE.decode(data).playlists
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return _parse_any(bytes(data), where)
    pids = [each.pid for each in playlists]
    if len(set(pids)) < len(pids):
        raise _twice([str(pid) for pid, count in sorted(Counter(pids).items()) if count > 1], where)
    contradicting = sum(each.num_tracks is not None and each.num_tracks != len(each.tracks) for each in playlists)
    return ParsedSlice(playlists, len(playlists), contradicting, 0, where)


def _parse_any(data: bytes, where: str) -> ParsedSlice:
    """Parse a slice in which numbers may be text, text numbers, and playlists and tracks null.

    Raises:
        DataError: See `parse_slice`.
    """
    try:
        found = read_json(data, schema=_ANY).explode("playlists").drop_nulls().unnest("playlists")
    except TABLE_ERRORS as error:
        reason = _fault(data) or clipped(str(error).partition("\n")[0].partition(".  Try")[0])
        raise DataError(
            f"the file is no slice of playlists: {reason}",
            where=where,
            allowed=_ALLOWED,
            next_step="unpack the slice anew",
        ) from error
    pids = found["pid"].drop_nulls()
    if pids.n_unique() < len(pids):
        raise _twice(pids.filter(pids.is_duplicated()).unique().sort().to_list(), where)
    listed, stated = found["tracks"].list.len().fill_null(0), found["num_tracks"].cast(pl.Int64, strict=False)
    playlists, without_pid = [], 0
    for pid, tracks in zip(found["pid"].cast(pl.Int64, strict=False), found["tracks"].to_list(), strict=True):
        entries = [Entry(**each) for each in tracks or () if each is not None]
        if pid is None:
            without_pid += len(entries)
        else:
            playlists.append(Playlist(pid, entries))
    return ParsedSlice(playlists, found.height, int((stated != listed).sum()), without_pid, where)


def _twice(pids: list[str], where: str) -> DataError:
    return DataError(f"playlists are there twice: pid {named(pids)}", where=where, allowed="each pid once")


def _fault(data: bytes) -> str | None:
    """Return in words what is wrong and where: line, column and playlist; None if nothing was found."""
    try:
        data.decode()
        _ANY_SLICE.decode(data)
    except UnicodeDecodeError as error:
        return f"byte 0x{data[error.start]:02x} is no UTF-8, {_place(data, error.start)}"
    except msgspec.ValidationError as error:
        return clipped(f"{error}{_pid(data, str(error))}")
    except msgspec.DecodeError as error:
        if byte := re.search(r" \(byte (\d+)\)", str(error)):
            return f"{str(error).replace(byte[0], '')}, {_place(data, int(byte[1]))}"
        return f"the JSON ends in the middle, {_place(data, len(data))}"
    except RecursionError:
        return "it is nested too deeply"
    return None


def _pid(data: bytes, fault: str) -> str:
    """Return the number of the playlist that a fault names by its place, in words; empty if that is not known."""
    place = re.search(r"\$\.playlists\[(\d+)\]\.", fault)
    try:
        return f", of the playlist of pid {json.loads(data)['playlists'][int(place[1])]['pid']}" if place else ""
    except (ValueError, KeyError):
        return ""


def _place(data: bytes, byte: int) -> str:
    line = data.count(b"\n", 0, byte) + 1
    column = byte - data.rfind(b"\n", 0, byte)
    pids = re.findall(rb'"pid"\s*:\s*"?(-?\d{1,20})', data[:byte])
    return f"line {line}, column {column}" + (f", after pid {pids[-1].decode()}" if pids else "")
