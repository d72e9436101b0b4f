"""Small artist graphs, drawn at random or planted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
from support.small_data import made_folder

from larpbench import fingerprint
from larpbench.datasets.artists.graph import ArtistGraph, checked_edges, checked_songs, ordered_artists
from larpbench.datasets.artists.toy import ToySpec, build_toy


def graph_of(splits: list[str], pairs: list[tuple[int, int]]) -> ArtistGraph:
    """Return a graph of artists ``a000``, ``a001``, .. with one song each, in memory only."""
    ids = [f"a{number:03d}" for number in range(len(splits))]
    artists = ordered_artists(pl.DataFrame({"artist_id": ids, "split": splits}))
    songs = checked_songs(artists, pl.DataFrame({"artist_id": ids, "track_id": ids}))
    edges = pl.DataFrame(
        {"artist_a": [ids[a] for a, _ in pairs], "artist_b": [ids[b] for _, b in pairs]},
        schema={"artist_a": pl.String, "artist_b": pl.String},
    )
    return ArtistGraph(artists, songs, checked_edges(artists, edges), {})


def random_graph(seed: int, artists: int = 40, edges: int = 120) -> ArtistGraph:
    """Return a graph of a third train, a third valid, a third test, at random."""
    generator = np.random.default_rng(seed)
    splits = generator.permutation(np.resize(["train", "valid", "test"], artists)).tolist()
    drawn = {
        tuple(sorted(pair)) for pair in generator.integers(artists, size=(edges, 2)).tolist() if pair[0] != pair[1]
    }
    return graph_of(splits, sorted(drawn))


def small_toy(folder: Path, **changes: object) -> Path:
    """Build a toy graph of 90 artists and return its folder; each is built once in a process, and copied."""
    spec = ToySpec(**{"artists": 90, "communities": 6, "degree": 10.0, "feature_dim": 24, "seed": 3, **changes})
    if folder.exists():
        return build_toy(folder, spec).folder
    made = made_folder() / f"toy-{fingerprint.digest(repr(spec))[:16]}"
    if not made.exists():
        build_toy(made, spec)
    return shutil.copytree(made, folder)
