"""The tables of a ``listeners`` data set: the same as of playlists, and how often and since when a track is played."""

from __future__ import annotations

import polars as pl

from larpbench.datasets.schema import SPLITS

LISTENERS = "listeners"
"""The kind, in the manifest: train, valid and test share no track, and their playlists are the same listeners."""
LISTENS = "listens.parquet"
"""Counts and first times of the entries; a data set without them has no such file."""
COUNT, FIRST_TIME = "count", "first_time"
LISTEN_COLUMNS: dict[str, type[pl.DataType]] = {
    "playlist_id": pl.String,
    "track_id": pl.String,
    COUNT: pl.UInt32,
    FIRST_TIME: pl.Int64,
}
"""One row an entry, sorted by ``playlist_id`` and ``track_id``; ``first_time`` in seconds."""


def without_profile(entries: pl.DataFrame) -> pl.DataFrame:
    """Return the listeners with a track of valid or test and none of train, whom no score can count.

    Args:
        entries: All entries of whole listeners, columns ``playlist_id`` and ``split``.

    Returns:
        Columns ``playlist_id``, ``split`` (valid or test), one row each.
    """
    train = entries.filter(pl.col("split") == SPLITS[0]).select("playlist_id")
    others = entries.filter(pl.col("split") != SPLITS[0]).select("playlist_id", "split")
    return others.join(train, on="playlist_id", how="anti").unique()
