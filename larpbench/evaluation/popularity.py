"""How often a tested track is in playlists: what slices and the metrics beyond accuracy call its popularity."""

from __future__ import annotations

import numpy as np
import polars as pl

from larpbench.datasets.schema import Dataset, SplitName


def track_popularity(dataset: Dataset) -> np.ndarray:
    """Return the number of playlists that hold each test track, seed or held out.

    The playlists are those of train if any test track is in one. In a cold-start data set none is, and the test
    playlists are counted: that number is known to the evaluation only, never to an encoder or a recommender.

    Returns:
        (n,) int64, in the order of ``dataset.split("test").track_ids``.
    """
    return _count(dataset, popularity_split(dataset))


def popularity_split(dataset: Dataset) -> SplitName:
    """Return the split whose playlists `track_popularity` counts: ``train`` if any test track is in one of them."""
    return "train" if _count(dataset, "train").any() else "test"


def _count(dataset: Dataset, split: SplitName) -> np.ndarray:
    tracks = dataset.split("test").tracks.select("track_id")
    entries = dataset.playlists.filter(pl.col("split") == split).select("playlist_id", "track_id")
    held = entries.join(tracks, on="track_id", how="semi").unique()  # few of those of train, if any
    counts = held.group_by("track_id").len()
    return (
        tracks.join(counts, on="track_id", how="left", maintain_order="left")["len"]
        .fill_null(0)
        .to_numpy()
        .astype(np.int64)
    )
