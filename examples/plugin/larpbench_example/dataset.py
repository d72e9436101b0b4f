"""A data set: invented playlists, drawn by genre, that are made on first use."""

from __future__ import annotations

import numpy as np
import polars as pl

from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.catalogue import DatasetSource, datasets_folder
from larpbench.datasets.files import MANIFEST, read_dataset
from larpbench.datasets.schema import Dataset

GENRES = ("dub", "folk", "house", "punk")
TRACKS, PLAYLISTS, LENGTH = 400, 300, 20


def load() -> Dataset:
    """Return the data set: read where it lies, or made, the same each time."""
    folder = datasets_folder() / "genres"
    if (folder / MANIFEST).is_file():
        return read_dataset(folder)
    draw = np.random.default_rng(0)
    genres = draw.choice(GENRES, size=TRACKS)
    tracks = pl.DataFrame(
        {
            "track_id": [f"track-{number:03d}" for number in range(TRACKS)],
            "title": [f"{genre} number {number}" for number, genre in enumerate(genres)],
            "artist": [f"{genre} artist {number % 10}" for number, genre in enumerate(genres)],
            "album": [""] * TRACKS,
        }
    )
    rows = []
    for playlist in range(PLAYLISTS):
        of_genre = np.flatnonzero(genres == draw.choice(GENRES))
        rows += [(f"playlist-{playlist:03d}", f"track-{track:03d}") for track in draw.permutation(of_genre)[:LENGTH]]
    playlists = pl.DataFrame(rows, schema=["playlist_id", "track_id"], orient="row")
    # Split, roles, captions, checks and files are larpbench's business. A column `split` in both tables would be kept.
    options = BuildOptions(name="genres", source="invented by an example", licence="CC0-1.0", min_length=2)
    return assemble(tracks, playlists, options, folder)


GENRE_PLAYLISTS = DatasetSource("genres", "invented playlists of four genres", "larpbench_example.dataset:load")
