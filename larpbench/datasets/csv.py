"""Data sets out of two tables that somebody has already: CSV or Parquet."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.schema import Dataset, DatasetAudio
from larpbench.datasets.usable_audio import hear_tracks
from larpbench.errors import DataError, clipped
from larpbench.storage import storage_errors
from larpbench.table_files import TABLE_ERRORS, read_csv, read_parquet

_TRACK_COLUMNS = ("track_id", "title", "artist", "album")
_PLAYLIST_COLUMNS = ("playlist_id", "track_id")


def build_csv(
    tracks: Path,
    playlists: Path,
    options: BuildOptions,
    output: Path,
    *,
    audio: Path | None = None,
    policy: AudioPolicy | None = None,
) -> Dataset:
    """Build a data set from a table of tracks and a table of playlists.

    Args:
        tracks: CSV or Parquet with ``track_id,title,artist,album[,audio,split]``; further columns are ignored.
        playlists: CSV or Parquet with ``playlist_id,track_id[,split,role]``.
        options: How to split and caption.
        output: Folder to write.
        audio: Folder that the ``audio`` column's paths start from. Tracks whose audio cannot be used leave.
        policy: How clips are cut.

    Raises:
        DataError: If a file cannot be read, lacks a column, or contradicts itself.
    """
    listed = read_text_table(tracks, _TRACK_COLUMNS, ("audio", "split"))
    entries = read_text_table(playlists, _PLAYLIST_COLUMNS, ("split", "role"))
    if audio is None:
        return assemble(listed.drop("audio", strict=False), entries, options, output)
    root = audio.resolve()
    if not root.is_dir():
        raise DataError(f"there is no folder {audio}")
    if "audio" not in listed.columns:
        raise DataError("the tracks have no audio column", where=str(tracks), allowed="paths below --audio")
    paths, outside = _audio_paths(listed, root)
    heard = hear_tracks(paths, policy or AudioPolicy(), options.split_seed)
    left_out = {**heard.left_out, **({"tracks whose audio path leads out of the folder": outside} if outside else {})}
    if heard.clips.is_empty():
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise DataError(f"no track has audio that can be used: {reasons}", where=str(audio))
    located = (
        listed.drop("audio")
        .join(heard.clips, on="track_id")
        .with_columns(
            audio=pl.col("track_id").replace_strict(
                {name: path.relative_to(root).as_posix() for name, path in paths.items()}
            )
        )
    )
    return assemble(
        located,
        entries,
        options,
        output,
        audio=DatasetAudio(str(root), policy or AudioPolicy(), heard.files),
        left_out=left_out,
    )


def _audio_paths(listed: pl.DataFrame, root: Path) -> tuple[dict[str, Path], int]:
    """Return track id -> audio file below `root`, and how many paths lead out of it."""
    paths, outside = {}, 0
    for track_id, name in listed.select("track_id", "audio").iter_rows():
        path = (root / (name or "")).resolve()
        if not path.is_relative_to(root):
            outside += 1
        elif track_id is not None:
            paths[track_id] = path
    return paths, outside


def read_text_table(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> pl.DataFrame:
    """Read a CSV or Parquet file as text.

    Args:
        path: The file.
        required: Columns that must be there.
        optional: Columns that are taken if they are there; all others are left out.

    Raises:
        DataError: If it cannot be read or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    with storage_errors(path, "read"):
        try:
            # Everything is text: an id 007 must not become the number 7.
            frame = read_parquet(path) if _is_parquet(path) else read_csv(path, infer_schema=False)
        except TABLE_ERRORS as error:
            reason = clipped(str(error).splitlines()[0] or type(error).__name__)
            raise DataError(
                f"the file cannot be read: {reason}",
                where=str(path),
                allowed="CSV in UTF-8 with commas, a header and line feeds, or Parquet",
            ) from error
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"the table lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            where=f"{path} (has {clipped(', '.join(frame.columns))})",
            allowed=",".join(required) + (f"[,{','.join(optional)}]" if optional else ""),
            next_step="add it, empty if nothing is known" if "track_id" not in missing else None,
        )
    chosen = [*required, *(name for name in optional if name in frame.columns)]
    return frame.select(pl.col(chosen).cast(pl.String))


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"PAR1"
