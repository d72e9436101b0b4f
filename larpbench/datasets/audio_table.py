"""The audio of a data set: one row a track, with the digests of its file and of the samples that encoders read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from larpbench.audio.policy import AudioPolicy
from larpbench.fingerprint import digest, digest_columns

AUDIO_FILE_COLUMNS: dict[str, type[pl.DataType]] = {
    "track_id": pl.String,
    "samples_sha256": pl.String,  # of the clip's decoded samples: what the data set's digest is made of
    "sha256": pl.String,  # of the file, and its size and time: by which a changed file is found
    "bytes": pl.Int64,
    "modified_ns": pl.Int64,
}


def clips_digest(clips: pl.DataFrame, policy: AudioPolicy) -> str:
    """Return the digest of all that is read of clips: ``track_id``, ``samples_sha256``, ``clip_start_s``, the policy.

    The files' own bytes are no part of it: another encoder, or another tag, packs the same sound into other bytes.
    """
    columns = (clips["track_id"], clips["samples_sha256"], clips["clip_start_s"].cast(pl.String))
    return digest([digest_columns(*columns), policy.model_dump(mode="json")])


@dataclass(frozen=True)
class DatasetAudio:
    """The audio of a data set.

    Attributes:
        root: Folder that the tracks' ``audio`` paths start from: absolute, or relative to the data set folder.
        policy: How clips are cut.
        files: Columns `AUDIO_FILE_COLUMNS`, one row a track.
    """

    root: str
    policy: AudioPolicy
    files: pl.DataFrame


@dataclass(frozen=True)
class SplitAudio:
    """The clips of one split.

    Attributes:
        root: Folder that the paths start from.
        policy: How clips are cut.
        files: Columns ``track_id``, ``audio``, ``clip_start_s`` and `AUDIO_FILE_COLUMNS`; in the order of the
            split's tracks.
    """

    root: Path
    policy: AudioPolicy
    files: pl.DataFrame

    @cached_property
    def digest(self) -> str:
        """The digest of ids, samples, clip starts and policy: all that an audio encoder sees."""
        return clips_digest(self.files, self.policy)
