"""LFM's files: tab-separated tables in bz2, of up to billions of rows; read in pieces and never unpacked to disk."""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from larpbench import progress
from larpbench.errors import DataError
from larpbench.storage import storage_errors
from larpbench.table_files import read_csv

CHUNK_BYTES = 32 * 2**20
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 20
_MB = 10**6
_NUMBER = re.compile(r"-?\d+")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d.*|\d+")
_URI = re.compile(r"(.*[:/])?[0-9A-Za-z]{22}")
_ANYTHING = re.compile(r".*")


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
    looks: re.Pattern[str] = _NUMBER
    also: tuple[str, ...] = ()
    wanted: bool = True

    @property
    def dtype(self) -> pl.DataType:
        """What it is read as."""
        return pl.Int64() if self.looks is _NUMBER else pl.String()


@dataclass(frozen=True)
class Layout:
    """A kind of table.

    Attributes:
        files: What the file is called, without ``.bz2``.
        columns: Its columns in the documented order.
    """

    files: tuple[str, ...]
    columns: tuple[Column, ...]


_USER, _TRACK = Column("user_id"), Column("track_id")
_ALBUM, _ARTIST = Column("album_id", wanted=False), Column("artist_id")
_WHEN = Column("timestamp", _TIME)
_TITLE = Column("title", _ANYTHING, ("track", "track_name"))
_ARTIST_NAME = Column("artist", _ANYTHING, ("artist_name",))

EVENTS = Layout(("listening-events.tsv",), (_USER, _TRACK, _ALBUM, _WHEN))
COUNTS = Layout(("listening-counts.tsv",), (_USER, _TRACK, Column("count", wanted=False)))
URIS = Layout(("spotify-uris.tsv",), (_TRACK, Column("uri", _URI, ("spotify_uri",))))
TRACKS = Layout(("tracks.tsv",), (_TRACK, _ARTIST_NAME, _TITLE))
EVENTS_1B = Layout(
    ("LFM-1b_LEs.txt",), (_USER, Column("artist_id", wanted=False), _ALBUM, _TRACK, Column("timestamp", _TIME))
)
TRACKS_1B = Layout(("LFM-1b_tracks.txt",), (_TRACK, _TITLE, _ARTIST))
ARTISTS_1B = Layout(("LFM-1b_artists.txt",), (_ARTIST, _ARTIST_NAME))


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
            self.path.open("rb") as raw,
        ):
            done, header = 0, self.header
            for piece in _whole_lines(_unpacked(raw, self.path), self.path):
                text = piece.partition(b"\n")[2] if header else piece
                header = False
                if text.strip():
                    yield read_csv(
                        text,
                        has_header=False,
                        separator="\t",
                        quote_char=None,
                        schema=schema,
                        columns=list(self.places.values()),
                        ignore_errors=True,
                        truncate_ragged_lines=True,
                        encoding="utf8-lossy",
                    ).select(list(self.places))
                advance(raw.tell() // _MB - done)
                done = raw.tell() // _MB


def find_table(folder: Path, *layouts: Layout) -> Table | None:
    """Return the first file of one of these kinds that is in the folder, None if there is none.

    Raises:
        DataError: If it has other columns.
    """
    for layout in layouts:
        for name in layout.files:
            for path in (folder / f"{name}.bz2", folder / name):
                if path.is_file():
                    return _looked_at(path, layout)
    return None


def _looked_at(path: Path, layout: Layout) -> Table:
    """Find out which column is which, and say so where it is not as documented."""
    with storage_errors(path, "read"), path.open("rb") as raw:
        sample = next(_whole_lines(_unpacked(raw, path), path, _SAMPLE_BYTES), b"")
    rows = [line.split("\t") for line in sample.decode("utf-8", "replace").splitlines()[: _SAMPLE_ROWS + 1]]
    if not rows:
        raise _wrong(path, layout, "it is empty")
    documented = ", ".join(column.name for column in layout.columns)
    named = [field.strip().lower().replace("-", "_") for field in rows[0]]
    known = {column: {column.name, *column.also} for column in layout.columns}
    header = any(name in names for name in named for names in known.values())
    if not header:
        places = list(range(len(layout.columns)))
        if not all(_fits(row, layout) for row in rows[:_SAMPLE_ROWS]):
            raise _wrong(path, layout, f"it has no header row, and begins with {rows[0]}")
        progress.say(f"{path.name}: no header row; the columns are taken to be {documented}")
    else:
        found = {
            column: [place for place, name in enumerate(named) if name in names] for column, names in known.items()
        }
        missing = [column.name for column, at in found.items() if column.wanted and not at]
        if missing:
            raise _wrong(path, layout, f"it lacks {', '.join(missing)}: its header is {', '.join(named)}")
        places = [at[0] if at else -1 for at in found.values()]
        if places != sorted(places):
            progress.say(f"{path.name}: the columns are in another order than documented: {', '.join(named)}")
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


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    return bz2.BZ2File(raw) if path.suffix == ".bz2" else raw


def _whole_lines(stream: IO[bytes], path: Path, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the content in pieces that end where a line ends."""
    rest = b""
    while True:
        try:
            piece = stream.read(size)
        except (EOFError, OSError, ValueError) as error:
            raise DataError(
                f"the file is damaged or cut off: {error}",
                where=str(path),
                next_step="get it anew, and compare its size",
            ) from error
        if not piece:
            break
        end = piece.rfind(b"\n") + 1
        if end:
            yield rest + piece[:end]
            rest = piece[end:]
        else:
            rest += piece
    if rest.strip():
        yield rest
