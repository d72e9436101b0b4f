"""Titles, artists and the like of Music4All's base collection: ``id_information.csv`` and others, separated by tabs."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from larpbench.errors import DataError, clipped
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, read_csv

INFORMATION = "id_information.csv"
_METADATA = "id_metadata.csv"
_LISTS = {"id_genres.csv": "genres", "id_lang.csv": "lang"}
_NUMBERS = {"release": pl.Int64, "popularity": pl.Float64, "tempo": pl.Float64, "duration_ms": pl.Float64}
FILES = (INFORMATION, _METADATA, *_LISTS)


def read_texts(folder: Path, track_ids: pl.Series) -> pl.DataFrame:
    """Return the tracks with what the base collection says of them; without it, with empty texts.

    Args:
        folder: Where its files may lie.
        track_ids: The tracks.

    Returns:
        ``track_id``, ``title``, ``artist``, ``album``; with ``id_metadata.csv`` also ``release`` (a year),
        ``popularity``, ``tempo``, ``duration_s``; with ``id_genres.csv`` and ``id_lang.csv`` ``genres`` and ``lang``.

    Raises:
        DataError: If a file has other columns.
    """
    tracks = pl.DataFrame({"track_id": track_ids})
    information = _table(folder / INFORMATION, ("artist", "song", "album_name"))
    if information is None:
        tracks = tracks.with_columns(pl.lit("").alias(name) for name in ("title", "artist", "album"))
    else:
        names = {"song": "title", "album_name": "album"}
        tracks = tracks.join(information.rename(names), on="track_id", how="left", maintain_order="left")
    metadata = _table(folder / _METADATA, tuple(_NUMBERS))
    if metadata is not None:
        numbers = metadata.select(
            "track_id", *(pl.col(name).cast(pl.Float64, strict=False).cast(kind) for name, kind in _NUMBERS.items())
        ).with_columns(duration_s=pl.col("duration_ms") / 1000)
        tracks = tracks.join(numbers.drop("duration_ms"), on="track_id", how="left", maintain_order="left")
    for file, column in _LISTS.items():
        listed = _table(folder / file, (column,))
        if listed is not None:
            values = listed.with_columns(pl.col(column).str.split(",").list.eval(pl.element().str.strip_chars()))
            tracks = tracks.join(values, on="track_id", how="left", maintain_order="left")
    return tracks


def _table(path: Path, columns: tuple[str, ...]) -> pl.DataFrame | None:
    """Return ``track_id`` and some columns, as text; the first row of each id. None if there is no such file."""
    if not path.is_file():
        return None
    try:
        with storage_errors(path, "read"):
            found = read_csv(path, separator="\t", quote_char=None, infer_schema=False, encoding="utf8-lossy")
    except TABLE_ERRORS as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"the table cannot be read: {clipped(first)}", where=str(path)) from error
    found = found.rename({found.columns[0]: found.columns[0].removeprefix("\ufeff")})
    if missing := [name for name in ("id", *columns) if name not in found.columns]:
        raise DataError(
            f"the table lacks the columns {', '.join(missing)}: it has {clipped(', '.join(found.columns))}",
            where=str(path),
            allowed=f"separated by tabs, in spite of its name: id, {', '.join(columns)}",
        )
    wanted = found.select(pl.col("id").alias("track_id"), *columns).drop_nulls("track_id")
    return wanted.unique("track_id", keep="first", maintain_order=True)
