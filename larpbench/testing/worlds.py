"""Small invented data sets in memory with two planted communities, so that answers are known.

All tracks of a playlist belong to one community, and so do two similar artists. The album names the community:
`planted_vectors` show it, `random_vectors` do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import ArtistGraph, checked_edges, checked_songs, ordered_artists
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import PLAYLIST_COLUMNS, SPLITS, Dataset, Manifest, Split, SplitRule
from larpbench.fingerprint import digest_columns

_TRACKS, _PLAYLISTS, _LENGTH = 48, 24, 8  # of each split
_ARTISTS, _SONGS, _EDGE_SHARE = 60, 2, 0.4
_DIM, _NOISE = 8, 0.5
_ROLES = (  # of the first test playlists, which are odd: one seed, no held-out track, no seed
    ["seed", *["heldout"] * (_LENGTH - 1)],
    ["seed"] * _LENGTH,
    ["heldout"] * _LENGTH,
)


def toy_playlists() -> Dataset:
    """Return a data set of 48 tracks and 24 playlists of 8 tracks in each split.

    The first test playlist has one seed, the second no held-out track, the third no seed.
    """
    tracks, entries = [], []
    for number, split in enumerate(SPLITS):
        draw = np.random.default_rng([17, number])
        ids = [f"{split}-{place:02d}" for place in draw.permutation(_TRACKS)]  # ids say nothing of communities
        tracks += [
            (name, f"{split} artist {track % 2} {track // 8}", track % 2, split) for track, name in enumerate(ids)
        ]
        for playlist in range(_PLAYLISTS):
            roles = ["seed", "heldout"] * (_LENGTH // 2)
            if split == "train":
                roles = ["member"] * _LENGTH
            elif split == "test" and playlist < len(_ROLES):
                roles = _ROLES[playlist]
            chosen = draw.permutation(np.arange(playlist % 2, _TRACKS, 2))[:_LENGTH]
            name = f"{split}-playlist-{playlist:02d}"
            entries += [(name, ids[track], split, role) for track, role in zip(chosen, roles, strict=True)]
    playlists = pl.DataFrame(entries, schema=PLAYLIST_COLUMNS, orient="row").sort("playlist_id", "track_id")
    return _dataset("playlists", tracks, playlists)


def toy_listeners() -> Dataset:
    """Return a data set of 48 tracks in each split and 24 listeners with 8 of them.

    The first listener is not in train, the second not in test.
    """
    tracks, entries = [], []
    for number, split in enumerate(SPLITS):
        draw = np.random.default_rng([19, number])
        ids = [f"{split}-{place:02d}" for place in draw.permutation(_TRACKS)]
        tracks += [(name, f"artist {track % 2} {track // 8}", track % 2, split) for track, name in enumerate(ids)]
        for listener in range(_PLAYLISTS):
            if (listener, split) in ((0, "train"), (1, "test")):
                continue
            chosen = draw.permutation(np.arange(listener % 2, _TRACKS, 2))[:_LENGTH]
            role = "member" if split == "train" else "heldout"
            entries += [(f"listener-{listener:02d}", ids[track], split, role) for track in chosen]
    playlists = pl.DataFrame(entries, schema=PLAYLIST_COLUMNS, orient="row").sort("playlist_id", "track_id")
    return _dataset(LISTENERS, tracks, playlists)


def toy_graph() -> Dataset:
    """Return an artist graph of 60 artists with 2 songs each: 24 of train, 12 of valid, 24 of test."""
    draw = np.random.default_rng(23)
    ids = [f"artist-{place:02d}" for place in draw.permutation(_ARTISTS)]
    splits = [("train", "train", "valid", "test", "test")[number // 2 % 5] for number in range(_ARTISTS)]
    songs = [(f"{name}-{song}", name, number % 2) for number, name in enumerate(ids) for song in range(_SONGS)]
    pairs = [(a, b) for a in range(_ARTISTS) for b in range(a + 2, _ARTISTS, 2) if draw.random() < _EDGE_SHARE]
    artists = ordered_artists(pl.DataFrame({"artist_id": ids, "name": ids, "split": splits}))
    owned = pl.DataFrame({"artist_id": [song[1] for song in songs], "track_id": [song[0] for song in songs]})
    edges = pl.DataFrame({"artist_a": [ids[a] for a, _ in pairs], "artist_b": [ids[b] for _, b in pairs]})
    graph = ArtistGraph(artists, checked_songs(artists, owned), checked_edges(artists, edges), {})
    split_of = dict(zip(ids, splits, strict=True))
    tracks = [(*song, split_of[song[1]]) for song in songs]
    return _dataset("artist-graph", tracks, pl.DataFrame(schema=PLAYLIST_COLUMNS), graph)


def _dataset(
    kind: str, rows: Iterable[tuple[Any, ...]], playlists: pl.DataFrame, graph: ArtistGraph | None = None
) -> Dataset:
    """Return a data set of tracks as (id, artist, community, split)."""
    columns = pl.DataFrame(list(rows), schema=["track_id", "artist", "album", "split"], orient="row").sort("track_id")
    tracks = columns.select(
        "track_id",
        pl.col("track_id").alias("title"),
        "artist",
        pl.col("album").cast(pl.String),
        pl.col("track_id").alias("caption"),
        pl.lit(None, pl.String).alias("audio"),
        pl.lit(None, pl.Float64).alias("clip_start_s"),
        pl.lit(None, pl.Float64).alias("duration_s"),
        "split",
    )
    counts = {
        f"{name}.{what}": frame.filter(pl.col("split") == name)[column].n_unique()
        for name in SPLITS
        for what, frame, column in (("tracks", tracks, "track_id"), ("playlists", playlists, "playlist_id"))
    }
    fingerprint = digest_columns(tracks["track_id"], tracks["split"])
    manifest = Manifest.model_validate(
        {
            "kind": kind,
            "name": f"toy-{kind}",
            "source": "invented for conformance checks",
            "licence": "CC0-1.0",
            "caption_template": "title",
            "split": SplitRule(rule="given", roles="given", seed=0),
            "counts": counts,
            "digests": {"split": fingerprint},
            "fingerprint": fingerprint,
        }
    )
    return Dataset(Path(f"toy-{kind}"), manifest, tracks, playlists, graph=graph)


def random_vectors(split: Split, seed: int) -> np.ndarray:
    """Return (n, 8) float32, standard normal numbers that say nothing of the tracks."""
    draw = np.random.default_rng([seed, SPLITS.index(split.name)])
    return draw.normal(size=(len(split.track_ids), _DIM)).astype(np.float32)


def planted_vectors(split: Split) -> np.ndarray:
    """Return (n, 8) float32: the community of each track of a toy data set, with noise."""
    community = split.tracks["album"].cast(pl.Int64).to_numpy()
    return np.eye(2, _DIM, dtype=np.float32)[community] + np.float32(_NOISE) * random_vectors(split, seed=1)
