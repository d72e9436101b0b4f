"""Text files as people's programs write them: other encodings, other line ends, compressed by gzip."""

from __future__ import annotations

import gzip
import re
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from dataclasses import dataclass

from larpbench.errors import DataError

_GZIP = b"\x1f\x8b"
_CHANCE_UTF8 = 0.1
_MARKS = {  # UTF-32 first: its mark begins like that of UTF-16
    BOM_UTF32_LE: "UTF-32",
    BOM_UTF32_BE: "UTF-32",
    BOM_UTF16_LE: "UTF-16",
    BOM_UTF16_BE: "UTF-16",
}
_NO_TABLE = {
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"ARROW1": "an Arrow file",
}


@dataclass(frozen=True)
class PlainText:
    """A text in UTF-8 with line feeds.

    Attributes:
        data: The text; each line ends with a line feed. Where `damaged`, some lines are not UTF-8.
        encoding: What the file was written in.
        damaged: Whether single lines of a file in UTF-8 are not UTF-8.
    """

    data: bytes
    encoding: str
    damaged: bool = False


def plain_text(raw: bytes, where: str) -> PlainText:
    """Return the text of a file in UTF-8, UTF-16 or UTF-32 with a byte order mark, else in Windows-1252 or Latin-1.

    A file in UTF-8 may have damaged lines. Text in another encoding is hardly ever UTF-8 by chance, so that a tenth of
    the lines with characters beyond ASCII is enough to tell.

    Args:
        raw: The bytes of the file, which gzip may have compressed.
        where: The file, for messages.

    Raises:
        DataError: If it is no text.
    """
    for mark, kind in _NO_TABLE.items():
        if raw.startswith(mark):
            raise DataError(f"the file is {kind}", where=where, allowed="CSV or Parquet, or CSV compressed by gzip")
    if raw.startswith(_GZIP):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"the compressed file is damaged: {error}", where=where) from error
    text = _in_utf8(raw, where)
    data = re.sub(rb"\r+\n", b"\n", text.data) if b"\r" in text.data else text.data
    if _first_line_end(data) == b"\r":
        data = data.replace(b"\r", b"\n")
    return PlainText(data.rstrip(b"\n") + b"\n", text.encoding, text.damaged)


def _in_utf8(raw: bytes, where: str) -> PlainText:
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    if encoding is None and raw[1:2] == raw[3:4] == b"\0":
        encoding = "UTF-16-LE"
    elif encoding is None and raw[:1] == raw[2:3] == b"\0":
        encoding = "UTF-16-BE"
    if encoding is not None:
        try:
            return PlainText(raw.decode(encoding).encode(), encoding)
        except UnicodeError as error:
            raise DataError(f"the file cannot be read as {encoding}: {error}", where=where) from error
    raw = raw.removeprefix(BOM_UTF8)
    if _decodes(raw, "utf-8"):
        return PlainText(raw, "UTF-8")
    beyond_ascii = [line for line in re.split(rb"[\r\n]+", raw) if not line.isascii()]
    good = sum(_decodes(line, "utf-8") for line in beyond_ascii)
    if good > _CHANCE_UTF8 * len(beyond_ascii):
        return PlainText(raw, "UTF-8", damaged=True)
    encoding = "Windows-1252" if _decodes(raw, "cp1252") else "Latin-1"
    return PlainText(raw.decode("cp1252" if encoding == "Windows-1252" else "latin-1").encode(), encoding)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _first_line_end(data: bytes) -> bytes:
    """Return the character that ends the first line: line ends within quotes end no line."""
    found = re.match(rb'(?:[^"\r\n]++|"[^"]*+")*+([\r\n])', data)
    return found[1] if found else b""
