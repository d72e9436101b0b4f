"""Small data sets as tables on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Tables:
    """Two CSV files and vectors for their tracks."""

    tracks: Path
    playlists: Path
    vectors: Path
    folder: Path


def write_tables(
    folder: Path,
    features: np.ndarray,
    seeds: list[tuple[int, int]],
    heldout: list[tuple[int, int]],
) -> Tables:
    """Write a test split with given roles, and the vectors of its tracks."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"t{number:05d}" for number in range(len(features))]
    pl.DataFrame(
        {
            "track_id": ids,
            "title": [f"Song {number}" for number in range(len(ids))],
            "artist": [f"Artist {number % 7}" for number in range(len(ids))],
            "album": ["" if number % 3 else f"Album {number % 5}" for number in range(len(ids))],
            "split": ["test"] * len(ids),
        }
    ).write_csv(folder / "tracks.csv")
    rows = [(f"p{p:05d}", ids[t], "test", "seed") for p, t in seeds]
    rows += [(f"p{p:05d}", ids[t], "test", "heldout") for p, t in heldout]
    pl.DataFrame(rows, schema=["playlist_id", "track_id", "split", "role"], orient="row").write_csv(
        folder / "playlists.csv"
    )
    np.savez(folder / "vectors.npz", ids=np.array(ids), embeddings=features)
    return Tables(folder / "tracks.csv", folder / "playlists.csv", folder / "vectors.npz", folder)


def random_tables(folder: Path, *, tracks: int = 120, playlists: int = 30, dim: int = 16, seed: int = 0) -> Tables:
    """Write random vectors and random playlists of 4 to 12 tracks."""
    generator = np.random.default_rng(seed)
    seeds, heldout = [], []
    for playlist in range(playlists):
        chosen = generator.permutation(tracks)[: generator.integers(4, 13)]
        half = len(chosen) // 2
        seeds += [(playlist, int(track)) for track in chosen[:half]]
        heldout += [(playlist, int(track)) for track in chosen[half:]]
    features = generator.normal(size=(tracks, dim)).astype(np.float32)
    return write_tables(folder, features, seeds, heldout)
