"""From tables of artists, songs and edges to an ``artist-graph`` data set folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import ArtistGraph, checked_edges, checked_songs, ordered_artists
from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.files import read_dataset
from larpbench.datasets.raw_dataset import clean_texts, sorted_tracks
from larpbench.datasets.schema import Dataset, Manifest, SplitRule
from larpbench.datasets.writer import write_dataset
from larpbench.errors import DataError, named


@dataclass(frozen=True)
class GraphOptions:
    """What an artist graph is called and where it comes from.

    Attributes:
        name: Name of the data set.
        source: What it is built from, in words.
        licence: Licence of the data, in words.
        caption_template: See `larpbench.datasets.captions`.
        notes: Sentences that every table made on the data set prints.
    """

    name: str
    source: str
    licence: str
    caption_template: str = DEFAULT_TEMPLATE
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphTables:
    """An artist graph before it is checked.

    Attributes:
        artists: ``artist_id``, ``split`` and maybe ``name``; the order within a split is kept.
        songs: ``artist_id``, ``track_id``, in the order of each artist's songs.
        edges: ``artist_a``, ``artist_b``, undirected.
        tracks: The songs: ``track_id``, `TEXT_COLUMNS`, and maybe ``audio``, ``clip_start_s``, ``duration_s``; those
            of no artist are dropped.
        features: Name -> (artists, dim) numbers, in the order of `artists`.
        left_out: What was left out, by reason.
        notes: Sentences that every table made on the data set prints.
    """

    artists: pl.DataFrame
    songs: pl.DataFrame
    edges: pl.DataFrame
    tracks: pl.DataFrame
    features: Mapping[str, np.ndarray]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def assemble_graph(
    tables: GraphTables, options: GraphOptions, output: Path, *, audio: DatasetAudio | None = None
) -> Dataset:
    """Check and write an artist graph.

    Args:
        tables: What it is made of.
        options: What it is called.
        output: Folder to write.
        audio: The songs' audio, if there is any.

    Raises:
        DataError: If the tables contradict themselves, naming the ids.
        StorageError: If the folder cannot be written.
    """
    ordered = ordered_artists(tables.artists)
    kept = checked_songs(ordered, tables.songs)
    clean = clean_texts(sorted_tracks(tables.tracks))
    absent = kept.filter(~pl.col("track_id").is_in(clean["track_id"].implode()))["track_id"].unique().sort()
    if len(absent):
        raise DataError(f"{len(absent)} songs are not in the tracks table: {named(absent)}", where="songs")
    owners = kept.join(ordered, on="artist_id").select("track_id", "split").unique("track_id")
    used = clean.join(owners, on="track_id").with_columns(caption_column(options.caption_template))
    once = checked_edges(ordered, tables.edges)
    unsorted = tables.artists["artist_id"].to_numpy().astype(str)
    place = {name: row for row, name in enumerate(unsorted)}
    rows = np.array([place[name] for name in ordered["artist_id"]])
    manifest = Manifest(
        kind="artist-graph",
        name=options.name,
        source=options.source,
        licence=options.licence,
        caption_template=options.caption_template,
        split=SplitRule(rule="given", roles="given", seed=0),
        counts={},
        left_out=dict(tables.left_out),
        notes=(*options.notes, *tables.notes),
        digests={},
        fingerprint="",
    )
    write_dataset(
        output,
        manifest,
        used,
        audio=audio,
        graph=ArtistGraph(ordered, kept, once, {}),
        features={name: _checked_features(name, values, unsorted)[rows] for name, values in tables.features.items()},
    )
    return read_dataset(output)


def _checked_features(name: str, values: np.ndarray, artist_ids: np.ndarray) -> np.ndarray:
    where = f"features {name}"
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise DataError(
            f"a {values.dtype} array of shape {values.shape}", where=where, allowed="(artists, dim) numbers"
        )
    if len(values) != len(artist_ids):
        raise DataError(
            f"{len(values)} rows of features for {len(artist_ids)} artists",
            where=where,
            allowed="one row an artist, in the order of the artists",
        )
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    broken = ~np.isfinite(single).all(axis=1)
    if broken.any():
        raise DataError(
            f"NaN or infinite features of {int(broken.sum())} artists: {named(artist_ids[broken])}", where=where
        )
    return single
