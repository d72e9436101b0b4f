"""A data set with columns of its own, and results on it in which one genre stands out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.small_data import random_tables

from larpbench import plan, run
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.sources.csv import build_csv

TRACKS = 120
GENRES = ["pop", "rock", "<b>x</b> & $y_|\x07"]


def build_sliced_world(folder: Path) -> Path:
    """Return a folder with ``data`` and ``results``: an encoder that knows pop alone, and a random one of two seeds.

    Args:
        folder: Where; it is there.
    """
    rng = np.random.default_rng(3)
    tables = random_tables(folder / "tables", tracks=TRACKS, playlists=60, seed=5)
    entries = pl.read_csv(tables.playlists)
    genre = np.array([GENRES[n % 3] for n in range(TRACKS)])
    vectors = rng.normal(size=(TRACKS, 60)) * 1e-3
    for p, (_, tracks) in enumerate(entries.group_by("playlist_id", maintain_order=True)):
        rows = np.array([int(name[1:]) for name in tracks["track_id"]])
        vectors[rows[genre[rows] == "pop"], p] += 1
    ids = [f"t{number:05d}" for number in range(TRACKS)]
    np.savez(folder / "pop.npz", ids=np.array(ids), embeddings=vectors.astype(np.float32))
    pl.read_csv(tables.tracks).with_columns(
        genre=pl.Series(genre),
        all=pl.lit("all"),
        tags=pl.Series([["a", "b"] if n % 4 else ["b"] if n % 8 else None for n in range(TRACKS)]),
        release_year=pl.Series([1960 + n % 50 for n in range(TRACKS)]),
        tempo=pl.Series([n / 7 for n in range(TRACKS)]),
        live=pl.Series([bool(n % 2) for n in range(TRACKS)]),
        label=pl.Series([f"label {n % 40:02d}" for n in range(TRACKS)]),
        popularity=pl.Series([n % 2 for n in range(TRACKS)]),
        rare=pl.Series(["rare" if n < 3 else None for n in range(TRACKS)]),
        artist=pl.when(pl.int_range(pl.len()) % 10 > 0).then(pl.col("artist")),
    ).write_parquet(folder / "tracks.parquet")
    moods = pl.col("playlist_id").str.tail(1).replace_strict({str(n): f"mood {n % 2}" for n in range(10)})
    entries.with_columns(mood=moods).write_csv(folder / "playlists.csv")
    data = build_csv(
        folder / "tracks.parquet", folder / "playlists.csv", BuildOptions("data", "a test", "none"), folder / "data"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LARPBENCH_HOME", str(folder / "home"))
        names = [f"precomputed:{folder / 'pop.npz'}", "random"]
        run(plan(data, encoders=names, seeds=2, output=folder / "results"))
    return folder
