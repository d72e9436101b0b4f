"""Which tracks can be heard: every clip is decoded once before the split, so that all encoders rank the same tracks.

Protocol rule 4: what is missing, corrupt, empty, silent or too short leaves here, named and counted by reason.
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
from larpbench.datasets.losses import with_names
from larpbench.datasets.schema import AUDIO_FILE_COLUMNS
from larpbench.fingerprint import digest_file
from larpbench.runtime import cores


@dataclass(frozen=True)
class UsableTracks:
    """The tracks that can be heard, and why the others cannot.

    Attributes:
        clips: Columns ``track_id``, ``clip_start_s``, ``duration_s``.
        files: Digests (`AUDIO_FILE_COLUMNS`).
        left_out: Reason, with some of the names -> number of tracks.
    """

    clips: pl.DataFrame
    files: pl.DataFrame
    left_out: dict[str, int]


def find_usable(
    paths: Mapping[str, Path], policy: AudioPolicy, seed: int, starts: Mapping[str, float] | None = None
) -> UsableTracks:
    """Decode one clip of every track.

    Args:
        paths: Track id -> audio file.
        policy: How clips are cut.
        seed: Split seed; it also drives where clips start.
        starts: Track id -> where its clip should start, for those that are known.
    """
    given = starts or {}
    clips, files = [], []
    reasons: dict[str, list[str]] = {}

    def hear(item: tuple[str, Path]) -> tuple[str, tuple[float, float] | None, tuple[str, str, int, int] | str]:
        track_id, path = item
        try:
            clip = examine(path, policy, seed, track_id, given.get(track_id))
            found = path.stat()
            row = (clip.samples_sha256, digest_file(path), found.st_size, found.st_mtime_ns)
            return track_id, (clip.start_s, clip.duration_s), row
        except UnusableAudio as error:
            return track_id, None, error.reason
        except OSError:  # it went away between the two looks
            return track_id, None, "unreadable"

    with progress.stage("listen", len(paths), "files") as advance, ThreadPoolExecutor(cores()) as pool:
        for track_id, clip, rest in pool.map(hear, sorted(paths.items())):
            if clip is None or isinstance(rest, str):
                reasons.setdefault(str(rest), []).append(track_id)
            else:
                clips.append((track_id, *clip))
                files.append((track_id, *rest))
            advance(1)
    return UsableTracks(
        pl.DataFrame(
            clips,
            schema={"track_id": pl.String, "clip_start_s": pl.Float64, "duration_s": pl.Float64},
            orient="row",
        ),
        pl.DataFrame(files, schema=dict(AUDIO_FILE_COLUMNS), orient="row"),
        {
            with_names(f"tracks whose audio is {reason}", names, len(names)): len(names)
            for reason, names in sorted(reasons.items())
        },
    )
