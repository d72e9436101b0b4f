"""A data set folder on disk: written whole or not at all, read back through its schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from larpbench.datasets.schema import (
    AUDIO_FILE_COLUMNS,
    PLAYLIST_COLUMNS,
    SPLITS,
    TRACK_COLUMNS,
    Dataset,
    DatasetAudio,
    Manifest,
    SplitRule,
    clips_digest,
)
from larpbench.errors import DataError
from larpbench.fingerprint import digest, digest_columns
from larpbench.storage import atomic_folder, storage_errors

MANIFEST = "dataset.json"
TRACKS = "tracks.parquet"
PLAYLISTS = "playlists.parquet"
AUDIO_FILES = "audio-files.parquet"


def write_dataset(
    output: Path,
    tracks: pl.DataFrame,
    playlists: pl.DataFrame,
    *,
    name: str,
    source: str,
    licence: str,
    caption_template: str,
    split: SplitRule,
    left_out: Mapping[str, int],
    notes: tuple[str, ...],
    audio: DatasetAudio | None,
    attachments: Mapping[str, Path],
) -> Dataset:
    """Write a data set folder and return it as read back.

    A folder that already holds the same data set (by fingerprint) is left as it is.

    Raises:
        DataError: If `output` holds something else.
    """
    missing = {
        column: pl.lit(None, dtype=kind) for column, kind in TRACK_COLUMNS.items() if column not in tracks.columns
    }
    tracks = tracks.with_columns(**missing).select(list(TRACK_COLUMNS)).sort("track_id")
    playlists = playlists.select(list(PLAYLIST_COLUMNS)).sort("playlist_id", "track_id")
    digests = table_digests(tracks, playlists, audio)
    manifest = Manifest(
        name=name,
        source=source,
        licence=licence,
        caption_template=caption_template,
        audio_root=audio.root if audio else None,
        audio_policy=audio.policy if audio else None,
        split=split,
        counts=_counts(tracks, playlists),
        left_out=dict(left_out),
        notes=notes,
        digests=digests,
        fingerprint=fingerprint_of(digests),
    )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        return _same_or_refuse(output, manifest)
    with atomic_folder(output) as folder:
        tracks.write_parquet(folder / TRACKS)
        playlists.write_parquet(folder / PLAYLISTS)
        if audio is not None:
            audio.files.select(list(AUDIO_FILE_COLUMNS)).write_parquet(folder / AUDIO_FILES)
        for name_inside, made in attachments.items():
            made.rename(folder / name_inside)
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return read_dataset(output)


def read_dataset(folder: Path) -> Dataset:
    """Read a data set folder.

    Raises:
        DataError: If it is no data set, is damaged, or does not fit the schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} is no data set folder: it has no {MANIFEST}",
            next_step="larpbench dataset build --help, or larpbench list datasets",
        )
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise DataError(f"the manifest does not fit the schema: {error}", where=str(path)) from error
    tracks = read_table(folder / TRACKS, TRACK_COLUMNS)
    playlists = read_table(folder / PLAYLISTS, PLAYLIST_COLUMNS)
    return Dataset(folder, manifest, tracks, playlists, _read_audio(folder, manifest))


def read_table(path: Path, columns: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """Read a Parquet file of the data set and check its columns.

    Raises:
        DataError: If it cannot be read or has other columns.
    """
    advice = "build the data set anew (larpbench dataset build), or restore the file"
    with storage_errors(path, "read"):
        try:
            frame = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            first_line = str(error).splitlines()[0]
            raise DataError(f"the file is damaged: {first_line}", where=str(path), next_step=advice) from error
    if dict(frame.schema) != {name: kind() for name, kind in columns.items()}:
        found = ", ".join(f"{name} {kind}" for name, kind in frame.schema.items())
        allowed = ", ".join(f"{name} {kind.__name__}" for name, kind in columns.items())
        raise DataError(f"the table has other columns: {found}", where=str(path), allowed=allowed, next_step=advice)
    return frame


def _read_audio(folder: Path, manifest: Manifest) -> DatasetAudio | None:
    if manifest.audio_root is None or manifest.audio_policy is None:
        return None
    files = read_table(folder / AUDIO_FILES, AUDIO_FILE_COLUMNS)
    return DatasetAudio(manifest.audio_root, manifest.audio_policy, files)


def table_digests(tracks: pl.DataFrame, playlists: pl.DataFrame, audio: DatasetAudio | None) -> dict[str, str]:
    """Return the digests of the manifest, each of just what an encoder of one modality, or the protocol, depends on."""
    digests = {
        "tracks.text": digest_columns(tracks["track_id"], tracks["caption"]),
        "playlists": digest_columns(*(playlists[column] for column in PLAYLIST_COLUMNS)),
        "split": digest_columns(tracks["track_id"], tracks["split"]),
    }
    if audio is not None:
        heard = tracks.join(audio.files, on="track_id", how="left", maintain_order="left")
        digests["tracks.audio"] = clips_digest(heard, audio.policy)
    return digests


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """Return the fingerprint: the digest of all digests."""
    return digest(dict(digests))


def _counts(tracks: pl.DataFrame, playlists: pl.DataFrame) -> dict[str, int]:
    counts = {}
    for name in SPLITS:
        counts[f"{name}.tracks"] = tracks.filter(pl.col("split") == name).height
        entries = playlists.filter(pl.col("split") == name)
        counts[f"{name}.playlists"] = entries["playlist_id"].n_unique()
        counts[f"{name}.entries"] = entries.height
    return counts


def _same_or_refuse(output: Path, manifest: Manifest) -> Dataset:
    if output.is_dir() and (output / MANIFEST).is_file():
        existing = read_dataset(output)
        if existing.manifest.fingerprint == manifest.fingerprint and existing.manifest.split == manifest.split:
            return existing
    raise DataError(
        "the output folder is not empty and holds something else",
        where=str(output),
        next_step="choose another --output, or remove that folder first",
    )
