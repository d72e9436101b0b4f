"""Listeners, warm and cold tracks of any size, with planted factors: data sets for the task `cold-tracks`.

    python benchmarks/listener_worlds.py FOLDER                    # 20,000 x 55,000 x 600, 500,000 entries
    python benchmarks/listener_worlds.py FOLDER 20000 55000 600 5000000

Listeners and tracks have 16 factors; tracks of an artist are alike. A listener draws tracks by their popularity, and
plays those with the largest inner product and some noise. The vectors ``provided:planted`` are a linear image of the
tracks' factors in 128 dimensions, with noise. There are as many cold tracks in valid as in test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.listeners.assemble import ListenerOptions, assemble_listeners
from larpbench.datasets.listeners.split import given_split
from larpbench.datasets.provided import FOLDER, VectorCard, VectorWriter

LISTENERS, WARM, COLD, ENTRIES, DIM = 20_000, 55_000, 600, 500_000, 128
_FACTORS, _AN_ARTIST, _CHOICE, _SKEW, _NOISE, _LISTENERS_AT_ONCE = 16, 8, 8, 2.0, 1.0, 512


def write_world(
    folder: Path,
    listeners: int = LISTENERS,
    warm: int = WARM,
    cold: int = COLD,
    entries: int = ENTRIES,
    dim: int = DIM,
    seed: int = 0,
) -> None:
    """Write a data set folder of kind ``listeners``.

    Args:
        folder: Where.
        listeners: How many.
        warm: Tracks of train.
        cold: Tracks of test, and as many of valid.
        entries: About how many in all.
        dim: Length of the vectors.
        seed: Of everything random.
    """
    generator = np.random.default_rng(seed)
    count = warm + 2 * cold
    ids = pl.Series("track_id", [f"t{number:07d}" for number in range(count)])
    artist = generator.permutation(np.arange(count) // _AN_ARTIST)
    of_artist = generator.standard_normal((count // _AN_ARTIST + 1, _FACTORS), dtype=np.float32)
    own = generator.standard_normal((count, _FACTORS), dtype=np.float32)
    factors = (of_artist[artist] + own) / np.float32(np.sqrt(2 * _FACTORS))
    is_cold = generator.permutation(count)[: 2 * cold]
    split = np.full(count, "train", dtype=object)
    split[is_cold[:cold]], split[is_cold[cold:]] = "valid", "test"
    tracks = pl.DataFrame([ids, pl.Series("split", split.tolist())]).with_columns(
        title=pl.format("Song {}", "track_id"), artist=pl.Series([f"Artist {number}" for number in artist])
    )
    parts = list(_plays(factors, listeners, entries, generator))
    numbers = np.concatenate([track for _, track in parts])
    interactions = pl.DataFrame(
        {
            "listener_id": pl.Series([f"u{number:06d}" for number in range(listeners)]).gather(
                np.concatenate([listener for listener, _ in parts])
            ),
            "track_id": ids.gather(numbers),
            "count": generator.geometric(0.4, len(numbers)).astype(np.uint32),
        }
    )
    options = ListenerOptions(folder.name, "larpbench benchmarks: planted factors", "CC0-1.0", given_split())
    assemble_listeners(interactions, tracks, options, folder)
    image = generator.standard_normal((_FACTORS, dim), dtype=np.float32)
    noise = generator.standard_normal((count, dim), dtype=np.float32)
    with VectorWriter(folder / FOLDER, "planted", VectorCard(what="an image of the planted factors")) as writer:
        writer.add(ids, factors @ image + noise)


def _plays(
    factors: np.ndarray, listeners: int, entries: int, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield listeners and their tracks, each pair once."""
    lengths = np.maximum(3, generator.exponential(entries / listeners, listeners).astype(int))
    by_popularity = generator.permutation(len(factors))
    for start in range(0, listeners, _LISTENERS_AT_ONCE):
        tastes = generator.standard_normal((min(_LISTENERS_AT_ONCE, listeners - start), _FACTORS), dtype=np.float32)
        for number, taste in enumerate(tastes, start):
            length = lengths[number]
            place = len(factors) * generator.random(_CHOICE * length) ** _SKEW
            drawn = np.unique(by_popularity[place.astype(np.int64)])
            liking = 4 * factors[drawn] @ taste + _NOISE * generator.gumbel(size=len(drawn))
            chosen = drawn[np.argsort(-liking)[:length]]
            yield np.full(len(chosen), number), chosen


if __name__ == "__main__":
    write_world(Path(sys.argv[1]), *map(int, sys.argv[2:]))
