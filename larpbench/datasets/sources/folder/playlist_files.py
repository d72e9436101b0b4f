"""Playlists as files: M3U, M3U8, PLS and XSPF, with all that people's players have made of them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from larpbench.errors import DataError
from larpbench.storage import storage_errors

LARGEST = 1 << 28
"""Bytes; a larger file is no playlist."""
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_XML_ENCODING = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([^"'>]*)["']""")
_NO_CHARSETS = {"idna", "punycode", "unicode-escape", "raw-unicode-escape"}


@dataclass(frozen=True)
class Entry:
    """One entry of a playlist.

    Attributes:
        locations: Where its file may be, as written: paths or addresses, the first that is a file counts.
        is_url: Whether the format asks for percent-encoded addresses (XSPF).
        is_comment: Whether it begins with ``#``: a comment, or the name of a file that does.
    """

    locations: tuple[str, ...]
    is_url: bool = False
    is_comment: bool = False


def read_playlist(path: Path) -> list[Entry]:
    """Return the entries of a playlist file, as they are written there.

    Text is what its byte order mark says, else UTF-8, else line by line UTF-8 or Windows-1252; XSPF may name another
    encoding.

    Raises:
        DataError: If the file is no playlist.
        StorageError: If it cannot be read.
    """
    with storage_errors(path, "read"):
        if not path.is_file():  # opening a pipe would wait for ever
            raise DataError("it is not a file", where=str(path))
        if path.stat().st_size > LARGEST:
            raise DataError(f"it has more than {LARGEST >> 20} MiB", where=str(path))
        data = path.read_bytes()
    return PLAYLIST_READERS[path.suffix.lower()](data, path)


def _text(data: bytes, path: Path) -> str:
    mark, encoding = next((each for each in _BYTE_ORDER_MARKS if data.startswith(each[0])), (b"", None))
    if encoding is None and len(data) % 2 == 0 and (first := re.match(rb"(\x00)?[\x01-\x7f](?(1)|\x00)", data)):
        encoding = "utf-16-be" if first[1] else "utf-16-le"  # without a mark, and beginning with an ASCII character
    if encoding is None:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = "".join(map(_line_text, data.splitlines(keepends=True)))
    else:
        text = data[len(mark) :].decode(encoding, "replace")
    if "\x00" in text:
        raise DataError("it is no text", where=str(path), allowed="M3U, M3U8, PLS or XSPF")
    return text


def _line_text(line: bytes) -> str:
    """Decode a line of a file that is not UTF-8 throughout: players append to what another program wrote."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return line.decode(encoding)
        except UnicodeDecodeError:
            continue
    return line.decode("latin-1")  # five bytes have no meaning in Windows-1252


def _read_m3u(data: bytes, path: Path) -> list[Entry]:
    lines = re.split(r"[\r\n]+", _text(data, path))
    return [Entry((line,), is_comment=line.lstrip().startswith("#")) for line in lines if line.strip()]


def _read_pls(data: bytes, path: Path) -> list[Entry]:
    lines = re.sub(r"\r\n?", "\n", _text(data, path))
    found = re.findall(r"^[ \t]*File(\d{1,9})[ \t]*=[ \t]*(.*)$", lines, re.IGNORECASE | re.MULTILINE)
    if not found and "[playlist]" not in lines.lower():
        raise DataError("it is no PLS file", where=str(path), allowed="[playlist] with File1=..")
    return [Entry((location,)) for _, location in sorted(found, key=lambda pair: int(pair[0])) if location.strip()]


def _read_xspf(data: bytes, path: Path) -> list[Entry]:
    tracks = _XspfTracks(path)
    parser = expat.ParserCreate("utf-8")  # without namespaces: players leave them out, or write others
    parser.buffer_text = True
    parser.StartElementHandler = tracks.start
    parser.EndElementHandler = tracks.end
    parser.CharacterDataHandler = tracks.text
    parser.StartDoctypeDeclHandler = tracks.refuse_doctype
    try:
        parser.Parse(_xml_text(data, path).lstrip().encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise DataError(f"it is no XML: {error}", where=str(path), allowed="XSPF") from error
    return tracks.entries


def _xml_text(data: bytes, path: Path) -> str:
    declared = _XML_ENCODING.match(data[:1000])
    encoding = declared[1].decode("latin-1").lower() if declared else "utf-8"
    if encoding.startswith(("utf-8", "utf8", "utf-16", "utf16", "ucs")):  # bytes that ASCII can read are no UTF-16
        return _text(data, path)
    try:
        codec = codecs.lookup(encoding).name.replace("_", "-")
        if codec in _NO_CHARSETS:
            raise LookupError(encoding)
        text = data.decode(codec)
    except (LookupError, ValueError) as error:  # UnicodeError is a ValueError
        raise DataError(
            f"its encoding {encoding[:40]!r} is unknown, or it is not encoded so", where=str(path)
        ) from error
    if "\x00" in text:
        raise DataError("it is no text", where=str(path), allowed="XSPF")
    return text


class _XspfTracks:
    """The tracks of an XSPF file, by local names, with ``xml:base`` of every element around a location."""

    def __init__(self, path: Path) -> None:
        self.entries: list[Entry] = []
        self._path = path
        self._bases = [""]
        self._locations: list[str] | None = None
        self._written: list[str] | None = None

    def refuse_doctype(self, *_: object) -> None:
        """Refuse the way to make a parser swell, or read other files."""
        raise DataError("it declares a document type", where=str(self._path), allowed="plain XSPF")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._bases.append(_joined(self._bases[-1], attributes.get("xml:base", "").strip()))
        if _local(name) == "track":
            self._locations = []
        elif _local(name) == "location" and self._locations is not None:
            self._written = []

    def text(self, text: str) -> None:
        if self._written is not None:
            self._written.append(text)

    def end(self, name: str) -> None:
        base = self._bases.pop()
        if _local(name) == "location" and self._written is not None and self._locations is not None:
            written = "".join(self._written).strip()
            if written:
                self._locations += [_joined(base, written), written] if base else [written]
            self._written = None
        elif _local(name) == "track" and self._locations is not None:
            if self._locations:
                self.entries.append(Entry(tuple(dict.fromkeys(self._locations)), is_url=True))
            self._locations = None


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()


def _joined(base: str, address: str) -> str:
    """Return an address that starts from another, if it is a relative one."""
    if not base or not address or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|[/\\]", address):
        return address or base
    return base[: base.rfind("/") + 1] + address


PLAYLIST_READERS: dict[str, Callable[[bytes, Path], list[Entry]]] = {
    ".m3u": _read_m3u,
    ".m3u8": _read_m3u,
    ".pls": _read_pls,
    ".xspf": _read_xspf,
}
