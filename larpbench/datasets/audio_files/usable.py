"""Tracks with usable audio: every clip is decoded once before the split, so that all encoders rank the same tracks.

Protocol rule 4: missing, corrupt, empty, silent and too-short files are dropped here, named and counted by reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.audio.clips import examine
from larpbench.audio.errors import UnusableAudio
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.audio_table import AUDIO_FILE_COLUMNS, DatasetAudio
from larpbench.datasets.left_out import with_names
from larpbench.fingerprint import digest_file
from larpbench.runtime import cores


@dataclass(frozen=True)
class AudibleTracks:
    """The tracks with usable audio, and why the others have none.

    Attributes:
        tracks: The rows of these tracks, in their order, with ``audio`` (path below the root),
            ``clip_start_s`` and ``duration_s``.
        audio: Where the files are, how clips are cut, and the files' digests.
        left_out: Reason, with some of the names -> number of tracks.
    """

    tracks: pl.DataFrame
    audio: DatasetAudio
    left_out: dict[str, int]


def audible_tracks(
    tracks: pl.DataFrame,
    paths: Mapping[str, Path],
    root: Path,
    policy: AudioPolicy,
    seed: int,
    starts: Mapping[str, float] | None = None,
) -> AudibleTracks:
    """Decode one clip of every track that has a file.

    Args:
        tracks: Column ``track_id``, and any others.
        paths: Track id -> audio file below `root`.
        root: Folder that the paths of the result start from.
        policy: How clips are cut.
        seed: Split seed; it also drives where clips start.
        starts: Track id -> where its clip should start, where that is decided.
    """
    starts = starts or {}
    clips, files = [], []
    reasons: dict[str, list[str]] = {}

    def decode(item: tuple[str, Path]) -> tuple[str, tuple[float, float] | None, tuple[str, str, int, int] | str]:
        track_id, path = item
        try:
            clip = examine(path, policy, seed, track_id, starts.get(track_id))
            found = path.stat()
            row = (clip.samples_sha256, digest_file(path), found.st_size, found.st_mtime_ns)
            return track_id, (clip.start_s, clip.duration_s), row
        except UnusableAudio as error:
            return track_id, None, error.reason
        except OSError:  # it went away between the two looks
            return track_id, None, "unreadable"

    with progress.stage("listen", len(paths), "files") as advance, ThreadPoolExecutor(cores()) as pool:
        for track_id, clip, rest in pool.map(decode, sorted(paths.items())):
            if clip is None or isinstance(rest, str):
                reasons.setdefault(str(rest), []).append(track_id)
            else:
                clips.append((track_id, paths[track_id].relative_to(root).as_posix(), *clip))
                files.append((track_id, *rest))
            advance(1)
    columns = {"track_id": pl.String, "audio": pl.String, "clip_start_s": pl.Float64, "duration_s": pl.Float64}
    usable = pl.DataFrame(clips, schema=columns, orient="row")
    left_out = {
        with_names(f"tracks whose audio is {reason}", names, len(names)): len(names)
        for reason, names in sorted(reasons.items())
    }
    return AudibleTracks(
        tracks.drop("audio", strict=False).join(usable, on="track_id", maintain_order="left"),
        DatasetAudio(str(root), policy, pl.DataFrame(files, schema=dict(AUDIO_FILE_COLUMNS), orient="row")),
        left_out,
    )
