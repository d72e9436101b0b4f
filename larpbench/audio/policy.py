"""Which part of a track is used."""

from __future__ import annotations

import hashlib
import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AudioPolicy(BaseModel):
    """How clips are cut. It is hashed into every data set and every result."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = 1
    """Grows with every change of the rules or of the decoding that changes samples."""
    clip_seconds: float = Field(default=10.0, gt=0)
    """Length of a clip."""
    skip_start_s: float = Field(default=20.0, ge=0)
    """How much of a track's beginning no clip comes from, if the track is long enough."""
    skip_end_s: float = Field(default=20.0, ge=0)
    """How much of a track's end no clip comes from, if the track is long enough."""
    resampler: Literal["soxr-hq"] = "soxr-hq"
    """What brings a clip to an encoder's sample rate."""
    min_seconds: float = Field(default=1.0, ge=0)
    """Shortest file that is used; one between this and `clip_seconds` is repeated until it fills the clip."""
    silence_dbfs: float = Field(default=-60.0, le=0)
    """A clip whose peak (of its mean over channels; 0 dBFS is 1.0) lies below this is silent and not used."""


def clip_start(policy: AudioPolicy, seed: int, track_id: str, duration_s: float) -> float:
    """Return where the clip of a track starts.

    It is drawn uniformly, by sha256 of the seed and the id, from the milliseconds between ``skip_start_s`` and
    ``duration_s - skip_end_s - clip_seconds``. A track too short for that gives its middle; one shorter than the clip
    starts at 0.

    Args:
        policy: Lengths.
        seed: The data set's seed.
        track_id: The track.
        duration_s: Length of the file in seconds.

    Returns:
        Seconds from the beginning, a whole number of milliseconds; the clip ends within the file if it fits at all.
    """
    earliest = math.ceil(policy.skip_start_s * 1000)
    latest = math.floor((duration_s - policy.skip_end_s - policy.clip_seconds) * 1000)
    if earliest > latest:
        return max(0, math.floor((duration_s - policy.clip_seconds) / 2 * 1000)) / 1000
    key = hashlib.sha256(f"clip\x1f{seed}\x1f{track_id}".encode()).digest()
    return (earliest + (int.from_bytes(key[:8], "big") * (latest - earliest + 1) >> 64)) / 1000
