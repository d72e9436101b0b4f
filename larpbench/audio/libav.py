"""What libsndfile does not take (MP4, AAC, WMA, MP3 without a length, ...) through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from io import FileIO
from itertools import chain, islice

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from larpbench.audio.errors import CannotDecodeError
from larpbench.audio.sound import LEAD_IN, mean_of

av.logging.set_level(av.logging.PANIC)  # what is wrong with a file is reported once, by larpbench

_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,caf,dsf,eac3,flac,matroska,mov,mp3,mpc,mpc8,mpegts,ogg,tak,tta,wav,wv"
    # and no playlist format: libav would open what the playlist names, on the network too
)
_ESTIMATED = {"aac", "mp3"}  # formats of which libav only guesses the length
_STAMPS = 32
_TOLERANCE_S = 0.1  # by which a header may promise more than there is: encoders round up to whole blocks
_ERRORS = (av.FFmpegError, OSError, ValueError, RuntimeError, IndexError)


class _Unnamed:
    """A file without its name, from which libav would guess the format."""

    name = ""

    def __init__(self, stream: FileIO) -> None:
        self.read, self.seek, self.tell = stream.read, stream.seek, stream.tell


class LibavSound:
    """A file opened by libav; see `larpbench.audio.sound.Sound`."""

    def __init__(self, stream: FileIO) -> None:
        self._stream = stream
        self._container: InputContainer | None = None
        try:
            first, frames = self._restart()
        except CannotDecodeError:
            self.close()
            raise
        self.rate: int = first.sample_rate  # of a decoded frame: for HE-AAC headers give half of it
        self.channels: int = first.layout.nb_channels
        track = self._track
        self.format = f"{self._demuxer}/{track.codec_context.name}"
        base = track.time_base
        self._frames_per_tick = float(base * self.rate) if base is not None else 0.0
        # Time stamps give positions to the sample only if the clock is fine enough (not in Matroska and ASF). Those of
        # Vorbis do not: libav is wrong wherever long blocks and short ones meet.
        self._has_positions = (
            0 < self._frames_per_tick <= 1 and first.pts is not None and track.codec_context.name != "vorbis"
        )
        self._begin = _before_zero(chain([first], frames)) if self._demuxer == "ogg" else 0
        # The first frame that is decoded is at 0, whatever its time stamp: not all files have the stream's start time.
        self._origin = 0.0 if not self._has_positions else (first.pts or 0) - self._begin / self._frames_per_tick
        self._declared_s = (
            None
            if track.duration is None or track.time_base is None or self._demuxer in _ESTIMATED
            else float(track.duration * track.time_base)
        )

    @cached_property
    def frames(self) -> int:
        """Length of the file by its packets' time stamps, without an encoder's padding at the end (< 0.05 s).

        Headers are not used: they are missing in some MP3 and AAC files, and wrong in files that were cut.
        """
        first, frames = self._restart()
        if not self._has_positions:
            return self._begin + first.samples + sum(frame.samples for frame in frames)
        end = self._origin
        try:
            for packet in self._opened.demux(self._track):
                if packet.pts is not None:
                    end = max(end, packet.pts + (packet.duration or 0))
        except _ERRORS:
            pass  # damaged from here on
        return max(round((end - self._origin) * self._frames_per_tick), self._begin + first.samples)

    def read(self, first: int, count: int) -> np.ndarray:
        """Return up to `count` samples from frame `first` on; see `larpbench.audio.sound.Sound`."""
        frames, position = self._frames_before(first)
        parts = []
        for frame in frames:
            if frame.sample_rate != self.rate:
                raise CannotDecodeError(f"it changes from {self.rate} to {frame.sample_rate} Hz")
            if position + frame.samples > first:
                parts.append(_mono(frame)[max(0, first - position) :])
            position += frame.samples
            if position >= first + count:
                break
        samples = np.concatenate(parts)[:count] if parts else np.empty(0, dtype=np.float32)
        if self._declared_s is not None and len(samples) < count:
            promised = int((self._declared_s - _TOLERANCE_S) * self.rate)
            if first + len(samples) < min(first + count, promised):
                raise CannotDecodeError(f"it ends before {self._declared_s:.2f} s, which its header promises")
        return samples

    def close(self) -> None:
        """Release the decoder; the file stays open."""
        if self._container is not None:
            self._container.close()
            self._container = None

    @property
    def _opened(self) -> InputContainer:
        if self._container is None:
            raise CannotDecodeError("closed")
        return self._container

    def _restart(self) -> tuple[AudioFrame, Iterator[AudioFrame]]:
        """Open the file anew, and return the first decoded frame and all after it."""
        self.close()
        try:
            self._stream.seek(0)
            self._container = av.open(
                _Unnamed(self._stream), "r", options={"format_whitelist": _FORMATS}, metadata_errors="ignore"
            )
            self._demuxer = self._container.format.name.split(",")[0]
            self._track: AudioStream = self._opened.streams.audio[0]
            self._track.codec_context.thread_count = 1  # the loader has threads enough
        except _ERRORS as error:
            why = "no audio in it" if isinstance(error, IndexError) else getattr(error, "strerror", None) or str(error)
            raise CannotDecodeError(why) from error
        frames = self._decode()
        first = next(frames, None)
        if first is None:
            raise CannotDecodeError("nothing in it can be decoded")
        return first, frames

    def _decode(self) -> Iterator[AudioFrame]:
        """Decode from where the container stands. What is damaged is left out, as players do."""
        try:
            for packet in self._opened.demux(self._track):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    continue
                yield from (frame for frame in frames if isinstance(frame, AudioFrame))
        except _ERRORS:
            return

    def _frames_before(self, first: int) -> tuple[Iterator[AudioFrame], int]:
        """Return frames from well before `first` on, and the position of the first of them.

        Where no position is known to the sample, all is decoded from the start.
        """
        lead_in = first - LEAD_IN
        if lead_in > 0 and self._has_positions:
            try:
                self._opened.seek(int(self._origin + lead_in / self._frames_per_tick), stream=self._track)
            except _ERRORS:
                pass  # from the start, then
            else:
                frames = self._decode()
                frame = next(frames, None)
                if frame is not None and frame.pts is not None:
                    position = round((frame.pts - self._origin) * self._frames_per_tick)
                    if position <= lead_in:
                        return chain([frame], frames), position
        frame, frames = self._restart()
        return chain([frame], frames), self._begin


def _before_zero(frames: Iterator[AudioFrame]) -> int:
    """Return the position of the first frame of an Ogg file: negative if the file was cut out of a longer stream.

    The clock of Ogg counts samples. Single time stamps may be late (see above), so the earliest of several holds.
    """
    stamped, position = [0], 0
    for frame in islice(frames, _STAMPS):
        if frame.pts is not None:
            stamped.append(frame.pts - position)
        position += frame.samples
    return min(stamped)


def _mono(frame: AudioFrame) -> np.ndarray:
    """Return (samples,) float32 of a frame of any sample format."""
    samples = frame.to_ndarray()
    channels = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return mean_of((channels.astype(np.float32) - 128) / 128)
    if samples.dtype.kind == "i":
        return mean_of(channels.astype(np.float32) * np.float32(2.0 ** (1 - 8 * samples.dtype.itemsize)))
    return mean_of(channels.astype(np.float32, copy=False))
