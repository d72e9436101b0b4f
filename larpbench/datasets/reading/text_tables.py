"""Tables of text that people bring, as CSV or Parquet: the columns that are wanted, whatever the file calls them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.datasets.columns import as_kept, as_typed, is_kept, own_columns
from larpbench.datasets.reading.bad_rows import BadRow, BadRows
from larpbench.datasets.reading.column_names import ColumnNames
from larpbench.datasets.reading.column_text import as_text, lists_in_text
from larpbench.datasets.reading.separated_rows import SEPARATORS, headers_of, rows_of
from larpbench.datasets.reading.text_encodings import plain_text
from larpbench.errors import DataError, clipped, printable
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, parquet_schema, read_parquet

PLACE = "place"
OWN = "\x1f"
"""Before the names of a table's own columns in `TextTable.frame`: no other name begins so."""

_JSON = (".json", ".jsonl", ".ndjson")
_ALLOWED = "CSV with a header, or Parquet"


@dataclass(frozen=True)
class TextTable:
    """A table as it was read.

    Attributes:
        path: The file.
        frame: The wanted columns that are there, as text, and `PLACE`, each row's place in the file (Int64); then the
            table's own columns, if they are kept, see `OWN`: in Parquet as `larpbench.datasets.columns` has them, in
            other files as text.
        unit: What a place is: ``line`` or ``row``.
        names: Our name of each column -> that in the file.
        bad: Rows that could not be read.
        rows: How many rows the file has, with the bad ones.
        notes: What is worth knowing about how it was read.
    """

    path: Path
    frame: pl.DataFrame
    unit: str
    names: dict[str, str]
    bad: list[BadRow]
    rows: int
    notes: tuple[str, ...]


def read_text_table(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> pl.DataFrame:
    """Read a CSV or Parquet file as text, all rows of which can be read.

    Args:
        path: The file.
        required: Columns that must be there, by these or by the usual names.
        optional: Columns that are taken if they are there; all others are left out.

    Raises:
        DataError: If it or a row cannot be read, or it lacks a column.
    """
    table = open_text_table(path, required, optional, ColumnNames())
    tell_notes([table])
    bad = BadRows("the table", table.rows)
    bad.add(str(path), table.unit, table.bad)
    bad.require_few(0.0)
    return table.frame.drop(PLACE)


def open_text_table(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...], columns: ColumnNames, *, own: bool = False
) -> TextTable:
    """Read a CSV or Parquet file as text, with the rows of it that can be read.

    Args:
        path: The file. CSV may be separated by commas, tabs, semicolons or vertical bars, in UTF-8, UTF-16,
            Windows-1252 or Latin-1, and compressed by gzip.
        required: Columns that must be there.
        optional: Columns that are taken if they are there.
        columns: How columns are found. One that may hold lists has a row for each element.
        own: Whether the table's own columns are kept.

    Raises:
        DataError: If it cannot be read, lacks a column, or has one whose type has no one reading as text.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if path.suffix.lower() in _JSON:
        raise DataError(
            "tables are not read from JSON",
            where=str(path),
            allowed=_ALLOWED,
            next_step="write it as a table, for example with pandas or polars",
        )
    with storage_errors(path, "read"):
        try:
            table = (_read_parquet if _is_parquet(path) else _read_separated)(path, required, optional, columns, own)
        except TABLE_ERRORS as error:
            reason = clipped(str(error).splitlines()[0] if str(error) else type(error).__name__)
            raise DataError(f"the file cannot be read: {reason}", where=str(path), allowed=_ALLOWED) from error
    return table


def tell_notes(tables: list[TextTable]) -> None:
    """Say how tables were read, in one line for all that were read alike."""
    alike: dict[tuple[str, ...], list[Path]] = {}
    for table in tables:
        alike.setdefault(table.notes, []).append(table.path)
    for notes, paths in alike.items():
        if notes:
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            progress.say(printable(f"{paths[0].name}{more}: {'; '.join(notes)}"))


def _read_parquet(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...], columns: ColumnNames, own: bool
) -> TextTable:
    schema = parquet_schema(path)
    names = list(schema)
    found = columns.find(names, required, optional, str(path))
    further = own_columns(names, found.values()) if own else {}
    further = {name: number for name, number in further.items() if is_kept(schema[names[number]])}
    raw = read_parquet(path, [names[number] for number in dict.fromkeys([*found.values(), *further.values()])])
    cells = [raw[names[number]].alias(ours) for ours, number in found.items()]
    texts = [as_text(each, str(path), lists=each.name in columns.lists) for each in cells]
    notes = [
        f"{text.name} holds numbers of type {cell.dtype}, all whole, which are read as integers"
        for cell, text in zip(cells, texts, strict=True)
        if cell.dtype.is_float() and text.str.contains(r"^-?\d+$").all()
    ]
    frame = pl.DataFrame(texts).with_columns(pl.int_range(1, raw.height + 1, dtype=pl.Int64).alias(PLACE))
    kept = (as_kept(raw[names[number]].alias(OWN + name)) for name, number in further.items())
    frame = frame.with_columns(column for column in kept if column is not None)
    return _table(path, frame, "row", names, found, columns, [], raw.height, notes)


def _read_separated(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...], columns: ColumnNames, own: bool
) -> TextTable:
    text = plain_text(path.read_bytes(), str(path))
    headers = headers_of(text)

    def fit(names: list[str]) -> tuple[int, int]:
        return sum(bool(columns.candidates(each, names)) for each in required), len(names)

    header = max(headers, key=lambda each: fit(each.names))
    found = columns.find(header.names, required, optional, str(path))
    further = own_columns(header.names, found.values()) if own else {}
    rows = rows_of(text, header, list(dict.fromkeys([*found.values(), *further.values()])))
    notes = []
    if not text.encoding.startswith("UTF-8"):
        notes.append(f"the encoding is {text.encoding}")
    if header.separator != b",":
        notes.append(f"columns are separated by {SEPARATORS[header.separator]}")
    cells = {ours: rows.frame[str(number)].alias(ours) for ours, number in found.items()}
    for ours in {"artist", *columns.lists} & set(cells):
        cells[ours] = lists_in_text(cells[ours], str(path))
    texts = [as_text(each, str(path), lists=each.name in columns.lists) for each in cells.values()]
    own_texts = (rows.frame[str(number)].alias(OWN + name) for name, number in further.items())
    frame = pl.DataFrame(texts).with_columns(pl.Series(PLACE, rows.lines, dtype=pl.Int64), *own_texts)
    frame, headers_again = _without_headers(frame, {ours: header.names[number] for ours, number in found.items()})
    if headers_again:
        notes.append(f"the header stands {headers_again} times more among the rows, which is left out")
    return _table(path, frame, "line", header.names, found, columns, rows.bad, frame.height + len(rows.bad), notes)


def _without_headers(frame: pl.DataFrame, theirs: dict[str, str]) -> tuple[pl.DataFrame, int]:
    """Return a table without the headers of the files that it was joined from, and how many those were."""
    texts = [ours for ours in theirs if frame[ours].dtype == pl.String]
    again = pl.all_horizontal(pl.col(ours).str.strip_chars("\ufeff \xa0") == theirs[ours] for ours in texts)
    kept = frame.filter(~again.fill_null(value=False)) if texts else frame
    return kept, frame.height - kept.height


def _table(
    path: Path,
    frame: pl.DataFrame,
    unit: str,
    names: list[str],
    found: dict[str, int],
    columns: ColumnNames,
    bad: list[BadRow],
    rows: int,
    notes: list[str],
) -> TextTable:
    theirs = {ours: names[number] for ours, number in found.items()}
    renamed = [f"{ours} is {name!r}" for ours, name in theirs.items() if ours != name]
    notes = [", ".join(renamed), *notes] if renamed else notes
    for ours in columns.lists.keys() & theirs.keys():
        if isinstance(frame[ours].dtype, pl.List):
            frame = frame.explode(ours, empty_as_null=False, keep_nulls=False)
            frame = frame.with_columns(pl.when(pl.col(ours) != "").then(pl.col(ours)))
            notes.append(f"{ours} holds lists, each of which is a playlist")
            rows = frame.height + len(bad)
        elif columns.means_list(ours, theirs[ours]) and frame.height:
            raise DataError(
                f"the column {theirs[ours]!r} holds no lists",
                where=str(path),
                allowed=f"lists of ids, or a column {ours} with one id a row",
                next_step=f"if it holds ids: --columns {ours}={theirs[ours]}",
            )
    return TextTable(path, frame, unit, theirs, bad, rows, tuple(notes))


def own_columns_of(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the own columns of tables that are one below the other, under their own names.

    What files without types hold is read as what all of it can be read as, see `as_typed`, or as lists of text. A
    column that has several types is text; where a table lacks it, it is null.
    """
    names = dict.fromkeys(name for frame in frames for name in frame.columns if name.startswith(OWN))
    columns = []
    for name in names:
        parts = [
            frame[name] if name in frame.columns else pl.Series(name, [None] * frame.height, pl.String)
            for frame in frames
        ]
        kinds = {part.dtype for part in parts if part.null_count() < len(part)}
        kind = kinds.pop() if len(kinds) == 1 else pl.String()
        whole = pl.concat([_as(part, kind) for part in parts]).alias(name.removeprefix(OWN))
        columns.append(_typed(whole) if isinstance(kind, pl.String) else whole)
    return pl.DataFrame(columns)


def _as(part: pl.Series, kind: pl.DataType) -> pl.Series:
    if part.null_count() == len(part):
        return pl.Series(part.name, [None] * len(part), kind)
    if isinstance(part.dtype, pl.List) and isinstance(kind, pl.String):
        return part.list.join("; ")
    return part if part.dtype == kind else part.cast(pl.String)


def _typed(text: pl.Series) -> pl.Series:
    try:
        lists = lists_in_text(_without_blank(text), "")
    except DataError:  # some cell looks like a list, and is none
        return as_typed(text)
    kept = as_kept(lists) if isinstance(lists.dtype, pl.List) else None
    return as_typed(text) if kept is None else kept


def _without_blank(text: pl.Series) -> pl.Series:
    return pl.select(pl.when(text.str.strip_chars() != "").then(text).alias(text.name)).to_series()


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"
