"""Data sets out of tables that somebody has already: CSV or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.audio_files.library import PathsOnDisk
from larpbench.datasets.audio_files.usable import audible_tracks
from larpbench.datasets.files import refuse_others
from larpbench.datasets.left_out import in_words
from larpbench.datasets.listeners.from_tables import assemble_tables, hold_listeners, require_cold_options
from larpbench.datasets.reading.playlist_tables import read_playlist_tables
from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError, UsageError


def build_csv(
    tracks: Path | None,
    playlists: Path,
    options: BuildOptions,
    output: Path,
    *,
    audio: Path | None = None,
    policy: AudioPolicy | None = None,
    columns: Mapping[str, str] | None = None,
    max_bad_rows: float = 0.01,
) -> Dataset:
    """Build a data set from a table of tracks and a table of playlists.

    Args:
        tracks: CSV or Parquet with ``track_id,title,artist,album[,audio,split]``; further columns are kept, see
            `larpbench.datasets.columns`. None, or the same file as `playlists`: that table has one row an entry, with
            the texts of its track.
        playlists: CSV or Parquet with ``playlist_id,track_id[,split,role]``, or a folder with one table a playlist.
            Of listeners also ``count,first_time``.
        options: How to split and caption.
        output: Folder to write.
        audio: Folder that the ``audio`` column's paths start from. Tracks whose audio cannot be used are dropped.
        policy: How clips are cut.
        columns: Our name of a column -> that in the tables; usual names are found without.
        max_bad_rows: The largest share of either table's rows that is left out because they cannot be used.

    Raises:
        DataError: If a file cannot be read, lacks a column, contradicts itself, or has too many bad rows.
        UsageError: If an option makes no sense.
    """
    _require_options(options)
    read = read_playlist_tables(
        tracks, playlists, audio=audio is not None, columns=columns or {}, max_bad_rows=max_bad_rows
    )
    listeners = options.task == "cold-tracks" or (options.task is None and hold_listeners(read.tracks, read.entries))
    if listeners:
        why = "as --task says" if options.task else "playlists stand in several splits, and no track does"
        progress.say(f"a data set of listeners, for larpbench run --task cold-tracks: {why}")
        require_cold_options(options)
    elif "split" in read.tracks.columns or "split" in read.entries.columns:
        options.require_no_draw()
    make = assemble_tables if listeners else assemble
    refuse_others(output)
    listed = read.tracks
    if audio is None:
        return make(listed, read.entries, options, output, left_out=read.left_out)
    root = audio.resolve()
    if not root.is_dir():
        raise DataError(f"there is no folder {audio}")
    if "audio" not in listed.columns:
        raise DataError(
            "the tracks have no audio column", where=str(tracks or playlists), allowed="paths below --audio"
        )
    paths, outside = _audio_paths(listed, root)
    audible = audible_tracks(listed, paths, root, policy or AudioPolicy(), options.split_seed)
    left_out = read.left_out | audible.left_out
    if outside:
        left_out["tracks whose audio path leads out of the folder"] = outside
    if audible.tracks.is_empty():
        raise DataError(f"no track has audio that can be used: {in_words(left_out)}", where=str(audio))
    return make(audible.tracks, read.entries, options, output, audio=audible.audio, left_out=left_out)


def _require_options(options: BuildOptions) -> None:
    """Refuse options that contradict each other before anything is read."""
    if options.task == "cold-tracks":
        require_cold_options(options)
        return
    if options.cold_fraction is not None:
        raise UsageError(
            "--cold-fraction says which tracks are cold for known listeners",
            allowed="--cold-fraction together with --task cold-tracks",
        )
    options.drawn_rule()


def _audio_paths(listed: pl.DataFrame, root: Path) -> tuple[dict[str, Path], int]:
    """Return track id -> audio file below `root`, and how many paths lead out of it."""
    paths, outside, on_disk = {}, 0, PathsOnDisk()
    for track_id, name in listed.select("track_id", "audio").iter_rows():
        path = on_disk.find(root / (name or "")).resolve()
        if not path.is_relative_to(root):
            outside += 1
        elif track_id is not None:
            paths[track_id] = path
    return paths, outside
