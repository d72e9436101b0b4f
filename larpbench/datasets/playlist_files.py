"""Playlists as files: M3U, M3U8, PLS and XSPF, with all that people's players have made of them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from larpbench.errors import DataError
from larpbench.storage import storage_errors

_XSPF = "{http://xspf.org/ns/0/}"


def read_playlist(path: Path) -> list[str]:
    """Return the entries of a playlist file: paths as they are written there, ``file:`` addresses turned into paths.

    Text is UTF-8, with or without a byte order mark, else Latin-1. Addresses of streams stay as they are.

    Raises:
        DataError: If the file is no playlist.
    """
    with storage_errors(path, "read"):
        data = path.read_bytes()
    if b"\x00" in data:
        raise DataError("the playlist is no text", where=str(path), allowed="M3U, M3U8, PLS or XSPF")
    return [_as_path(entry) for entry in PLAYLIST_READERS[path.suffix.lower()](data, path) if entry]


def resolve_entry(entry: str, playlist: Path, root: Path) -> Path | None:
    """Return the file under `root` that an entry means, or None if it leads elsewhere.

    Args:
        entry: Path out of a playlist, absolute or relative to the playlist's folder.
        playlist: The playlist file.
        root: The audio folder, resolved.
    """
    for written in dict.fromkeys([entry, entry.replace("\\", "/")]):
        try:
            found = (playlist.parent / written).resolve()
        except (OSError, ValueError):  # longer than a path can be, or with characters that none can hold
            continue
        if found.is_relative_to(root) and found.is_file():
            return found
    return None


def _as_path(entry: str) -> str:
    return unquote(urlsplit(entry).path) if entry.lower().startswith("file:") else entry


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _read_m3u(data: bytes, path: Path) -> list[str]:
    lines = (line.strip() for line in re.split(r"[\r\n]+", _text(data)))
    return [line for line in lines if line and not line.startswith("#")]


def _read_pls(data: bytes, path: Path) -> list[str]:
    found = re.findall(r"^\s*File(\d+)\s*=\s*(.*?)\s*$", _text(data), re.IGNORECASE | re.MULTILINE)
    if not found and "[playlist]" not in _text(data).lower():
        raise DataError("the playlist is no PLS file", where=str(path), allowed="[playlist] with File1=..")
    return [entry for _, entry in sorted(found, key=lambda pair: int(pair[0]))]


def _read_xspf(data: bytes, path: Path) -> list[str]:
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # the way to make a parser swell or read other files
        raise DataError("the playlist declares a document type", where=str(path), allowed="plain XSPF")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - without a document type there is nothing to expand
    except ElementTree.ParseError as error:
        raise DataError(f"the playlist is no XML: {error}", where=str(path), allowed="XSPF") from error
    locations = (track.findtext(f"{_XSPF}location") for track in root.iter(f"{_XSPF}track"))
    return [
        location if urlsplit(location).scheme else unquote(location)
        for location in map(str.strip, filter(None, locations))
    ]


PLAYLIST_READERS: dict[str, Callable[[bytes, Path], list[str]]] = {
    ".m3u": _read_m3u,
    ".m3u8": _read_m3u,
    ".pls": _read_pls,
    ".xspf": _read_xspf,
}
