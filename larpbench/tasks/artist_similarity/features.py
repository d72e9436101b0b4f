"""Features of artists: the vectors of their songs, pooled and scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import ArtistGraph
from larpbench.datasets.schema import SPLITS, Dataset, SplitName
from larpbench.tasks.artist_similarity.settings import Scaling
from larpbench.vectors import Standardiser


def with_songs(dataset: Dataset, graph: ArtistGraph, most: int | None) -> Dataset:
    """Return the data set with the first songs of each artist only: the others need not be encoded.

    Args:
        dataset: The data set.
        graph: Its graph.
        most: How many songs an artist; None for all.
    """
    if most is None:
        return dataset
    songs = graph.songs.filter(pl.int_range(pl.len()).over("artist_id") < most)
    tracks = dataset.tracks.join(songs.select("track_id").unique(), on="track_id", how="semi").sort("track_id")
    return replace(dataset, tracks=tracks, graph=replace(graph, songs=songs))


def artist_features(
    dataset: Dataset, graph: ArtistGraph, embeddings: Mapping[SplitName, np.ndarray], scaling: Scaling
) -> np.ndarray:
    """Return one vector an artist: the mean over the songs, each column less its mean over its standard deviation.

    Column by column means block by block, too: of encoders that are joined with ``+`` each is scaled on its own.

    Args:
        dataset: The data set.
        graph: Its graph.
        embeddings: Split -> (songs, dim) float32, in the order of the split's tracks.
        scaling: ``train``: mean and deviation of the train artists, and values cut at 10 deviations; ``all``: of all
            artists, test ones too, and no cut, as in the paper.

    Returns:
        (artists, dim) float32, in the order of the artists.
    """
    track_ids = np.concatenate([dataset.split(name).track_ids for name in SPLITS])
    vectors = np.concatenate([embeddings[name] for name in SPLITS])
    by_id = np.argsort(track_ids)
    wanted = graph.songs["track_id"].to_numpy().astype(str)
    rows = vectors[by_id[np.searchsorted(track_ids, wanted, sorter=by_id)]]
    owners = (
        graph.songs.select("artist_id")
        .join(
            graph.artists.select("artist_id").with_row_index("number"),
            on="artist_id",
            how="left",
            maintain_order="left",
        )["number"]
        .to_numpy()
    )
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    counts = np.diff(starts, append=len(owners))
    pooled = rows if len(rows) == len(starts) else np.add.reduceat(rows, starts, axis=0) / counts[:, None]
    pooled = pooled.astype(np.float32, copy=False)
    if scaling == "all":
        return Standardiser(pooled, largest=None).apply(pooled)
    return Standardiser(pooled[graph.rows("train")]).apply(pooled)
