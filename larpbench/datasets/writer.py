"""The one writer of data set folders: playlists or an artist graph, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.artists.graph import ARTISTS, EDGES, FEATURES, SONGS, ArtistGraph, edge_groups
from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.columns import beside, with_kept
from larpbench.datasets.files import (
    AUDIO_FILES,
    MANIFEST,
    PLAYLISTS,
    TRACKS,
    feature_files,
    fingerprint_of,
    read_manifest,
    something_else,
    table_digests,
    uncounted_playlists,
)
from larpbench.datasets.listeners.table import LISTEN_COLUMNS, LISTENERS, LISTENS, without_profile
from larpbench.datasets.schema import PLAYLIST_COLUMNS, SPLITS, TRACK_COLUMNS, Manifest
from larpbench.fingerprint import digest_file
from larpbench.storage import put_in_place, staging_folder
from larpbench.table_files import TABLE_ERRORS, parquet_schema, read_parquet, scan_parquet


def write_dataset(
    output: Path,
    manifest: Manifest,
    tracks: pl.DataFrame,
    playlists: Iterable[pl.DataFrame] = (),
    *,
    audio: DatasetAudio | None = None,
    listens: Iterable[pl.DataFrame] | None = None,
    graph: ArtistGraph | None = None,
    features: Mapping[str, np.ndarray] | None = None,
    attachments: Mapping[str, Path] | None = None,
) -> Manifest:
    """Write a data set folder and return its whole manifest.

    A folder that already holds the same data set (by fingerprint) is left as it is, except for where its audio files
    are and what bytes they have now, and for columns of the tables' own: these are no part of the fingerprint.

    Args:
        output: Folder to write.
        manifest: What the builder knows; counts, digests, fingerprint and audio are filled in here.
        tracks: Columns of `TRACK_COLUMNS`; what is missing is null. Others are kept, see `larpbench.datasets.columns`.
        playlists: Columns `PLAYLIST_COLUMNS`, whole playlists in blocks, in the order of the playlist ids: only one
            block has to fit into memory. Others are kept; they are the same in every block.
        audio: The tracks' audio, if the data set has any.
        listens: Of the kind ``listeners``: columns `LISTEN_COLUMNS`, blocks in the same order; None if nothing is known
            of counts and times.
        graph: Artists, songs and edges, if the data set is an artist graph; its `features` are not looked at.
        features: Name -> (artists, dim) float32 features of its artists, in their order.
        attachments: Name -> file or folder on the same disk that is moved into the data set folder.

    Raises:
        DataError: If `output` holds something else.
    """
    missing = {name: pl.lit(None, dtype=kind) for name, kind in TRACK_COLUMNS.items() if name not in tracks.columns}
    tracks = with_kept(tracks.with_columns(**missing), TRACK_COLUMNS)
    tracks = tracks.select(*TRACK_COLUMNS, *beside(tracks, TRACK_COLUMNS))
    if not tracks["track_id"].is_sorted():
        tracks = tracks.sort("track_id")
    counts = {f"{name}.tracks": tracks.filter(pl.col("split") == name).height for name in SPLITS}
    with staging_folder(output) as folder:
        staged = folder / PLAYLISTS
        uncounted_of = without_profile if manifest.kind == LISTENERS else uncounted_playlists
        playlist_counts, uncounted = _write_blocks(playlists, staged, uncounted_of)
        if listens is not None:
            _write_parts(listens, folder / LISTENS, LISTEN_COLUMNS)
        counts |= playlist_counts
        if graph is not None:
            graph = replace(graph, features=_write_features(folder, graph, features or {}))
            counts |= {f"{name}.artists": len(graph.rows(name)) for name in SPLITS} | edge_groups(graph)
        elif without_artist := tracks.filter(pl.col("artist").fill_null("") == "").height:
            counts["tracks.without_artist"] = without_artist
        stored = None if listens is None else scan_parquet(folder / LISTENS)
        digests = table_digests(tracks, scan_parquet(staged), audio, graph, stored)
        located = {} if audio is None else {"audio_root": audio.root, "audio_policy": audio.policy}
        found = {"counts": counts, "uncounted": uncounted, "digests": digests, "fingerprint": fingerprint_of(digests)}
        manifest = manifest.model_copy(update=found | located)
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            tracks.write_parquet(folder / TRACKS)
            renewed = {
                name
                for name, known in ((TRACKS, TRACK_COLUMNS), (PLAYLISTS, PLAYLIST_COLUMNS))
                if _own_columns_differ(folder / name, output / name, known)
            }
            if audio is not None and audio.root not in (attachments or {}):  # else its files are those that lie there
                audio.files.write_parquet(folder / AUDIO_FILES)
                renewed |= {TRACKS, AUDIO_FILES}
            return _same_or_refuse(output, manifest, renewed, folder)
        tables = {TRACKS: tracks}
        if audio is not None:
            tables[AUDIO_FILES] = audio.files
        if graph is not None:
            tables |= {ARTISTS: graph.artists, SONGS: graph.songs, EDGES: graph.edges}
        for name, table in tables.items():
            table.write_parquet(folder / name)
        for name, path in (attachments or {}).items():
            path.rename(folder / name)
        written = {path.name: digest_file(path) for path in sorted(folder.glob("*.parquet"))}
        manifest = _write_manifest(folder, manifest, written)
        put_in_place(folder, output)
    return manifest


def _write_manifest(folder: Path, manifest: Manifest, tables: dict[str, str]) -> Manifest:
    written = manifest.model_copy(update={"files": tables})
    (folder / MANIFEST).write_text(written.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return written


def _write_features(folder: Path, graph: ArtistGraph, features: Mapping[str, np.ndarray]) -> dict[str, Path]:
    (folder / FEATURES).mkdir()
    for name, values in features.items():
        np.savez(folder / FEATURES / f"{name}.npz", ids=graph.ids, embeddings=values)
    return feature_files(folder)


def _write_blocks(
    blocks: Iterable[pl.DataFrame], path: Path, uncounted_of: Callable[[pl.DataFrame], pl.DataFrame]
) -> tuple[dict[str, int], dict[str, int]]:
    """Write blocks as one Parquet file; return how many playlists and entries each split has, and who is uncounted."""
    counts = {f"{name}.{what}": 0 for name in SPLITS for what in ("playlists", "entries")}
    uncounted: dict[str, int] = dict.fromkeys(SPLITS, 0)

    def counted() -> Iterator[pl.DataFrame]:
        for block in blocks:
            table = with_kept(block, PLAYLIST_COLUMNS)
            yield table.select(*PLAYLIST_COLUMNS, *beside(table, PLAYLIST_COLUMNS))
            found = block.group_by("split").agg(pl.col("playlist_id").n_unique(), pl.len())
            for name, playlists, entries in found.iter_rows():
                counts[f"{name}.playlists"] += playlists
                counts[f"{name}.entries"] += entries
            for name, playlists in uncounted_of(block)["split"].value_counts().iter_rows():
                uncounted[name] += playlists

    _write_parts(counted(), path, PLAYLIST_COLUMNS)
    return counts, {name: playlists for name, playlists in uncounted.items() if playlists}


def _write_parts(tables: Iterable[pl.DataFrame], path: Path, columns: Mapping[str, type[pl.DataType]]) -> None:
    """Write tables as one Parquet file, each of them on its own first: only one has to fit into memory."""
    parts: list[Path] = []
    for table in tables:
        parts.append(path.with_name(f"{len(parts):06d}.part"))
        # What is read once more and deleted is packed in the faster way.
        table.write_parquet(parts[-1], compression="lz4" if len(parts) > 1 else "zstd")
    if len(parts) > 1:
        scan_parquet(parts).sink_parquet(path)
    elif parts:
        parts.pop().rename(path)
    else:
        pl.DataFrame(schema=columns).write_parquet(path)
    for part in parts:
        part.unlink()


def _own_columns_differ(new: Path, existing: Path, known: Mapping[str, object]) -> bool:
    """Return whether two tables, the same in all known columns, have other columns beside them."""
    try:
        names = [[name for name in parquet_schema(path) if name not in known] for path in (new, existing)]
        if names[0] != names[1]:
            return True
        return bool(names[0]) and not read_parquet(new, names[0]).equals(read_parquet(existing, names[1]))
    except (OSError, *TABLE_ERRORS):  # gone or damaged: whoever reads it is told
        return False


def _same_or_refuse(output: Path, manifest: Manifest, renewed: Collection[str], staging: Path) -> Manifest:
    """Return the manifest of the same data set, which is there already.

    Args:
        output: Where it is.
        manifest: What would be written.
        renewed: Names of the tables in `staging` that take the place of those that are there. They say where audio
            files are and what bytes they have, or hold other columns of their own, which is no part of the
            fingerprint: the library may have been moved, or given other tags.
        staging: Folder on the same disk for files on their way.

    Raises:
        DataError: If the folder holds something else.
    """
    if output.is_dir() and (output / MANIFEST).is_file():
        existing = read_manifest(output)
        if existing.fingerprint == manifest.fingerprint and existing.split == manifest.split:
            return _renewed(output, existing, manifest, renewed, staging) if renewed else existing
    raise something_else(output)


def _renewed(folder: Path, existing: Manifest, new: Manifest, tables: Collection[str], staging: Path) -> Manifest:
    """Take some tables in as they are now; the others are not touched, and no more trusted than before."""
    digests = existing.files | {name: digest_file(staging / name) for name in sorted(tables)}
    root = new.audio_root if AUDIO_FILES in tables else existing.audio_root
    manifest = existing.model_copy(update={"audio_root": root})
    if (manifest.audio_root, digests) == (existing.audio_root, existing.files):
        return existing
    written = _write_manifest(staging, manifest, digests)
    for name in (*sorted(tables), MANIFEST):
        (staging / name).replace(folder / name)
    return written
