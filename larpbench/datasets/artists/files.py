"""An ``artist-graph`` data set folder on disk: written whole or not at all, read back through its schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import (
    ARTIST_COLUMNS,
    EDGE_COLUMNS,
    FEATURES,
    SONG_COLUMNS,
    ArtistGraph,
    checked_edges,
    checked_songs,
    edge_groups,
    ordered_artists,
)
from larpbench.datasets.assemble import clean_texts, sorted_tracks
from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.files import (
    AUDIO_FILES,
    PLAYLISTS,
    TRACKS,
    fingerprint_of,
    read_dataset,
    read_table,
    same_or_refuse,
    table_digests,
    write_manifest,
)
from larpbench.datasets.schema import (
    PLAYLIST_COLUMNS,
    SPLITS,
    TRACK_COLUMNS,
    Dataset,
    DatasetAudio,
    Manifest,
    SplitRule,
)
from larpbench.errors import DataError, named
from larpbench.fingerprint import digest_columns, digest_file
from larpbench.storage import put_in_place, staging_folder

ARTISTS = "artists.parquet"
SONGS = "songs.parquet"
EDGES = "edges.parquet"


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
    missing = {name: pl.lit(None, dtype=kind) for name, kind in TRACK_COLUMNS.items() if name not in used.columns}
    used = used.with_columns(**missing).select(list(TRACK_COLUMNS)).sort("track_id")
    once = checked_edges(ordered, edges)
    unsorted = artists["artist_id"].to_numpy().astype(str)
    place = {name: row for row, name in enumerate(unsorted)}
    rows = np.array([place[name] for name in ordered["artist_id"]])
    arrays = {name: _checked_features(name, values, unsorted)[rows] for name, values in (features or {}).items()}
    return _write(output, ordered, kept, once, used, arrays, options, audio, left_out or {})


def _write(
    output: Path,
    artists: pl.DataFrame,
    songs: pl.DataFrame,
    edges: pl.DataFrame,
    tracks: pl.DataFrame,
    features: Mapping[str, np.ndarray],
    options: GraphOptions,
    audio: DatasetAudio | None,
    left_out: Mapping[str, int],
) -> Dataset:
    ids = artists["artist_id"].to_numpy().astype(str)
    tables = {ARTISTS: artists, SONGS: songs, EDGES: edges, TRACKS: tracks}
    tables[PLAYLISTS] = pl.DataFrame(schema=PLAYLIST_COLUMNS)
    if audio is not None:
        tables[AUDIO_FILES] = audio.files
    with staging_folder(output) as folder:
        (folder / FEATURES).mkdir()
        for name, values in features.items():
            np.savez(folder / FEATURES / f"{name}.npz", ids=ids, embeddings=values)
        graph = ArtistGraph(artists, songs, edges, feature_files(folder))
        digests = graph_digests(tracks, graph, audio)
        manifest = Manifest(
            kind="artist-graph",
            name=options.name,
            source=options.source,
            licence=options.licence,
            caption_template=options.caption_template,
            audio_root=audio.root if audio else None,
            audio_policy=audio.policy if audio else None,
            split=SplitRule(rule="given", roles="given", seed=0),
            counts=_counts(graph, tracks),
            left_out=dict(left_out),
            notes=options.notes,
            digests=digests,
            fingerprint=fingerprint_of(digests),
        )
        for name, table in tables.items():
            table.write_parquet(folder / name)
        manifest = write_manifest(folder, manifest)
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            located = {name: tables[name] for name in (TRACKS, AUDIO_FILES)} if audio else {}
            same_or_refuse(output, manifest, located, folder)
        else:
            put_in_place(folder, output)
    return read_dataset(output)


def read_graph(folder: Path) -> ArtistGraph:
    """Read the graph of an ``artist-graph`` folder.

    Raises:
        DataError: If a table is damaged or does not fit the schema.
    """
    return ArtistGraph(
        read_table(folder / ARTISTS, ARTIST_COLUMNS),
        read_table(folder / SONGS, SONG_COLUMNS),
        read_table(folder / EDGES, EDGE_COLUMNS),
        feature_files(folder),
    )


def feature_files(folder: Path) -> dict[str, Path]:
    """Return name -> file of the ready-made features in a data set folder."""
    return {path.stem: path for path in sorted((folder / FEATURES).glob("*.npz"))}


def graph_digests(tracks: pl.DataFrame, graph: ArtistGraph, audio: DatasetAudio | None) -> dict[str, str]:
    """Return the digests of the manifest: of the songs, the artists, the edges, and each file of features."""
    empty: dict[str, list[str]] = {name: [] for name in PLAYLIST_COLUMNS}
    digests = table_digests(tracks, empty, audio)
    digests["artists"] = digest_columns(*(graph.artists[name] for name in ARTIST_COLUMNS))
    digests["songs"] = digest_columns(*(graph.songs[name] for name in SONG_COLUMNS))
    digests["edges"] = digest_columns(*(graph.edges[name] for name in EDGE_COLUMNS))
    return digests | {f"{FEATURES}.{name}": digest_file(path) for name, path in graph.features.items()}


def _counts(graph: ArtistGraph, tracks: pl.DataFrame) -> dict[str, int]:
    counts = {f"{name}.artists": len(graph.rows(name)) for name in SPLITS}
    counts |= {f"{name}.tracks": tracks.filter(pl.col("split") == name).height for name in SPLITS}
    counts |= {f"{name}.{what}": 0 for name in SPLITS for what in ("playlists", "entries")}
    return counts | edge_groups(graph)


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
