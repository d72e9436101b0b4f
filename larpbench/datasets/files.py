"""A data set folder on disk: written whole or not at all, read back through its schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
from larpbench.errors import DataError, schema_fault
from larpbench.fingerprint import digest, digest_columns, digest_file, digest_file_once
from larpbench.storage import put_in_place, staging_folder, storage_errors
from larpbench.table_files import TABLE_ERRORS, read_parquet, scan_parquet

MANIFEST = "dataset.json"
TRACKS = "tracks.parquet"
PLAYLISTS = "playlists.parquet"
AUDIO_FILES = "audio-files.parquet"
_NAMES = ("title", "artist", "album")
_ROWS_AT_A_TIME = 1 << 20


def write_dataset(
    output: Path,
    tracks: pl.DataFrame,
    playlists: Iterable[pl.DataFrame],
    *,
    name: str,
    source: str,
    licence: str,
    caption_template: str,
    split: SplitRule,
    left_out: Mapping[str, int],
    left_out_entries: Mapping[str, int],
    notes: tuple[str, ...],
    audio: DatasetAudio | None = None,
    attachments: Mapping[str, Path] | None = None,
    recipe: str | None = None,
) -> Manifest:
    """Write a data set folder and return its manifest.

    A folder that already holds the same data set (by fingerprint) is left as it is, but for where its audio files are
    and what bytes they have now.

    Args:
        output: Folder to write.
        tracks: Columns of `TRACK_COLUMNS`; what is missing is null.
        playlists: Columns `PLAYLIST_COLUMNS`, whole playlists in blocks, in the order of the playlist ids: only one
            block has to fit into memory.
        name: And the rest, as in `Manifest`.
        source: See `Manifest`.
        licence: See `Manifest`.
        caption_template: See `Manifest`.
        split: See `Manifest`.
        left_out: See `Manifest`.
        left_out_entries: See `Manifest`.
        notes: See `Manifest`.
        audio: The tracks' audio, if the data set has any.
        attachments: Name -> file or folder on the same disk that is moved into the data set folder.
        recipe: See `Manifest`.

    Raises:
        DataError: If `output` holds something else.
    """
    missing = {
        column: pl.lit(None, dtype=kind) for column, kind in TRACK_COLUMNS.items() if column not in tracks.columns
    }
    tracks = tracks.with_columns(**missing).select(list(TRACK_COLUMNS))
    if not tracks["track_id"].is_sorted():
        tracks = tracks.sort("track_id")
    without_artist = tracks.filter(pl.col("artist").fill_null("") == "").height
    with staging_folder(output) as folder:
        staged = folder / PLAYLISTS
        counts, uncounted = _write_blocks(playlists, staged)
        digests = table_digests(tracks, {column: _stored_cells(staged, column) for column in PLAYLIST_COLUMNS}, audio)
        manifest = Manifest(
            name=name,
            source=source,
            licence=licence,
            caption_template=caption_template,
            audio_root=audio.root if audio else None,
            audio_policy=audio.policy if audio else None,
            split=split,
            counts={f"{each}.tracks": tracks.filter(pl.col("split") == each).height for each in SPLITS}
            | counts
            | ({"tracks.without_artist": without_artist} if without_artist else {}),
            left_out=dict(left_out),
            left_out_entries=dict(left_out_entries),
            uncounted=uncounted,
            notes=notes,
            digests=digests,
            fingerprint=fingerprint_of(digests),
            recipe=recipe,
        )
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            if audio is None or audio.root in (attachments or {}):  # in which case its files are those that lie there
                return same_or_refuse(output, manifest, {}, folder)
            return same_or_refuse(output, manifest, {TRACKS: tracks, AUDIO_FILES: audio.files}, folder)
        tracks.write_parquet(folder / TRACKS)
        if audio is not None:
            audio.files.write_parquet(folder / AUDIO_FILES)
        for name_inside, made in (attachments or {}).items():
            made.rename(folder / name_inside)
        manifest = write_manifest(folder, manifest)
        put_in_place(folder, output)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest beside the tables that it speaks of, and return it with their digests."""
    return _write_manifest(
        folder, manifest, {path.name: digest_file(path) for path in sorted(folder.glob("*.parquet"))}
    )


def _write_manifest(folder: Path, manifest: Manifest, tables: dict[str, str]) -> Manifest:
    written = manifest.model_copy(update={"files": tables})
    (folder / MANIFEST).write_text(written.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return written


def refuse_others(output: Path) -> None:
    """Refuse an output that is there and is no data set: better before long work than after it.

    Raises:
        DataError: If it is.
    """
    if output.exists() and not (output.is_dir() and ((output / MANIFEST).is_file() or not any(output.iterdir()))):
        raise _something_else(output)


def already_built(output: Path, recipe: str, split: SplitRule) -> Manifest | None:
    """Return the manifest of a data set that the same command has built there, None if there is nothing yet.

    Raises:
        DataError: If there is something else; better said before a long build than after it.
    """
    refuse_others(output)
    if not (output / MANIFEST).is_file():
        return None
    existing = read_manifest(output)
    if existing.recipe == recipe:
        return existing
    if existing.split != split:
        raise _something_else(output)
    return None


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a data set folder.

    Raises:
        DataError: If it is no data set, or the manifest does not fit the schema.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{folder} is no data set folder: it has no {MANIFEST}",
            next_step="larpbench dataset build --help, or larpbench list datasets",
        )
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"the manifest does not fit the schema: {schema_fault(error)}", where=str(path)) from error


def read_dataset(folder: Path, *, as_built: bool = True) -> Dataset:
    """Read a data set folder.

    Args:
        folder: Where it is.
        as_built: Whether its tables must be those that were built; whoever looks for what is wrong reads them anyway.

    Raises:
        DataError: If it is no data set, is damaged, was changed, or does not fit the schema.
    """
    manifest = read_manifest(folder)
    if as_built:
        _require_as_built(folder, manifest)
    tracks = read_table(folder / TRACKS, TRACK_COLUMNS)
    playlists = read_table(folder / PLAYLISTS, PLAYLIST_COLUMNS)
    audio = _read_audio(folder, manifest)
    if as_built and not {TRACKS, PLAYLISTS} <= manifest.files.keys():
        _require_digests(folder, manifest, table_digests(tracks, playlists.to_dict(), audio))
    graph = None
    if manifest.kind == "artist-graph":
        from larpbench.datasets.artists.files import read_graph  # builds on this module

        graph = read_graph(folder)
    return Dataset(folder, manifest, tracks, playlists, audio, graph)


def _require_as_built(folder: Path, manifest: Manifest) -> None:
    if manifest.fingerprint != fingerprint_of(manifest.digests):
        raise DataError(
            "the manifest was changed since the data set was built: its fingerprint is not that of its digests",
            where=str(folder / MANIFEST),
            next_step="restore the file, or build the data set anew",
        )
    for name, built in manifest.files.items():
        with storage_errors(folder / name, "read"):
            same = (folder / name).is_file() and digest_file_once(folder / name) == built
        if not same:
            raise DataError(
                "a table of the data set is gone or was changed since it was built: its results would stand under the "
                "name of another data set",
                where=str(folder / name),
                next_step=f"larpbench dataset check {folder} says what is wrong; build it anew, or restore the file",
            )


def _require_digests(folder: Path, manifest: Manifest, found: Mapping[str, str]) -> None:
    """Compare the content of tables where the manifest does not say which bytes they have."""
    if wrong := [name for name, each in found.items() if manifest.digests.get(name, each) != each]:
        raise DataError(
            f"the tables are not what the manifest says: the digests of {', '.join(wrong)} differ",
            where=str(folder),
            next_step=f"larpbench dataset check {folder} says what is wrong; build it anew, or restore the files",
        )


def read_table(
    path: Path, columns: Mapping[str, type[pl.DataType]], newer: Mapping[str, pl.Expr] | None = None
) -> pl.DataFrame:
    """Read a Parquet file of the data set and check its columns.

    Args:
        path: The file.
        columns: Those that it has.
        newer: Columns that earlier versions did not write -> what stands for them.

    Raises:
        DataError: If it cannot be read or has other columns.
    """
    advice = "build the data set anew (larpbench dataset build), or restore the file"
    with storage_errors(path, "read"):
        try:
            frame = read_parquet(path)
        except TABLE_ERRORS as error:
            first_line = str(error).splitlines()[0]
            raise DataError(f"the file is damaged: {first_line}", where=str(path), next_step=advice) from error
    frame = frame.with_columns(**{name: value for name, value in (newer or {}).items() if name not in frame.columns})
    if dict(frame.schema) != {name: kind() for name, kind in columns.items()}:
        found = ", ".join(f"{name} {kind}" for name, kind in frame.schema.items())
        allowed = ", ".join(f"{name} {kind.__name__}" for name, kind in columns.items())
        raise DataError(f"the table has other columns: {found}", where=str(path), allowed=allowed, next_step=advice)
    return frame


def _read_audio(folder: Path, manifest: Manifest) -> DatasetAudio | None:
    if manifest.audio_root is None or manifest.audio_policy is None:
        return None
    # Earlier versions digested the files' bytes: with these in its place their data sets keep their fingerprint.
    files = read_table(folder / AUDIO_FILES, AUDIO_FILE_COLUMNS, newer={"samples_sha256": pl.col("sha256")})
    return DatasetAudio(manifest.audio_root, manifest.audio_policy, files)


def table_digests(
    tracks: pl.DataFrame, playlists: Mapping[str, Iterable[str]], audio: DatasetAudio | None
) -> dict[str, str]:
    """Return the digests of the manifest, each of just what an encoder of one modality, or the protocol, depends on."""
    digests = {
        "tracks.text": digest_columns(tracks["track_id"], tracks["caption"]),
        "tracks.names": digest_columns(*(tracks[column].fill_null("") for column in ("track_id", *_NAMES))),
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


def _write_blocks(blocks: Iterable[pl.DataFrame], path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Write blocks as one Parquet file; return how many playlists and entries each split has, and who is uncounted."""
    counts = {f"{name}.{what}": 0 for name in SPLITS for what in ("playlists", "entries")}
    uncounted: dict[str, int] = dict.fromkeys(SPLITS, 0)
    parts: list[Path] = []
    for block in blocks:
        parts.append(path.with_name(f"{len(parts):06d}.part"))
        block.select(list(PLAYLIST_COLUMNS)).write_parquet(parts[-1])
        found = block.group_by("split").agg(pl.col("playlist_id").n_unique(), pl.len())
        for name, playlists, entries in found.iter_rows():
            counts[f"{name}.playlists"] += playlists
            counts[f"{name}.entries"] += entries
        for name, playlists in uncounted_playlists(block)["split"].value_counts().iter_rows():
            uncounted[name] += playlists
    if len(parts) == 1:
        parts[0].rename(path)
    else:
        scan_parquet(parts).sink_parquet(path)
        for part in parts:
            part.unlink()
    return counts, {name: playlists for name, playlists in uncounted.items() if playlists}


def uncounted_playlists(entries: pl.DataFrame) -> pl.DataFrame:
    """Return the valid and test playlists without a seed or without a held-out track (protocol rule 8).

    Args:
        entries: Whole playlists, columns of ``playlists.parquet``.

    Returns:
        Columns ``playlist_id``, ``split``, ``tracks`` (how many it has) and ``seed``, ``heldout`` (whether it has one).
    """
    asked = entries.filter(pl.col("split") != "train")
    has = {role: (pl.col("role") == role).any() for role in ("seed", "heldout")}
    return (
        asked.group_by("playlist_id", "split").agg(tracks=pl.len(), **has).filter(~(pl.col("seed") & pl.col("heldout")))
    )


def _stored_cells(path: Path, column: str) -> Iterator[str]:
    """Yield a column of a Parquet file, a bounded number of rows at a time."""
    stored = scan_parquet(path).select(column)
    start = 0
    while (part := stored.slice(start, _ROWS_AT_A_TIME).collect()).height:
        yield from part[column]
        start += part.height


def same_or_refuse(output: Path, manifest: Manifest, located: Mapping[str, pl.DataFrame], staging: Path) -> Manifest:
    """Return the manifest of the same data set, which is there already.

    Args:
        output: Where it is.
        manifest: What would be written.
        located: File name -> table that says where audio files are and what bytes they have, which is no part of the
            fingerprint: the library may have been moved, or given other tags.
        staging: Folder on the same disk for files on their way.

    Raises:
        DataError: If the folder holds something else.
    """
    if output.is_dir() and (output / MANIFEST).is_file():
        existing = read_manifest(output)
        if existing.fingerprint == manifest.fingerprint and existing.split == manifest.split:
            return _relocated(output, existing, manifest, located, staging) if located else existing
    raise _something_else(output)


def _relocated(
    folder: Path, existing: Manifest, new: Manifest, tables: Mapping[str, pl.DataFrame], staging: Path
) -> Manifest:
    """Take some tables in as they are now; the others are not touched, and no more trusted than before."""
    for name, table in tables.items():
        table.write_parquet(staging / name)
    digests = existing.files | {name: digest_file(staging / name) for name in tables}
    manifest = existing.model_copy(update={"audio_root": new.audio_root})
    if (manifest.audio_root, digests) == (existing.audio_root, existing.files):
        return existing
    written = _write_manifest(staging, manifest, digests)
    for name in (*tables, MANIFEST):
        (staging / name).replace(folder / name)
    return written


def _something_else(output: Path) -> DataError:
    return DataError(
        "the output folder is not empty and holds something else",
        where=str(output),
        next_step="choose another --output, or remove that folder first",
    )
