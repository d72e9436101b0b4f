"""A world on disk whose playlists follow a taste that the views of its tracks show only in part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.schema import Dataset
from larpbench.datasets.sources.csv import build_csv

TASTES = 12
LENGTH = 8


@dataclass(frozen=True)
class FactorWorld:
    """A data set and two files of vectors.

    Attributes:
        data: With train, valid and test.
        views: Names of two encoders, ``precomputed:..``.
    """

    data: Dataset
    views: tuple[str, str]


def write_world(folder: Path, seed: int = 0, *, shuffled: bool = False, tracks: int = 400) -> FactorWorld:
    """Write a world of 12 tastes: a playlist's tracks are of one taste.

    Each view shows half of a taste's coordinates, behind louder ones that mean nothing, and a part that all tracks
    have in common. Frozen cosines see little of the taste; a linear map from the views finds it.

    Args:
        folder: Where.
        seed: Drives everything.
        shuffled: Whether playlists are drawn from all tracks in every split: there is nothing to learn.
        tracks: Of train; half as many in valid and in test.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(TASTES, 12))
    common = 3 * draw.normal(size=(2, 18))
    listed, entries, vectors = [], [], []
    for name, n in (("train", tracks), ("valid", tracks // 2), ("test", tracks // 2)):
        taste = draw.integers(TASTES, size=n)
        telling = centres[taste] + 0.5 * draw.normal(size=(n, 12))
        idle = 2.5 * draw.normal(size=(2, n, 12))
        vectors.append([np.hstack([telling[:, 6 * v : 6 * v + 6], idle[v]]) + common[v] for v in (0, 1)])
        ids = [f"{name}-{track:04d}" for track in range(n)]
        listed += [(each, f"Song {each}", f"Artist {place % 17}", "", name) for place, each in enumerate(ids)]
        for playlist in range(n):
            pool = np.arange(n) if shuffled else np.flatnonzero(taste == playlist % TASTES)
            for place, track in enumerate(draw.permutation(pool)[:LENGTH]):
                role = "" if name == "train" else ("seed", "heldout")[place % 2]
                entries.append((f"{name}-p{playlist:04d}", ids[track], name, role))
    columns = ["track_id", "title", "artist", "album", "split"]
    pl.DataFrame(listed, schema=columns, orient="row").write_csv(folder / "tracks.csv")
    columns = ["playlist_id", "track_id", "split", "role"]
    pl.DataFrame(entries, schema=columns, orient="row").write_csv(folder / "playlists.csv")
    views = []
    for v in (0, 1):
        rows = np.concatenate([each[v] for each in vectors]).astype(np.float32)
        np.savez(folder / f"view{v}.npz", ids=np.array([row[0] for row in listed]), embeddings=rows)
        views.append(f"precomputed:{folder / f'view{v}.npz'}")
    options = BuildOptions("world", "a test", "none")
    data = build_csv(folder / "tracks.csv", folder / "playlists.csv", options, folder / "data")
    return FactorWorld(data, (views[0], views[1]))
