"""Data sets out of two tables that somebody has already: CSV or Parquet."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError
from larpbench.storage import storage_errors

_TRACK_COLUMNS = ("track_id", "title", "artist", "album")
_PLAYLIST_COLUMNS = ("playlist_id", "track_id")


def build_csv(tracks: Path, playlists: Path, options: BuildOptions, output: Path) -> Dataset:
    """Build a data set from a table of tracks and a table of playlists.

    Args:
        tracks: CSV or Parquet with ``track_id,title,artist,album[,split]``; further columns are ignored.
        playlists: CSV or Parquet with ``playlist_id,track_id[,split,role]``.
        options: How to split and caption.
        output: Folder to write.

    Raises:
        DataError: If a file cannot be read, lacks a column, or contradicts itself.
    """
    return assemble(
        _read(tracks, _TRACK_COLUMNS, ("split",)),
        _read(playlists, _PLAYLIST_COLUMNS, ("split", "role")),
        options,
        output,
    )


def _read(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with storage_errors(path, "read"):
        try:
            # Everything is text: an id 007 must not become the number 7.
            frame = pl.read_parquet(path) if _is_parquet(path) else pl.read_csv(path, infer_schema=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            reason = str(error).splitlines()[0] or type(error).__name__
            raise DataError(
                f"the file cannot be read: {reason}", where=str(path), allowed="CSV in UTF-8 with a header, or Parquet"
            ) from error
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"the table lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            where=f"{path} (has {', '.join(frame.columns)})",
            allowed=f"{','.join(required)}[,{','.join(optional)}]",
            next_step="add it, empty if nothing is known" if "track_id" not in missing else None,
        )
    chosen = [*required, *(name for name in optional if name in frame.columns)]
    return frame.select(pl.col(chosen).cast(pl.String))


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"
