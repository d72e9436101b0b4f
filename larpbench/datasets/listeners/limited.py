"""A small part of a data set of listeners, for a smoke run: the first listeners, and their tracks."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from larpbench.datasets.listeners.table import without_profile
from larpbench.datasets.schema import SPLITS, Dataset
from larpbench.datasets.splits.rules import uniforms


def first_listeners(dataset: Dataset, limit: int) -> Dataset:
    """Return a data set with at most `limit` tested listeners a split, and only the tracks that listeners hold.

    Listeners are taken in an order drawn by sha256 of the split seed and their ids, so that those of a smaller limit
    are among those of a larger one. In valid and test only listeners with a profile are taken; train holds the profiles
    of all who are taken, and of the first `limit` of its own. The manifest stays as it was built.

    Args:
        dataset: The data set; it is not changed.
        limit: Largest number of listeners, 1 or more.
    """
    entries = dataset.playlists
    without = without_profile(entries)
    held = entries.select("split", "playlist_id").unique().join(without, on=["split", "playlist_id"], how="anti")
    draws = uniforms(dataset.manifest.split.seed, "limit", names=held["playlist_id"])
    ordered = held.with_columns(pl.Series("draw", draws, dtype=pl.Float64)).sort("split", "draw", "playlist_id")
    first = ordered.filter(pl.int_range(pl.len()).over("split") < limit).select("split", "playlist_id")
    in_train = first.select("playlist_id").unique().with_columns(split=pl.lit(SPLITS[0])).select("split", "playlist_id")
    chosen = entries.join(pl.concat([first, in_train]).unique(), on=["split", "playlist_id"], how="semi")
    chosen = chosen.sort("playlist_id", "track_id")
    tracks = dataset.tracks.join(chosen, on="track_id", how="semi", maintain_order="left")
    return replace(dataset, tracks=tracks, playlists=chosen)
