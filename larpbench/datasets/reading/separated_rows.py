"""The rows of a text with separated columns, and which of them cannot be read.

Sound text is checked as one array and goes to polars as it is. Only a text with a fault is looked at row by row, so
that what is wrong can be named and what is sound is still read.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.datasets.reading.bad_rows import BadRow
from larpbench.datasets.reading.text_encodings import PlainText
from larpbench.table_files import read_csv

SEPARATORS = {b",": "commas", b"\t": "tabs", b";": "semicolons", b"|": "vertical bars"}
_QUOTE, _LINE_FEED = b'"'[0], b"\n"[0]
_UNCLOSED = "a quote that is not closed on its line"
_ODD_QUOTE = "a quote that is not closed, or is followed by text"


@dataclass(frozen=True)
class Header:
    """The first row of a text.

    Attributes:
        separator: The character between columns.
        names: What the columns are called.
        size: Bytes up to the first row below.
        spaced: Whether a space follows each separator, which is then part of no cell.
    """

    separator: bytes
    names: list[str]
    size: int
    spaced: bool


@dataclass(frozen=True)
class SeparatedRows:
    """The rows below a header.

    Attributes:
        frame: Text columns ``"0"``, ``"1"``, ..: those that were wanted, by their place in the file.
        lines: (rows,) int64, the line on which each begins; the file's first line is 1.
        bad: Rows that could not be read.
    """

    frame: pl.DataFrame
    lines: np.ndarray
    bad: list[BadRow]


def headers_of(text: PlainText) -> list[Header]:
    """Return the header of a text for each character that may separate its columns."""
    chosen = re.match(rb'"?sep=([,\t;|])"?\n', text.data)  # how Excel is told
    begin = chosen.end() if chosen else 0
    separators = [chosen[1]] if chosen else list(SEPARATORS)
    return [_header(text.data, begin, separator) for separator in separators]


def _header(data: bytes, begin: int, separator: bytes) -> Header:
    fields, end = _fields_from(data, begin, _cell(separator))
    spaced = len(fields) > 1 and all(field.startswith(b" ") for field in fields[1:])
    if spaced:
        fields, end = _fields_from(data, begin, _cell(separator, spaced))
    names = [_content(field).decode(errors="replace").strip("\ufeff \xa0") for field in fields]
    return Header(separator, names, end, spaced)


def rows_of(text: PlainText, header: Header, wanted: list[int]) -> SeparatedRows:
    """Return the rows below a header.

    Args:
        text: The whole text.
        header: As `headers_of` has found it.
        wanted: Numbers of the columns to return.
    """
    data = text.data[header.size :]
    first_line = text.data.count(b"\n", 0, header.size) + 1
    fields = len(header.names)
    lines = None if text.damaged or header.spaced else _lines_of_sound_rows(data, header.separator, fields)
    bad: list[BadRow] = []
    if lines is None:
        data, lines, bad = _sound_rows(data, header)
    names = [str(number) for number in wanted]
    if not len(lines):
        return SeparatedRows(pl.DataFrame(schema=dict.fromkeys(names, pl.String)), lines, _on_lines(bad, first_line))
    frame = read_csv(
        data,
        separator=header.separator.decode(),
        has_header=False,
        schema={str(number): pl.String for number in range(fields)},
        columns=sorted(wanted),
    ).select(names)
    if frame.height != len(lines):
        raise pl.exceptions.ComputeError(f"{len(lines)} rows were expected and {frame.height} were read")
    return SeparatedRows(frame, lines + first_line, _on_lines(bad, first_line))


def _on_lines(bad: list[BadRow], first_line: int) -> list[BadRow]:
    return [BadRow(row.place + first_line, row.column, row.fault, row.content) for row in bad]


def _lines_of_sound_rows(data: bytes, separator: bytes, fields: int) -> np.ndarray | None:
    """Return on which line each row begins, from 0; None if some row is empty, ragged or oddly quoted."""
    if not data:
        return np.empty(0, dtype=np.int64)
    characters = np.frombuffer(data, np.uint8)
    line_ends, separators, quotes = (np.flatnonzero(characters == each) for each in (_LINE_FEED, separator[0], _QUOTE))
    row_ends, between = line_ends, separators
    if len(quotes):
        if not _well_quoted(characters, quotes, separator[0]):
            return None
        row_ends, between = (each[np.searchsorted(quotes, each) % 2 == 0] for each in (line_ends, separators))
    if not len(row_ends) or row_ends[-1] != len(data) - 1:
        return None
    starts = np.concatenate([[0], row_ends[:-1] + 1])
    counts = np.diff(np.searchsorted(between, row_ends), prepend=0)
    if (counts != fields - 1).any() or (row_ends - starts == counts).any():  # no longer than its separators: empty
        return None
    if len(row_ends) < len(line_ends):
        whole = np.cumsum(np.diff(np.searchsorted(separators, line_ends), prepend=0) == fields - 1)
        last = np.searchsorted(line_ends, row_ends)
        lines, alike = np.diff(last, prepend=-1), np.diff(whole[last], prepend=0)
        if ((lines > 1) & (2 * alike > lines)).any():
            return None
    return np.searchsorted(line_ends, starts)


def _well_quoted(characters: np.ndarray, quotes: np.ndarray, separator: int) -> bool:
    """Return whether quotes open and close whole cells only, or are doubled within one."""
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before = np.where(opening > 0, characters[opening - 1], _LINE_FEED)
    around = (before, characters[closing + 1])  # the text ends with a line feed, so that there is a next one
    return all(np.isin(each, (separator, _LINE_FEED, _QUOTE)).all() for each in around)


def _sound_rows(data: bytes, header: Header) -> tuple[bytes, np.ndarray, list[BadRow]]:
    """Return the rows that can be read, on which line each begins, from 0, and the rows that cannot."""
    separator, fields, cell = header.separator, len(header.names), _cell(header.separator, header.spaced)
    sound: list[bytes] = []
    lines: list[int] = []
    bad: list[BadRow] = []
    start = line = 0
    while start < len(data):
        end = data.index(b"\n", start)
        row, fault = data[start:end], None
        empty = not row.replace(separator, b"").strip()
        if b'"' in row or (header.spaced and not empty):
            quoted = _quoted_row(data, start, separator, fields, cell)
            if not isinstance(quoted, str):
                row, end = quoted
            elif separator == b"\t" and row.count(separator) == fields - 1:  # few who write tabs write quotes
                row = separator.join(b'"' + each.replace(b'"', b'""') + b'"' for each in row.split(separator))
            else:
                fault = quoted
        elif row.count(separator) + 1 != fields and not empty:
            fault = _ragged(row.count(separator) + 1, fields)
        if fault is None and not _is_utf8(row):
            fault = "bytes that are not UTF-8"
        if fault is not None:
            bad.append(BadRow(line, None, fault, row.decode(errors="backslashreplace")))
        elif not empty:
            sound.append(row)
            lines.append(line)
        line += data.count(b"\n", start, end + 1)
        start = end + 1
    return b"".join(row + b"\n" for row in sound), np.array(lines, dtype=np.int64), bad


def _quoted_row(
    data: bytes, start: int, separator: bytes, fields: int, cell: re.Pattern[bytes]
) -> tuple[bytes, int] | str:
    """Return the row that begins there, with its quotes in order, and where it ends; or what is wrong with it.

    Where a quote is not closed, the next quote of the file seems to close it, and all rows between seem to be one cell.
    Such a cell is told from a text of several lines by its lines, most of which are whole rows by themselves.
    """
    found, end = _fields_from(data, start, cell)
    if not found:
        return _ODD_QUOTE
    parts = data[start : end - 1].split(b"\n")
    if len(parts) > 1 and 2 * sum(part.count(separator) == fields - 1 for part in parts) > len(parts):
        return _UNCLOSED
    if len(found) != fields:
        return _ragged(len(found), fields)
    return separator.join(map(_requoted, found)), end - 1


def _ragged(found: int, fields: int) -> str:
    return f"{found} fields instead of {fields}"


@functools.cache
def _cell(separator: bytes, spaced: bool = False) -> re.Pattern[bytes]:
    """Return the pattern of one cell and what ends it. A quote within a cell that does not begin with one is text."""
    begin, end = rb" *" if spaced else b"", re.escape(separator)
    return re.compile(begin + rb'("[^"]*+(?:""[^"]*+)*+"|(?!")[^\n' + end + rb"]*)(" + end + rb"|\n)")


def _fields_from(data: bytes, start: int, cell: re.Pattern[bytes]) -> tuple[list[bytes], int]:
    """Return the cells of the row that begins there, as they are written, and where the next one begins.

    There are none if the row's quotes are not in order.
    """
    found: list[bytes] = []
    at = start
    while match := cell.match(data, at):
        found.append(match[1])
        at = match.end()
        if match[2] == b"\n":
            return found, at
    return [], data.find(b"\n", start) + 1


def _content(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def _requoted(field: bytes) -> bytes:
    quoted = field.startswith(b'"') or b'"' not in field
    return field if quoted else b'"' + field.replace(b'"', b'""') + b'"'


def _is_utf8(row: bytes) -> bool:
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True
