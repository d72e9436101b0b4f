"""Clips of audio files: their samples at any rate, and whether they are usable."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from larpbench.audio.decoder_choice import with_sound
from larpbench.audio.errors import CannotDecodeError, UnusableAudio
from larpbench.audio.policy import AudioPolicy, clip_start
from larpbench.audio.sound import Sound
from larpbench.errors import UsageError

_CONTEXT = 256  # samples of the lower rate on each side; soxr's HQ filter reaches less than 128 far


@dataclass(frozen=True)
class AudioInfo:
    """Length, rate, channels and format of a file.

    Attributes:
        duration_s: Length in seconds.
        sample_rate: In Hz.
        channels: Number of channels.
        format: ``container/codec``, as the decoder calls them: ``ogg/vorbis``, ``mov/aac``.
    """

    duration_s: float
    sample_rate: int
    channels: int
    format: str


@dataclass(frozen=True)
class ExaminedClip:
    """A clip that can be used.

    Attributes:
        start_s: Where it starts, in seconds, to the millisecond.
        duration_s: Length of the whole file in seconds.
        peak_dbfs: Peak of the clip's mean over channels, at the file's own rate.
        padded: Whether the file is shorter than the clip, and repeated.
        samples_sha256: The digest of the clip's samples; see `samples_digest`.
        info: The file.
    """

    start_s: float
    duration_s: float
    peak_dbfs: float
    padded: bool
    samples_sha256: str
    info: AudioInfo


def probe(path: Path | str) -> AudioInfo:
    """Return length, rate, channels and format of a file.

    The length is that of what can be decoded. Where a header has it (to the sample in WAV, FLAC, Ogg, and MP3 with
    a Xing header) it is read from there. Else (MP3 without a Xing header or cut off, MP4, AAC, ...) the packets are
    gone through, without decoding them, which is right to 0.05 s; no length is ever guessed from a bit rate.

    Raises:
        UnusableAudio: If the file is missing, unreadable or empty.
    """
    path = Path(path)
    return with_sound(path, lambda sound: _info(path, sound))


def load_clip(path: Path | str, start_s: float, seconds: float, sample_rate: int) -> np.ndarray:
    """Return a clip as an encoder gets it.

    The samples are those of the whole file, brought to `sample_rate` by soxr (HQ) and cut from sample
    ``round(start_s * sample_rate)`` on; only the clip and what the filter needs around it is decoded. (AAC may differ
    where its encoder replaced sound by noise, which the decoder draws.)

    Args:
        path: The file, of any format that libsndfile or libav can decode; its name does not matter.
        start_s: Start in seconds.
        seconds: Length in seconds. Where the file ends earlier, what there is from `start_s` on is repeated.
        sample_rate: Wanted rate in Hz.

    Returns:
        (round(seconds * sample_rate),) float32, the plain mean over channels (of all six, for 5.1).

    Raises:
        UnusableAudio: If the file is missing, unreadable, empty, or ends before `start_s` (``too short``).
        UsageError: If the clip makes no sense.
    """
    return cut_clip(Path(path), start_s, seconds, sample_rate)


def cut_clip(
    path: Path,
    start_s: float,
    seconds: float,
    sample_rate: int,
    instead_of_libav: Callable[[], np.ndarray] | None = None,
) -> np.ndarray:
    """Return what `load_clip` does, or what `instead_of_libav` does where libsndfile does not get through."""
    if not (0 <= start_s < math.inf and 0 < seconds < math.inf and sample_rate > 0):
        raise UsageError(
            f"no clip of {seconds} s from {start_s} s at {sample_rate} Hz",
            where=str(path),
            allowed="a start of at least 0, a length and a rate above 0",
        )
    first, count = round(start_s * sample_rate), max(1, round(seconds * sample_rate))
    clip = with_sound(path, lambda sound: _resampled(sound, first, count, sample_rate), instead_of_libav)
    if not len(clip):
        raise UnusableAudio("too short", path, f"it ends before {start_s} s, where the clip starts")
    return clip if len(clip) == count else np.resize(clip, count)


def examine(
    path: Path | str, policy: AudioPolicy, seed: int, track_id: str, start_s: float | None = None
) -> ExaminedClip:
    """Choose the clip of a track, decode it once at the file's own rate, and check whether it can be used.

    Args:
        path: The file.
        policy: How clips are cut, and what is too short or silent.
        seed: The data set's seed.
        track_id: The track.
        start_s: Where the clip should start; it is drawn if this is None, or if the file ends before such a clip does.

    Raises:
        UnusableAudio: If it cannot be used; the ``reason`` says why.
    """
    path = Path(path)
    return with_sound(path, lambda sound: _examined(path, sound, policy, seed, track_id, start_s))


def _info(path: Path, sound: Sound) -> AudioInfo:
    if sound.frames <= 0:
        raise UnusableAudio("empty", path, "no samples")
    return AudioInfo(sound.frames / sound.rate, sound.rate, sound.channels, sound.format)


def _examined(
    path: Path, sound: Sound, policy: AudioPolicy, seed: int, track_id: str, start_s: float | None
) -> ExaminedClip:
    info = _info(path, sound)
    if info.duration_s < policy.min_seconds:
        raise UnusableAudio("too short", path, f"{info.duration_s:.3f} s, less than {policy.min_seconds} s")
    if start_s is None or not 0 <= start_s <= info.duration_s - policy.clip_seconds:
        start_s = clip_start(policy, seed, track_id, info.duration_s)
    clip = _native(sound, start_s, policy.clip_seconds)
    if not len(clip):
        raise CannotDecodeError(f"no sound at {start_s} s")
    peak = float(np.abs(clip).max())
    if not math.isfinite(peak):
        raise UnusableAudio("not finite", path, f"NaN or infinity in the clip from {start_s} s on")
    peak_dbfs = 20 * math.log10(peak) if peak else -math.inf
    if peak_dbfs < policy.silence_dbfs:
        raise UnusableAudio("silent", path, f"a peak of {peak_dbfs:.1f} dBFS in the clip from {start_s} s on")
    padded = info.duration_s < policy.clip_seconds
    return ExaminedClip(start_s, info.duration_s, peak_dbfs, padded, samples_digest(clip, sound.rate), info)


def samples_digest(samples: np.ndarray, sample_rate: int) -> str:
    """Return the digest of what a clip sounds like, however its file is packed.

    Samples are rounded to the steps of 16 bits, and not clipped: two files that differ in tags, compression, or less
    than such a step give the same digest. Lossless files give it on every CPU and with every decoder; decoders of lossy
    ones may differ by a step.

    Args:
        samples: (n,) float32, the mean over channels, finite; full scale is 1.
        sample_rate: Of the file itself, in Hz.

    Returns:
        sha256, 64 hex digits.
    """
    largest = np.iinfo(np.int32).max
    steps = np.clip(np.rint(samples.astype(np.float64) * (1 << 15)), -largest, largest)
    return hashlib.sha256(f"{sample_rate} Hz\n".encode() + steps.astype("<i4").tobytes()).hexdigest()


def clip_digest(path: Path | str, start_s: float, seconds: float) -> str:
    """Return the digest of a clip at the file's own rate, as `examine` gives it.

    Raises:
        UnusableAudio: If the file is missing, unreadable or empty.
    """
    return with_sound(Path(path), lambda sound: samples_digest(_native(sound, start_s, seconds), sound.rate))


def _native(sound: Sound, start_s: float, seconds: float) -> np.ndarray:
    return sound.read(round(start_s * sound.rate), max(1, round(seconds * sound.rate)))


def _resampled(sound: Sound, first: int, count: int, rate: int) -> np.ndarray:
    """Return up to `count` samples from sample `first` on of the whole sound at another rate."""
    if sound.rate == rate:
        return sound.read(first, count)
    common = math.gcd(sound.rate, rate)
    up, down = rate // common, sound.rate // common
    context = math.ceil(_CONTEXT * max(1, down / up))
    # Where a multiple of `down` native samples ends, the grids of both rates meet: only from there are the phases
    # of the filter those of the whole file.
    begin = max(0, first * down // up - context) // down
    end = -(-(first + count) * down // up) + context
    native = sound.read(begin * down, end - begin * down)
    if not len(native):
        return native
    skip = first - begin * up
    return np.ascontiguousarray(soxr.resample(native, sound.rate, rate, quality="HQ")[skip : skip + count])
