"""What a result says of each held-out track: at which place of its playlist's list it stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.errors import DataError
from larpbench.results.store import playlists_path
from larpbench.table_files import TABLE_ERRORS, parquet_schema, read_parquet

HELDOUT = "heldout"


@dataclass(frozen=True)
class Answers:
    """The counted playlists of one result, their held-out tracks, and where these are in the ranked lists.

    Attributes:
        playlists: ``playlist_id`` (sorted), ``n_seeds``, ``n_candidates``: one row a playlist.
        entries: ``playlist`` (row of `playlists`), ``track_id``: one row a held-out track of a playlist.
        places: (entries,) int64 place in the playlist's list, from 0; -1 where the list does not hold the track.
    """

    playlists: pl.DataFrame
    entries: pl.DataFrame
    places: np.ndarray

    @property
    def of_playlist(self) -> np.ndarray:
        """(entries,) int64 row of the playlist of each held-out track."""
        return self.entries["playlist"].to_numpy()


def holds_answers(record: Path) -> bool:
    """Return whether a result says which tracks were held out; those of earlier versions do not.

    Raises:
        DataError: If its file is missing or damaged.
    """
    path = playlists_path(record)
    try:
        return HELDOUT in parquet_schema(path)
    except (OSError, *TABLE_ERRORS) as error:
        raise _unreadable(path, error) from error


def read_answers(record: Path, length: int) -> Answers:
    """Read the held-out tracks of a result, and where they are among the first of its lists.

    Args:
        record: Path of the record; its Parquet file lies beside it, and `holds_answers`.
        length: So many places of each list are looked at.

    Raises:
        DataError: If the file is missing or damaged.
    """
    path = playlists_path(record)
    try:
        query = next(iter(parquet_schema(path)))
        frame = read_parquet(path, [query, "n_seeds", "n_candidates", HELDOUT, "ranked"]).sort(query)
    except (OSError, *TABLE_ERRORS) as error:
        raise _unreadable(path, error) from error
    playlists = frame.select(pl.col(query).alias("playlist_id"), "n_seeds", "n_candidates")
    row = pl.int_range(pl.len(), dtype=pl.Int64).alias("playlist")
    entries = frame.select(row, pl.col(HELDOUT).alias("track_id")).explode("track_id")
    listed = frame.select(row, pl.col("ranked").list.head(length).alias("track_id"))
    listed = listed.explode("track_id", empty_as_null=False, keep_nulls=False)
    listed = listed.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64).over("playlist"))
    found = entries.join(listed, on=["playlist", "track_id"], how="left", maintain_order="left")
    return Answers(playlists, entries, found["place"].fill_null(-1).to_numpy())


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the playlists of a result cannot be read: {(str(error).splitlines() or [''])[0]}",
        where=str(path),
        next_step="delete the record beside it and run its cell anew",
    )
