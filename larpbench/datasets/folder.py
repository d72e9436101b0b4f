"""Data sets out of anybody's music library: a folder of audio, and playlists as files."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import polars as pl

from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.playlist_files import PLAYLIST_READERS, read_playlist, resolve_entry
from larpbench.datasets.schema import Dataset, DatasetAudio
from larpbench.datasets.tags import read_tags
from larpbench.datasets.usable_audio import hear_tracks
from larpbench.errors import DataError

AUDIO_SUFFIXES = frozenset(
    (".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".m4a", ".mp4", ".aac", ".aif", ".aiff", ".wma")
)
NO_PLAYLISTS = (
    "The groups are {groups}, not playlists: nobody chose these tracks to be heard together, so this is no evidence of "
    "how well an encoder continues playlists."
)


def build_folder(
    audio: Path, playlists: Path | None, options: BuildOptions, policy: AudioPolicy, output: Path
) -> Dataset:
    """Build a data set from a folder of audio files.

    A track's id is its path below `audio`. Without playlists, albums are the groups, or artists where no album has two
    tracks; every table then says so.

    Args:
        audio: Folder of audio files, at any depth.
        playlists: Folder of M3U, M3U8, PLS and XSPF files, at any depth.
        options: How to split and caption.
        policy: How clips are cut.
        output: Folder to write.

    Raises:
        DataError: If there is nothing usable, or a folder is missing.
    """
    for folder in filter(None, (audio, playlists)):
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}")
    root = audio.resolve()
    left_out: dict[str, int] = {}
    paths = _audio_files(root, left_out)
    if not paths:
        raise DataError(
            f"there are no audio files in {audio}", allowed=f"files that end with {', '.join(sorted(AUDIO_SUFFIXES))}"
        )
    heard = hear_tracks(paths, policy, options.split_seed)
    left_out |= heard.left_out
    if heard.clips.is_empty():
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise DataError(f"none of the {len(paths)} audio files can be used: {reasons}", where=str(audio))
    tracks = heard.clips.join(_tagged(root, heard.clips["track_id"].to_list()), on="track_id")
    if playlists is None:
        entries, groups = _groups(tracks)
        options = replace(options, notes=(*options.notes, NO_PLAYLISTS.format(groups=groups)))
    else:
        entries = _playlist_entries(playlists.resolve(), root, set(paths), left_out)
    return assemble(
        tracks,
        entries,
        options,
        output,
        audio=DatasetAudio(str(root), policy, heard.files),
        left_out=left_out,
    )


def _audio_files(root: Path, left_out: dict[str, int]) -> dict[str, Path]:
    """Return track id -> file, ids in Unicode's composed form, so that they are the same on every system."""
    found: dict[str, Path] = {}

    def count(reason: str) -> None:
        left_out[reason] = left_out.get(reason, 0) + 1

    for folder, names, files in os.walk(root, onerror=lambda _: count("folders that cannot be read")):
        names.sort()
        for name in sorted(files):
            path = Path(folder) / name
            if path.suffix.lower() not in AUDIO_SUFFIXES or name.startswith("."):
                continue
            track_id = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
            try:
                track_id.encode("utf-8")
            except UnicodeEncodeError:
                count("files whose name is no Unicode")
                continue
            if not track_id.isprintable():
                count("files whose name has control characters")
            elif track_id in found:
                count("files with the id of another file")
            else:
                found[track_id] = path
    return found


def _tagged(root: Path, track_ids: list[str]) -> pl.DataFrame:
    rows = []
    for track_id in track_ids:
        tags = read_tags(root / track_id)
        rows.append((track_id, tags.title, tags.artist, tags.album, track_id))
    columns = ("track_id", "title", "artist", "album", "audio")
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _groups(tracks: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    album = pl.concat_str(["artist", pl.lit(": "), "album"])
    for name, key, known in (
        ("albums", album, pl.col("album") != ""),
        ("artists", pl.col("artist"), pl.col("artist") != ""),
    ):
        entries = tracks.filter(known).select(
            playlist_id=key.str.replace_all(r"[\x00-\x1f\x7f]+", " "), track_id="track_id"
        )
        if entries["playlist_id"].is_duplicated().any():
            return entries, name
    raise DataError(
        "there are no playlists, and no two tracks share an album or artist in their tags",
        next_step="give playlists (--playlists DIR), or tag the files",
    )


def _playlist_entries(folder: Path, root: Path, known: set[str], left_out: dict[str, int]) -> pl.DataFrame:
    rows: list[tuple[str, str]] = []
    elsewhere = unknown = broken = 0
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PLAYLIST_READERS and path.is_file())
    for path in files:
        try:
            entries = read_playlist(path)
        except DataError:
            broken += 1
            continue
        for entry in entries:
            target = resolve_entry(entry, path, root)
            if target is None:
                elsewhere += 1
                continue
            track_id = unicodedata.normalize("NFC", target.relative_to(root).as_posix())
            if track_id in known:
                rows.append((path.relative_to(folder).with_suffix("").as_posix(), track_id))
            else:
                unknown += 1
    if not rows:
        raise DataError(
            f"{len(files)} playlist files in {folder} name no audio file below {root}",
            allowed="M3U, M3U8, PLS or XSPF with paths that lead into --audio",
        )
    for reason, count in (
        ("entries that lead to no file in the audio folder", elsewhere),
        ("entries that are no audio file", unknown),
        ("playlist files that cannot be read", broken),
    ):
        if count:
            left_out[reason] = count
    return pl.DataFrame(rows, schema={"playlist_id": pl.String, "track_id": pl.String}, orient="row")
