"""Audio files that carry track ids: a folder of files named by them, or a table of paths."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.datasets.audio_files.library import (
    AUDIO_SUFFIXES,
    PathsOnDisk,
    composed,
    folder_without_links,
    name_fault,
)
from larpbench.datasets.reading.text_tables import read_text_table
from larpbench.datasets.track_ids import ids_of_uris
from larpbench.errors import DataError, named
from larpbench.fingerprint import digest

_ALLOWED = "files named <track id>.mp3, .ogg, .flac, .wav, .m4a, .. at any depth, or a CSV with track_id,path"


@dataclass(frozen=True)
class NamedAudio:
    """Files by track id.

    Attributes:
        source: The folder or table that the user named.
        root: Folder that all files lie below.
        files: Track id, in Unicode's composed form -> file.
    """

    source: Path
    root: Path
    files: dict[str, Path]

    @cached_property
    def listing_digest(self) -> str:
        """The digest of the ids, paths, sizes and times; a file that is not there counts as such."""
        rows = []
        for track_id, path in sorted(self.files.items()):
            found = path.stat() if path.is_file() else None
            rows.append([track_id, str(path), found and found.st_size, found and found.st_mtime_ns])
        return digest(rows)

    def of(self, track_ids: pl.Series, entries: np.ndarray) -> dict[str, Path]:
        """Return the files of those tracks that have one, and say how many have none.

        Args:
            track_ids: (n,) all tracks.
            entries: (n,) how many playlists hold each.

        Raises:
            DataError: If no track has a file.
        """
        has_file = track_ids.str.normalize("NFC").is_in(list(self.files)).to_numpy()
        matched = int(has_file.sum())
        if not matched:
            raise DataError(
                f"none of {len(self.files)} audio files belongs to any of {len(track_ids)} tracks",
                where=f"{self.source}: {named(sorted(self.files), 3)}; tracks: {named(track_ids.head(3).to_list(), 3)}",
                allowed=_ALLOWED,
            )
        if matched < len(track_ids):
            held = entries[has_file].sum() / max(entries.sum(), 1)
            progress.say(
                f"audio: {matched} of {len(track_ids)} tracks have a file ({matched / len(track_ids):.1%}), "
                f"which are {held:.1%} of the playlist entries; {len(self.files) - matched} files belong to no track"
            )
        return {track_id: self.file_of(track_id) for track_id in track_ids.filter(pl.Series(has_file))}

    def file_of(self, track_id: str) -> Path:
        """Return the file of a track that has one; both may be in any form of Unicode."""
        return self.files[composed(track_id)]


def find_audio(source: Path) -> NamedAudio:
    """Find audio files by track id.

    Args:
        source: A folder of files that are named by track ids, at any depth, or a table (CSV or Parquet) with columns
            ``track_id`` and ``path``; relative paths start from the table's folder.

    Raises:
        DataError: If there is nothing of the kind.
    """
    if source.is_dir():
        root = folder_without_links(source)
        files = _in_folder(root)
    elif source.is_file():
        files = _in_table(source)
        root = Path(os.path.commonpath([path.parent for path in files.values()])) if files else source.parent
    else:
        raise DataError(f"there is no {source}", allowed=_ALLOWED)
    if not files:
        raise DataError(f"there are no audio files in {source}", allowed=_ALLOWED)
    return NamedAudio(source, root, files)


def _in_folder(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name_fault(name) is None)
        for name in sorted(files):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a Path for each of a million files takes minutes
            if suffix.lower() in AUDIO_SUFFIXES and not name.startswith(".") and name_fault(name) is None:
                found.setdefault(composed(stem), Path(folder) / name)
    return found


def _in_table(table: Path) -> dict[str, Path]:
    base = table.resolve().parent
    rows = read_text_table(table, ("track_id", "path"), ())
    listed = rows.with_columns(ids_of_uris(rows["track_id"])).drop_nulls()
    found: dict[str, Path] = {}
    paths = PathsOnDisk()
    for track_id, path in listed.iter_rows():
        found.setdefault(composed(track_id), paths.find(Path(os.path.normpath(base / path))))
    return found
