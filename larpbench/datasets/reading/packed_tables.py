"""Tab-separated tables of up to billions of rows, packed or not: found by name, read in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.datasets.reading.packed_streams import UNPACKING_ERRORS, Readable, unpacked
from larpbench.errors import DataError, clipped, named, printable
from larpbench.storage import storage_errors
from larpbench.table_files import read_csv

CHUNK_BYTES = 16 * 2**20  # larger ones are new memory each time, which costs as much as parsing
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 20
_MB = 10**6
_PACKINGS = (".bz2", ".gz")
NUMBER = re.compile(r"-?\d+")
TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d.*|-?\d+(\.\d*)?([eE]\+?\d+)?")
ANYTHING = re.compile(r".*")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: What it is called here.
        looks: What its cells look like.
        also: What it is called in other copies.
        wanted: Whether it is read.
    """

    name: str
    looks: re.Pattern[str] = NUMBER
    also: tuple[str, ...] = ()
    wanted: bool = True

    @property
    def dtype(self) -> pl.DataType:
        """What it is read as."""
        return pl.Int64() if self.looks is NUMBER else pl.String()


@dataclass(frozen=True)
class Layout:
    """A kind of table.

    Attributes:
        file: What the file is called, without ``.bz2`` or ``.gz``.
        columns: Its columns in the documented order.
    """

    file: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Table:
    """A file of which the columns are known.

    Attributes:
        path: The file.
        layout: Its kind.
        places: Wanted column -> place in a row.
        width: Number of columns.
        header: Whether the first row names the columns.
    """

    path: Path
    layout: Layout
    places: dict[str, int]
    width: int
    header: bool

    def chunks(self) -> Iterator[pl.DataFrame]:
        """Yield the wanted columns, some hundred thousand rows at a time; a cell that makes no sense is null.

        The first piece is empty: there is always one.

        Raises:
            DataError: If the file is damaged or cut off.
        """
        dtypes = {column.name: column.dtype for column in self.layout.columns}
        at = {place: name for name, place in self.places.items()}
        schema = {
            at.get(place, f"column {place}"): dtypes.get(at.get(place, ""), pl.String()) for place in range(self.width)
        }
        yield pl.DataFrame(schema={name: dtypes[name] for name in self.places})
        with (
            progress.stage(f"read {self.path.name}", self.path.stat().st_size // _MB, "MB") as advance,
            storage_errors(self.path, "read"),
            unpacked(self.path) as stream,
        ):
            done, header = 0, self.header
            for piece in whole_lines(stream, self.path):
                text = piece.partition(b"\n")[2] if header else piece
                header = False
                if text.strip():
                    yield read_csv(
                        as_wide(text, self.width),
                        has_header=False,
                        separator="\t",
                        quote_char=None,
                        schema=schema,
                        columns=list(self.places.values()),
                        ignore_errors=True,
                        truncate_ragged_lines=True,
                        encoding="utf8-lossy",
                    ).select(list(self.places))
                advance(stream.position // _MB - done)
                done = stream.position // _MB


def as_wide(text: bytes, width: int) -> bytes:
    """Return rows of which the first has as many cells as the table: by it polars tells how many all have.

    Args:
        text: Rows, separated by tabs.
        width: Number of cells.
    """
    end = text.find(b"\n")
    first = text[:end] if end >= 0 else text
    cells = first.count(b"\t") + 1
    if cells == width:
        return text
    return b"\t".join([*first.split(b"\t")[:width], *[b""] * (width - cells)]) + text[len(first) :]


def find_table(folder: Path, *layouts: Layout) -> Table | None:
    """Return the first file of one of these kinds, None if there is none.

    It may be packed, as ``.bz2`` or ``.gz``; hyphens and underscores in its name count the same, and so do capitals; it
    lies in the folder or, if there is none, in a folder of it. Of one table packed in several ways that which was
    published is read: ``.bz2`` before ``.gz`` before the plain one, which may have been unpacked in part.

    Raises:
        DataError: If it has other columns, or several files may be it.
    """
    for layout in layouts:
        with storage_errors(folder, "read"):
            found = _files_called(folder, layout.file) or [
                path
                for inner in sorted(folder.iterdir())
                if inner.is_dir()
                for path in _files_called(inner, layout.file)
            ]
        if not found:
            continue
        if len({path.with_name(_without_packing(path.name)) for path in found}) > 1:
            raise DataError(
                f"{len(found)} files may be {layout.file}: "
                f"{named([path.relative_to(folder).as_posix() for path in found])}",
                where=str(folder),
                allowed="one file of the kind",
                next_step="take the others away, or give the folder of one copy",
            )
        chosen, *others = sorted(found, key=lambda path: [*_PACKINGS, ""].index(_packing(path.name)))
        if others:
            beside = ", ".join(printable(path.name) for path in others)
            progress.say(f"{chosen.name} is read, and not what lies beside it: {beside}")
        return _looked_at(chosen, layout)
    return None


def _files_called(folder: Path, name: str) -> list[Path]:
    wanted = _spelling(name)
    return sorted(
        path for path in folder.iterdir() if _spelling(_without_packing(path.name)) == wanted and path.is_file()
    )


def _spelling(name: str) -> str:
    return name.lower().replace("-", "_")


def _packing(name: str) -> str:
    return next((ending for ending in _PACKINGS if name.lower().endswith(ending)), "")


def _without_packing(name: str) -> str:
    return name[: len(name) - len(_packing(name))]


def _looked_at(path: Path, layout: Layout) -> Table:
    """Find out which column is which, and say so where it is not as documented."""
    with storage_errors(path, "read"), unpacked(path, whole=False) as stream:
        sample = next(whole_lines(stream, path, _SAMPLE_BYTES), b"")
    rows = [line.split("\t") for line in sample.decode("utf-8-sig", "replace").splitlines()[: _SAMPLE_ROWS + 1]]
    if not rows:
        raise _wrong(path, layout, "it is empty")
    documented = ", ".join(column.name for column in layout.columns)
    fields = [field.strip().lower().replace("-", "_") for field in rows[0]]
    known = {column: {column.name, *column.also} for column in layout.columns}
    header = any(name in names for name in fields for names in known.values())
    if not header:
        places = list(range(len(layout.columns)))
        if not all(_fits(row, layout) for row in rows[:_SAMPLE_ROWS]):
            raise _wrong(path, layout, f"it has no header row, and begins with {clipped(str(rows[0]))}")
        progress.say(f"{path.name}: no header row; the columns are taken to be {documented}")
    else:
        found = {
            column: [place for place, name in enumerate(fields) if name in names] for column, names in known.items()
        }
        missing = [column.name for column, at in found.items() if column.wanted and not at]
        if missing:
            raise _wrong(path, layout, f"it lacks {', '.join(missing)}: its header is {clipped(', '.join(fields))}")
        places = [at[0] if at else -1 for at in found.values()]
        if places != sorted(places):
            order = clipped(printable(", ".join(fields)))
            progress.say(f"{path.name}: the columns are in another order than documented: {order}")
    wanted = {column.name: place for column, place in zip(layout.columns, places, strict=True) if column.wanted}
    return Table(path, layout, wanted, len(rows[0]), header)


def _fits(row: list[str], layout: Layout) -> bool:
    if len(row) != len(layout.columns):
        return False
    return all(column.looks.fullmatch(cell.strip()) for column, cell in zip(layout.columns, row, strict=True))


def _wrong(path: Path, layout: Layout, reason: str) -> DataError:
    return DataError(
        f"the table has other columns: {reason}",
        where=str(path),
        allowed=f"tab-separated {', '.join(column.name for column in layout.columns)}, in this order or with a header",
    )


def whole_lines(stream: Readable, path: Path, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the content in pieces that end where a line ends."""
    rest = b""
    while True:
        try:
            piece = stream.read(size)
        except UNPACKING_ERRORS as error:
            raise DataError(
                f"the file is damaged or cut off: {error}",
                where=str(path),
                next_step="get it anew, and compare its size",
            ) from error
        if not piece:
            break
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join((rest, memoryview(piece)[:end]))  # one copy
            rest = piece[end:]
        else:
            rest += piece
    if rest.strip():
        yield rest
