"""What must hold of an artist graph, and what it looks like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import ArtistGraph, checked_edges, checked_songs, edge_groups, ordered_artists
from larpbench.datasets.schema import SPLITS, Dataset


def graph_conditions(dataset: Dataset, graph: ArtistGraph) -> dict[str, Callable[[], bool]]:
    """Return what must hold of ids, splits, edges, songs, features and counts, each with its test.

    A test returns False, or raises DataError, where the condition does not hold.
    """
    counts = dataset.manifest.counts
    conditions: dict[str, Callable[[], bool]] = {
        "artist ids and splits": lambda: ordered_artists(graph.artists).equals(graph.artists),
        "edges: known artists, no loops, no duplicates": lambda: _same_edges(graph),
        "songs: one or more an artist, none in two splits": lambda: _same_songs(graph),
        "songs are tracks": lambda: bool(graph.songs["track_id"].is_in(dataset.tracks["track_id"].implode()).all()),
        "tracks are in the split of their artist": lambda: _split_of_artist(dataset, graph),
    }
    for name, path in graph.features.items():
        conditions[f"features {name}: a row for every artist"] = partial(_has_all, path, graph)
    conditions["counts"] = lambda: all(counts.get(name) == count for name, count in edge_groups(graph).items())
    return conditions


def graph_sizes(graph: ArtistGraph) -> pl.DataFrame:
    """Return one row a split: artists, songs, edges within it, artists that hidden edges can be asked of, degrees.

    Returns:
        Columns ``split``, ``artists``, ``songs``, ``edges_within``, ``asked`` (artists with an edge within the split),
        ``visible_mean`` (edges to artists of earlier splits, and of the split itself for train), ``isolated`` (artists
        without such an edge).
    """
    owner = dict(zip(graph.ids.tolist(), graph.split_numbers.tolist(), strict=True))
    songs = np.bincount([owner[name] for name in graph.songs["artist_id"]], minlength=3)
    splits = graph.split_numbers[graph.pairs]
    rows = []
    for number, name in enumerate(SPLITS):
        mine = graph.rows(name)
        within = (splits == number).all(axis=1)
        shown = graph.pairs[(splits.max(axis=1) == number) & (~within | (number == 0))]
        degree = np.bincount(shown.ravel(), minlength=len(graph.ids))[mine]
        rows.append(
            {
                "split": name,
                "artists": len(mine),
                "songs": int(songs[number]),
                "edges_within": int(within.sum()),
                "asked": len(np.unique(graph.pairs[within])),
                "visible_mean": float(degree.mean()),
                "isolated": int((degree == 0).sum()),
            }
        )
    return pl.DataFrame(rows)


def _same_edges(graph: ArtistGraph) -> bool:
    return checked_edges(graph.artists, graph.edges).equals(graph.edges)


def _same_songs(graph: ArtistGraph) -> bool:
    return checked_songs(graph.artists, graph.songs).equals(graph.songs)


def _split_of_artist(dataset: Dataset, graph: ArtistGraph) -> bool:
    owners = graph.songs.join(graph.artists, on="artist_id").select("track_id", "split").unique()
    return dataset.tracks.select("track_id", "split").join(owners, on=["track_id", "split"], how="anti").is_empty()


def _has_all(path: Path, graph: ArtistGraph) -> bool:
    with np.load(path, allow_pickle=False) as archive:
        return bool(np.array_equal(archive["ids"], graph.ids)) and len(archive["embeddings"]) == len(graph.ids)
