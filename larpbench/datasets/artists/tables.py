"""Artist graphs out of tables that somebody has: artists, their songs, and edges; with audio and features if wanted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.artists.files import GraphOptions, GraphTables, assemble_graph
from larpbench.datasets.artists.graph import EDGE_COLUMNS, once_an_edge
from larpbench.datasets.audio_files.named import NamedAudio
from larpbench.datasets.audio_files.usable import audible_tracks
from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.reading.array_files import read_arrays, read_sparse
from larpbench.datasets.reading.text_tables import read_text_table
from larpbench.datasets.schema import TEXT_COLUMNS, Dataset
from larpbench.errors import DataError, named


def build_graph(
    tables: GraphTables,
    options: GraphOptions,
    output: Path,
    *,
    audio: NamedAudio | None = None,
    policy: AudioPolicy | None = None,
) -> Dataset:
    """Write an artist graph; with audio, every song is decoded once, and songs without usable audio are dropped.

    Args:
        tables: What it is made of.
        options: What it is called.
        output: Folder to write.
        audio: Files of the songs. Artists without a usable song are dropped with their edges, and counted.
        policy: How clips are cut.

    Raises:
        DataError: If the tables contradict themselves, or no song has usable audio.
    """
    if audio is None:
        return assemble_graph(tables, options, output)
    tables, dataset_audio = _audible(tables, audio, policy or AudioPolicy())
    return assemble_graph(tables, options, output, audio=dataset_audio)


def read_graph_tables(artists: Path, tracks: Path, edges: Path, features: Path | None = None) -> GraphTables:
    """Read the user's own tables.

    Args:
        artists: CSV or Parquet with ``artist_id,split[,name]``.
        tracks: CSV or Parquet with ``track_id,artist_id,title,artist,album``; a song of two artists has two rows.
        edges: See `read_edges`.
        features: Folder of ``NAME.npz`` files with ``ids`` (artists) and ``embeddings``.

    Raises:
        DataError: If a file cannot be read, or lacks a column or an artist.
    """
    people = read_text_table(artists, ("artist_id", "split"), ("name",))
    listed = read_text_table(tracks, ("track_id", "artist_id", *TEXT_COLUMNS), ())
    ids = people["artist_id"].to_numpy().astype(str)
    paths = sorted(features.glob("*.npz")) if features else []
    if features is not None and not paths:
        raise DataError(f"there are no features in {features}", allowed="NAME.npz with ids and embeddings")
    return GraphTables(
        people,
        listed.select("artist_id", "track_id"),
        read_edges(edges, ids),
        listed.select("track_id", *TEXT_COLUMNS).unique("track_id", maintain_order=True),
        {path.stem: _features_of(path, ids) for path in paths},
    )


def read_edges(path: Path, artist_ids: np.ndarray) -> pl.DataFrame:
    """Read edges: a table ``artist_a,artist_b``, or a sparse matrix (.npz of scipy) over the artists in order.

    Raises:
        DataError: If the file cannot be read, or the matrix has another size.
    """
    if path.suffix != ".npz":
        return read_text_table(path, tuple(EDGE_COLUMNS), ())
    matrix = read_sparse(path)
    if matrix.shape != (len(artist_ids), len(artist_ids)):
        raise DataError(
            f"the matrix is {matrix.shape[0]} x {matrix.shape[1]}, and there are {len(artist_ids)} artists",
            where=str(path),
            allowed="one row and one column an artist, in their order",
        )
    kept = matrix.data != 0
    return pl.DataFrame({"artist_a": artist_ids[matrix.row[kept]], "artist_b": artist_ids[matrix.col[kept]]})


def symmetrised(tables: GraphTables) -> GraphTables:
    """Return the graph with each edge once, where some are listed in both directions and others in one.

    How many are listed in one direction only becomes a note of the data set. A list in which no edge is in both
    directions is an undirected one, and stays as it is.
    """
    edges, one_way = once_an_edge(tables.edges)
    if not 0 < one_way < edges.height:
        return tables
    note = f"{one_way} of {edges.height} edges are listed in one direction only, and count as the others do."
    progress.say(note)
    return replace(tables, edges=edges, notes=(*tables.notes, note))


def _features_of(path: Path, artist_ids: np.ndarray) -> np.ndarray:
    ids, values = read_arrays(path, "ids", "embeddings")
    ids = ids.astype(str)
    if ids.ndim != 1 or len(ids) != len(np.atleast_1d(values)):
        raise DataError(f"{ids.size} ids for {len(np.atleast_1d(values))} rows of features", where=str(path))
    place = {name: row for row, name in enumerate(ids.tolist())}
    absent = [name for name in artist_ids.tolist() if name not in place]
    if absent:
        raise DataError(
            f"{len(absent)} of {len(artist_ids)} artists have no features: {named(absent)}",
            where=str(path),
            allowed="a row for every artist",
        )
    if len(place) < len(ids):
        raise DataError(f"{len(ids) - len(place)} ids of features are there twice", where=str(path))
    return values[[place[name] for name in artist_ids.tolist()]]


def _audible(tables: GraphTables, audio: NamedAudio, policy: AudioPolicy) -> tuple[GraphTables, DatasetAudio]:
    listed = tables.songs["track_id"].unique()
    counts = tables.songs.group_by("track_id").len()
    entries = listed.to_frame().join(counts, on="track_id", how="left", maintain_order="left")["len"].to_numpy()
    paths = audio.of(listed, entries)
    audible = audible_tracks(tables.tracks, paths, audio.root, policy, 0)
    left_out = dict(tables.left_out) | audible.left_out
    if len(listed) > len(paths):
        left_out["songs without an audio file"] = len(listed) - len(paths)
    songs = tables.songs.join(audible.tracks.select("track_id"), on="track_id", how="semi", maintain_order="left")
    has_song = tables.artists["artist_id"].is_in(songs["artist_id"].implode())
    left_out["artists of whom no song can be heard"] = int((~has_song).sum())
    artists = tables.artists.filter(has_song)
    edges = tables.edges
    for name in EDGE_COLUMNS:  # an unknown artist is an error, and stays
        gone = edges[name].is_in(tables.artists.filter(~has_song)["artist_id"].implode())
        edges = edges.filter(~gone)
    left_out["edges of these artists"] = tables.edges.height - edges.height
    kept = {name: values[has_song.to_numpy()] for name, values in tables.features.items()}
    counted = {reason: count for reason, count in left_out.items() if count}
    return GraphTables(artists, songs, edges, audible.tracks, kept, counted, tables.notes), audible.audio
