"""Small data sets of listeners, as frames and on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from larpbench.datasets.schema import Dataset, SplitRule


def random_listens(listeners: int = 60, tracks: int = 150, entries: int = 1500, seed: int = 0) -> pl.DataFrame:
    """Return random interactions with counts and times, no pair twice."""
    generator = np.random.default_rng(seed)
    popular = generator.zipf(1.6, entries) % tracks
    pairs = pl.DataFrame(
        {
            "listener_id": [f"u{number:03d}" for number in generator.integers(0, listeners, entries)],
            "track_id": [f"t{number:03d}" for number in popular],
            "count": generator.integers(1, 30, entries).astype(np.uint32),
            "first_time": generator.integers(0, 10_000, entries),
        }
    )
    return pairs.unique(["listener_id", "track_id"], keep="first", maintain_order=True)


def some_tracks(tracks: int = 150, artists: int = 25) -> pl.DataFrame:
    """Return tracks with texts."""
    numbers = range(tracks)
    return pl.DataFrame(
        {
            "track_id": [f"t{number:03d}" for number in numbers],
            "title": [f"Song {number}" for number in numbers],
            "artist": [f"Artist {number % artists}" for number in numbers],
            "album": ["" for _ in numbers],
        }
    )


def build_listeners(
    folder: Path, rule: SplitRule, listens: pl.DataFrame | None = None, tracks: pl.DataFrame | None = None
) -> Dataset:
    """Build a data set of listeners; by default a random one."""
    from larpbench.datasets.listeners.assemble import ListenerOptions, assemble_listeners

    return assemble_listeners(
        random_listens() if listens is None else listens,
        some_tracks() if tracks is None else tracks,
        ListenerOptions(folder.name, "made up", "CC0", rule),
        folder,
    )
