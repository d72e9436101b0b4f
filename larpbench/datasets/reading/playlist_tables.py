"""The two tables of a data set, tracks and playlists, out of the files that somebody has."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.datasets.columns import beside, constant_within
from larpbench.datasets.raw_dataset import clean_texts
from larpbench.datasets.reading.bad_rows import BadRow, BadRows
from larpbench.datasets.reading.column_names import ColumnNames, same_name
from larpbench.datasets.reading.text_tables import PLACE, TextTable, open_text_table, own_columns_of, tell_notes
from larpbench.datasets.schema import ROLES, SPLITS, TEXT_COLUMNS
from larpbench.datasets.track_ids import canonical_ids, plain_ids
from larpbench.errors import DataError, UsageError, clipped, named
from larpbench.storage import storage_errors

COLUMNS = ("playlist_id", "track_id", *TEXT_COLUMNS, "audio", "split", "role")
_LISTS = {"track_id": ("tracks", "trackids", "trackuris", "items")}
_SPLITS = {"val": "valid", "validation": "valid", "dev": "valid", "training": "train", "testing": "test"}
_TABLE = re.compile(r"(?i)\.(csv|tsv|parquet)(\.gz)?$")
_WORDS = {"split": SPLITS, "role": ROLES[1:]}
_FEW = 5


@dataclass(frozen=True)
class PlaylistTables:
    """What the files hold.

    Attributes:
        tracks: ``track_id``, ``title``, ``artist``, ``album``, and maybe ``audio`` and ``split``; exact duplicates are
            dropped. Then the table's own columns.
        entries: ``playlist_id``, ``track_id``, and maybe ``split`` and ``role``. Then the table's own columns.
        left_out: Reason -> number of rows that were left out.
    """

    tracks: pl.DataFrame
    entries: pl.DataFrame
    left_out: dict[str, int]


@dataclass
class _Table:
    """Rows of one table, which may be several files."""

    what: str
    frame: pl.DataFrame
    bad: BadRows
    respelt: int
    columns: set[tuple[str, str]]


def read_playlist_tables(
    tracks: Path | None,
    playlists: Path,
    *,
    audio: bool,
    columns: Mapping[str, str],
    max_bad_rows: float,
) -> PlaylistTables:
    """Read tracks and playlists.

    Args:
        tracks: Table with one row a track, or a folder of tables; None or the same as `playlists` if the playlists'
            table has one row an entry with title, artist and album.
        playlists: Table with one row an entry, or one row a playlist and lists of ids; or a folder of tables, in which
            a table without a ``playlist_id`` is one playlist, named by its file.
        audio: Whether the tracks' ``audio`` column counts.
        columns: Our name -> the user's name of a column, for either table.
        max_bad_rows: The largest share of bad rows that is left out of either table, from 0 up to below 1.

    Raises:
        DataError: If a file cannot be read, lacks a column, or has too many bad rows.
        UsageError: If the share is none, or `columns` names a column that no table has.
    """
    if not 0 <= max_bad_rows < 1:
        raise UsageError(f"the share of bad rows is {max_bad_rows}", allowed="0 <= share < 1, such as 0.01")
    optional = ("audio",) if audio else ()
    if tracks is None or _same(tracks, playlists):
        names = ColumnNames(
            columns, advice="add it, empty if nothing is known, or give the tracks' table with --tracks"
        )
        required = ("playlist_id", "track_id", *TEXT_COLUMNS)
        both = _read("the table", playlists, required, (*optional, "split", "role"), names)
        read = [both]
    else:
        names = ColumnNames(columns, others={"track_id": ("id",)})
        listed = _read("the tracks", tracks, ("track_id", *TEXT_COLUMNS), (*optional, "split"), names)
        names = ColumnNames(columns, lists=_LISTS)
        entries = _read("the playlists", playlists, ("playlist_id", "track_id"), ("split", "role"), names)
        read = [listed, entries]
    _require_used(columns, read)
    for table in read:
        table.bad.require_few(max_bad_rows)
    respelt = [f"{table.respelt} of {table.what}" for table in read if table.respelt]
    if respelt:
        progress.say(
            "ids have no spaces around them and one form of Unicode, and Spotify addresses are read as their 22 "
            f"characters: {', '.join(respelt)}"
        )
    left_out = {f"bad rows of {table.what}": table.bad.count for table in read if table.bad.count}
    if len(read) == 1:
        frame = both.frame
        texts = [name for name in (*TEXT_COLUMNS, *optional) if name in frame.columns]
        own, _ = constant_within(frame, "track_id", beside(frame, COLUMNS))
        found = _tracks_of_entries(frame.select("track_id", *texts)).join(own, on="track_id", maintain_order="left")
        return PlaylistTables(found, frame.drop(*texts, *own.drop("track_id").columns), left_out)
    unique = _unique_tracks(clean_texts(listed.frame))
    if unique.height < listed.frame.height:
        left_out["duplicate rows of the tracks"] = listed.frame.height - unique.height
    return PlaylistTables(unique, entries.frame, left_out)


def _unique_tracks(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that differ; of those that differ in the table's own columns only, the first."""
    unique = tracks.unique(maintain_order=True)
    own = beside(unique, COLUMNS)
    first = unique.unique([name for name in unique.columns if name not in own], keep="first", maintain_order=True)
    if first.height < unique.height:
        progress.say(f"{unique.height - first.height} rows of the tracks differ from another row of the same track in "
                     f"{', '.join(own)} only; the first row of each track is taken")  # fmt: skip
    return first


def _same(tracks: Path, playlists: Path) -> bool:
    return tracks.exists() and playlists.exists() and tracks.samefile(playlists)


def _read(what: str, path: Path, required: tuple[str, ...], optional: tuple[str, ...], names: ColumnNames) -> _Table:
    bad, frames, respelt = BadRows(what), [], 0
    opened = list(_open(path, required, optional, names))
    tell_notes(opened)
    for table in opened:
        bad.rows += table.rows
        bad.add(table.path.name, table.unit, table.bad)
        frame = table.frame
        ids = [canonical_ids(frame["track_id"])]
        if "playlist_id" in frame.columns:
            ids.append(plain_ids(frame["playlist_id"]))
        respelt += sum(int((each != frame[each.name]).sum()) for each in ids)
        frames.append(_without_faults(_words(frame.with_columns(ids)), table, bad).drop(PLACE))
    if not bad.rows:
        raise DataError(f"{what} have no rows" if what.endswith("s") else f"{what} has no rows", where=str(path))
    kept = [name for name in (*required, *optional) if any(name in frame.columns for frame in frames)]
    for table, frame in zip(opened, frames, strict=True):
        if missing := [name for name in kept if name not in frame.columns]:
            raise DataError(f"some tables have the column {missing[0]} and this one lacks it", where=str(table.path))
    columns = {pair for table in opened for pair in table.names.items()}
    known = pl.concat([frame.select(kept) for frame in frames])
    return _Table(what, known.hstack(own_columns_of(frames).get_columns()), bad, respelt, columns)


def _open(path: Path, required: tuple[str, ...], optional: tuple[str, ...], names: ColumnNames) -> Iterator[TextTable]:
    if not path.is_dir():
        yield open_text_table(path, required, optional, names, own=True)
        return
    with storage_errors(path, "read"):
        files = sorted(each for each in path.iterdir() if _TABLE.search(each.name) and not each.name.startswith("."))
    if not files:
        raise DataError(f"there are no tables in {path}", allowed="files that end in .csv, .tsv, .csv.gz or .parquet")
    if "playlist_id" not in required:
        yield from (open_text_table(file, required, optional, names, own=True) for file in files)
        return
    needed = tuple(name for name in required if name != "playlist_id")
    stems = Counter(_TABLE.sub("", file.name) for file in files)
    for file in files:
        table = open_text_table(file, needed, (*optional, "playlist_id"), names, own=True)
        if "playlist_id" not in table.frame.columns:
            stem = _TABLE.sub("", file.name)
            name = _file_name(stem if stems[stem] == 1 else file.name)
            table = replace(table, frame=table.frame.with_columns(pl.lit(name).alias("playlist_id")))
        yield table


def _file_name(name: str) -> str:
    """Return a file's name as text, which is the same on every system."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode(errors="replace"))


def _words(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table with splits and roles in one spelling."""
    plain = {
        "split": pl.col("split").str.strip_chars().str.to_lowercase().replace(_SPLITS),
        "role": pl.col("role").str.to_lowercase().str.replace_all(r"[\s_-]", ""),
    }
    return frame.with_columns(**{name: made for name, made in plain.items() if name in frame.columns})


def _without_faults(frame: pl.DataFrame, table: TextTable, bad: BadRows) -> pl.DataFrame:
    """Return the rows whose values can be used, and add the others to the bad ones."""
    for column, fault, wrong in _faults(frame.columns):
        rows = frame.filter(wrong)
        if rows.is_empty():
            continue
        first = rows.sort(PLACE).head(_FEW).select(PLACE, column).iter_rows()
        named_rows = [BadRow(place, column, *_worded(column, fault, value)) for place, value in first]
        bad.add(table.path.name, table.unit, named_rows, rows.height)
        frame = frame.filter(~wrong.fill_null(value=False))
    return frame


def _worded(column: str, fault: str, value: str | None) -> tuple[str, str]:
    """Return what is wrong with a value, in words, and the value where the words do not hold it."""
    if value is None:
        return f"empty {column}", ""
    if column in _WORDS:
        return f"{column} of {repr(clipped(value, 40))[1:-1]} (allowed: {', '.join(_WORDS[column])})", ""
    return fault, value


def _faults(columns: list[str]) -> Iterator[tuple[str, str, pl.Expr]]:
    """Return column, what is wrong with it, and which rows are."""
    for name in ("playlist_id", "track_id"):
        if name in columns:
            blank = pl.col(name).is_null() | (pl.col(name).str.strip_chars() == "")
            yield name, f"empty {name}", blank
            yield name, f"control characters in {name}", pl.col(name).str.contains(r"[\x00-\x1f\x7f]")
    if "audio" in columns:
        yield "audio", "a null character in audio", pl.col("audio").str.contains("\0", literal=True)
    in_playlists = "playlist_id" in columns
    if "split" in columns:
        unknown = ~pl.col("split").is_in(SPLITS)
        yield "split", "unknown split", unknown.fill_null(in_playlists)
    if "role" in columns:
        unknown = ~pl.col("role").is_in(ROLES)
        if "split" in columns:  # of train playlists, all tracks are members, whatever is written there
            unknown = (pl.col("split") != "train") & ~pl.col("role").is_in(ROLES[1:]).fill_null(value=False)
        yield "role", "unknown role", unknown.fill_null(value=False)


def _tracks_of_entries(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a track out of one row an entry: the texts that most of its rows have, the first of as many."""
    variants = clean_texts(rows).group_by(rows.columns, maintain_order=True).len("rows")
    tracks = variants.sort("rows", descending=True, maintain_order=True).unique("track_id", maintain_order=True)
    if tracks.height < variants.height:
        differing = variants.filter(pl.col("track_id").is_duplicated())["track_id"].unique(maintain_order=True)
        progress.say(
            f"{len(differing)} tracks have rows that differ in their texts, of which the most frequent "
            f"ones are taken: {named(differing)}"
        )
    return tracks.drop("rows")


def _require_used(columns: Mapping[str, str], read: list[_Table]) -> None:
    found = [pair for table in read for pair in table.columns]
    unused = [
        f"{ours}={theirs}"
        for ours, theirs in columns.items()
        if not any(ours == wanted and same_name(theirs, name) for wanted, name in found)
    ]
    if unused:
        raise UsageError(
            f"--columns names columns that no table has, or that are not read: {', '.join(unused)}",
            allowed="names of columns in the tables",
        )
