"""Audio files as arrays: which clip of a track is used, whether it is usable, and its samples."""

from __future__ import annotations

from larpbench.audio.clips import AudioInfo, ExaminedClip, examine, load_clip, probe, samples_digest
from larpbench.audio.errors import Reason, UnusableAudio
from larpbench.audio.loader import iter_clips
from larpbench.audio.policy import AudioPolicy, clip_start

__all__ = [
    "AudioInfo",
    "AudioPolicy",
    "ExaminedClip",
    "Reason",
    "UnusableAudio",
    "clip_start",
    "examine",
    "iter_clips",
    "load_clip",
    "probe",
    "samples_digest",
]
