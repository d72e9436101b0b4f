"""A small part of a data set, for a smoke run: the first playlists of each split, and their tracks."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from larpbench.datasets.schema import Dataset
from larpbench.datasets.splits.rules import uniforms


def first_playlists(dataset: Dataset, limit: int) -> Dataset:
    """Return a data set with at most `limit` playlists a split, and only the tracks that these hold.

    Playlists are taken in an order drawn by sha256 of the split seed and their ids, so that those of a smaller limit
    are among those of a larger one. In valid and test only playlists with a seed and a held-out track are taken, since
    no other is counted. A split that has no more of them stays whole. The manifest stays as it was built.

    Args:
        dataset: The data set; it is not changed.
        limit: Largest number of playlists a split, 1 or more.
    """
    seed, heldout = ((pl.col("role") == role).any() for role in ("seed", "heldout"))
    playlists = (
        dataset.playlists.group_by("split", "playlist_id")
        .agg(counted=(seed & heldout) | (pl.col("split").first() == "train"))
        .filter("counted")
    )
    draws = uniforms(dataset.manifest.split.seed, "limit", names=playlists["playlist_id"])
    numbered = playlists.with_columns(pl.Series("draw", draws, dtype=pl.Float64)).sort("split", "draw", "playlist_id")
    chosen = numbered.filter(pl.int_range(pl.len()).over("split") < limit, pl.len().over("split") > limit)
    cut = pl.col("split").is_in(chosen["split"].unique().implode())
    entries = dataset.playlists.join(chosen, on=["split", "playlist_id"], how="semi")
    return replace(
        dataset,
        tracks=pl.concat(
            [dataset.tracks.filter(~cut), dataset.tracks.join(entries, on=["split", "track_id"], how="semi")]
        ).sort("track_id"),
        playlists=pl.concat([dataset.playlists.filter(~cut), entries]).sort("playlist_id", "track_id"),
    )
