"""From tables of artists, songs and edges to an ``artist-graph`` data set folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import ArtistGraph, checked_edges, checked_songs, ordered_artists
from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.files import read_dataset
from larpbench.datasets.raw_dataset import clean_texts, sorted_tracks
from larpbench.datasets.schema import Dataset, DatasetAudio, Manifest, SplitRule
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
        notes: What every table made on the data set has to say.
    """

    name: str
    source: str
    licence: str
    caption_template: str = DEFAULT_TEMPLATE
    notes: tuple[str, ...] = ()


def assemble_graph(
    artists: pl.DataFrame,
    songs: pl.DataFrame,
    edges: pl.DataFrame,
    tracks: pl.DataFrame,
    options: GraphOptions,
    output: Path,
    *,
    features: Mapping[str, np.ndarray] | None = None,
    audio: DatasetAudio | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Dataset:
    """Check and write an artist graph.

    Args:
        artists: ``artist_id``, ``split`` and maybe ``name``; the order within a split is kept.
        songs: ``artist_id``, ``track_id``, in the order of each artist's songs.
        edges: ``artist_a``, ``artist_b``, undirected.
        tracks: The songs: ``track_id``, ``title``, ``artist``, ``album``, and maybe ``audio``, ``clip_start_s``,
            ``duration_s``; those of nobody leave.
        options: How.
        output: Folder to write.
        features: Name -> (artists, dim) numbers, in the order of `artists` as given.
        audio: The songs' audio, if there is any.
        left_out: What has left before, by reason.

    Raises:
        DataError: If the tables contradict themselves, naming the ids.
        StorageError: If the folder cannot be written.
    """
    ordered = ordered_artists(artists)
    kept = checked_songs(ordered, songs)
    clean = clean_texts(sorted_tracks(tracks))
    absent = kept.filter(~pl.col("track_id").is_in(clean["track_id"].implode()))["track_id"].unique().sort()
    if len(absent):
        raise DataError(f"{len(absent)} songs are not in the tracks table: {named(absent)}", where="songs")
    owners = kept.join(ordered, on="artist_id").select("track_id", "split").unique("track_id")
    used = clean.join(owners, on="track_id").with_columns(caption_column(options.caption_template))
    once = checked_edges(ordered, edges)
    unsorted = artists["artist_id"].to_numpy().astype(str)
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
        left_out=dict(left_out or {}),
        notes=options.notes,
        digests={},
        fingerprint="",
    )
    write_dataset(
        output,
        manifest,
        used,
        audio=audio,
        graph=ArtistGraph(ordered, kept, once, {}),
        features={name: _checked_features(name, values, unsorted)[rows] for name, values in (features or {}).items()},
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
