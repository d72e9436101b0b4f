"""The tables and vectors of a music service: a catalogue with release years, playlists, vectors in Parquet shards.

    python benchmarks/service_catalogue.py FOLDER              # 200,000 tracks x 512 in 8 shards, 500,000 playlists
    python benchmarks/service_catalogue.py FOLDER 20000 50000  # smaller: tracks, playlists
    larpbench dataset build csv --tracks FOLDER/tracks.parquet --playlists FOLDER/playlists.parquet \\
        --split-by release_year:2020,2022 --output FOLDER/by-year

Tracks are of 200 styles; a playlist has one, and four of five of its tracks are of it. Few tracks are in very many
playlists. Half of the tracks are of the last twelve years.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from published_shapes import track_ids

TRACKS, PLAYLISTS, DIM, SHARDS = 200_000, 500_000, 512, 8
LAST_YEAR = 2024
_STYLES, _OF_ONE_STYLE, _LENGTH, _SKEW = 200, 0.8, 20, 4.0


def write_catalogue(folder: Path, tracks: int = TRACKS, playlists: int = PLAYLISTS, dim: int = DIM) -> None:
    """Write ``tracks.parquet``, ``playlists.parquet`` and the folder ``vectors``."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    ids, numbers = pl.Series("track_id", track_ids(tracks)), pl.Series("number", np.arange(tracks))
    years = np.clip(LAST_YEAR - generator.exponential(17, tracks).astype(int), 1950, LAST_YEAR)
    pl.DataFrame([ids, numbers, pl.Series("release_year", years)]).select(
        "track_id",
        title=pl.format("A song of number {}", "number"),
        artist=pl.format("Artist of number {}", pl.col("number") // 8),
        album=pl.format("The album of number {}", pl.col("number") // 3),
        release_year="release_year",
    ).write_parquet(folder / "tracks.parquet")
    by_style = generator.permutation(tracks).reshape(_STYLES, -1)
    _write_playlists(folder / "playlists.parquet", ids, by_style, playlists, generator)
    _write_vectors(folder / "vectors", ids, by_style, dim, generator)


def _write_playlists(
    path: Path, ids: pl.Series, by_style: np.ndarray, playlists: int, generator: np.random.Generator
) -> None:
    lengths = 5 + generator.exponential(_LENGTH - 5, playlists).astype(int)
    style = np.repeat(generator.integers(_STYLES, size=playlists), lengths)
    stray = generator.random(len(style)) > _OF_ONE_STYLE
    style[stray] = generator.integers(_STYLES, size=int(stray.sum()))
    place = (by_style.shape[1] * generator.random(len(style)) ** _SKEW).astype(int)
    entries = pl.DataFrame({"playlist_id": np.repeat(np.arange(playlists), lengths), "row": by_style[style, place]})
    entries = entries.unique(maintain_order=True)
    entries.select("playlist_id", ids.gather(entries["row"])).write_parquet(path)


def _write_vectors(
    folder: Path, ids: pl.Series, by_style: np.ndarray, dim: int, generator: np.random.Generator
) -> None:
    folder.mkdir()
    style = np.empty(len(ids), dtype=np.int64)
    style[by_style.ravel()] = np.repeat(np.arange(_STYLES), by_style.shape[1])
    centres = generator.standard_normal((_STYLES, dim), dtype=np.float32)
    for number, rows in enumerate(np.array_split(np.arange(len(ids)), SHARDS)):
        vectors = centres[style[rows]] + 2 * generator.standard_normal((len(rows), dim), dtype=np.float32)
        column = pl.Series("embedding", vectors, dtype=pl.Array(pl.Float32, dim))
        pl.DataFrame([ids.gather(rows), column]).write_parquet(folder / f"part-{number}.parquet")


if __name__ == "__main__":
    write_catalogue(Path(sys.argv[1]), *map(int, sys.argv[2:]))
