"""What a data set holds, as the first table of a paper would say it."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl

from larpbench.datasets.schema import SPLITS, Dataset

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def split_sizes(dataset: Dataset) -> pl.DataFrame:
    """Return one row a split: sizes, mean length, mean popularity, quartiles of the playlist length.

    Returns:
        Columns ``split``, ``tracks``, ``artists``, ``playlists``, ``entries``, ``tracks_per_playlist`` and
        ``playlists_per_track`` (means), ``length_min``, ``length_25``, ``length_50``, ``length_75``, ``length_max``.
    """
    rows = []
    for name in SPLITS:
        split = dataset.split(name)
        lengths = split.interactions().lengths
        tracks, playlists, entries = split.tracks.height, len(lengths), int(lengths.sum())
        low, *middle, high = np.quantile(lengths, _QUANTILES).tolist() if playlists else [float("nan")] * 5
        rows.append(
            {
                "split": name,
                "tracks": tracks,
                "artists": split.tracks.filter(pl.col("artist") != "")["artist"].n_unique(),
                "playlists": playlists,
                "entries": entries,
                "tracks_per_playlist": entries / playlists if playlists else float("nan"),
                "playlists_per_track": entries / tracks if tracks else float("nan"),
                "length_min": low,
                **dict(zip(("length_25", "length_50", "length_75"), middle, strict=True)),
                "length_max": high,
            }
        )
    return pl.DataFrame(rows)


def length_histogram(dataset: Dataset) -> pl.DataFrame:
    """Return how many playlists of each split have 1, 2 to 4, 5 to 9, 10 to 19, ... tracks."""
    edges = [1, 2, 5, 10, 20, 50, 100, 200, 500]
    labels = [str(low) if high - low == 1 else f"{low}-{high - 1}" for low, high in itertools.pairwise(edges)]
    columns: dict[str, list[int] | list[str]] = {"tracks": [*labels, f"{edges[-1]}+"]}
    for name in SPLITS:
        lengths = dataset.split(name).interactions().lengths
        columns[name] = np.histogram(lengths, bins=[*edges, np.inf])[0].tolist()
    return pl.DataFrame(columns)
