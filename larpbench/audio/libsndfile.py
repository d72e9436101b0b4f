"""WAV, FLAC, Ogg Vorbis, Opus and most MP3 through libsndfile."""

from __future__ import annotations

import os
from functools import cached_property
from io import FileIO

import numpy as np
import soundfile

from larpbench.audio.errors import CannotDecodeError
from larpbench.audio.mp3 import has_false_length
from larpbench.audio.sound import LEAD_IN, mean_of

_UNKNOWN_LENGTH = 1 << 62  # libsndfile gives 2**63 - 1 for FLAC from a pipe, in which it cannot seek either
_OUTER_PAGES_S = 5
# A page lasts about a second. In Vorbis cut out of a longer stream the first page may begin before 0, of which
# libsndfile skips the wrong part. It finds no exact position in the last page either, if that is cut short, but reads
# exactly up to its end.
_ERRORS = (soundfile.SoundFileError, OSError, RuntimeError, TypeError, ValueError)


class LibsndfileSound:
    """A file opened by libsndfile; see `larpbench.audio.sound.Sound`."""

    def __init__(self, stream: FileIO) -> None:
        try:
            if has_false_length(stream):
                raise CannotDecodeError("MPEG audio without a header that gives its length")
            stream.seek(0)
            # By descriptor, as with a name libsndfile takes any file ending in .au, .snd, .vox or .gsm for raw audio.
            source = stream.fileno() if os.name == "posix" else stream.name
            self._file = soundfile.SoundFile(source, closefd=False)
        except _ERRORS as error:
            raise CannotDecodeError(_message(error)) from error
        self._promised: int = self._file.frames
        if self._promised >= _UNKNOWN_LENGTH or self._file.format == "RAW":
            self.close()
            raise CannotDecodeError("a file whose header does not give its length or format")
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.format = f"{self._file.format}/{self._file.subtype}".lower()

    @cached_property
    def frames(self) -> int:
        """Length of the file by its header; for FLAC, of which a part may be missing, after a look at the last sample.

        For FLAC only, as a later read may be wrong by then: the second seek in a Vorbis file is not exact.
        """
        if self._file.format == "FLAC":
            self.read(self._promised - 1, 1)
        return self._promised

    def read(self, first: int, count: int) -> np.ndarray:
        """Return up to `count` samples from frame `first` on; see `larpbench.audio.sound.Sound`."""
        count = min(count, self._promised - first)
        if first < 0 or count <= 0:
            return np.empty(0, dtype=np.float32)
        start = first
        if self._file.subtype == "VORBIS":
            outer = _OUTER_PAGES_S * self.rate
            start = min(first, self._promised - outer)
            if start < outer:
                raise CannotDecodeError("libsndfile is not exact in the first pages of Vorbis files")
        elif self._file.format == "MP3":
            start = max(0, first - LEAD_IN)  # libmpg123 goes back four frames only
        try:
            self._file.seek(start)
            block = self._file.read(first - start + count, dtype="float32", always_2d=True)[first - start :]
        except _ERRORS as error:
            raise CannotDecodeError(_message(error)) from error
        if len(block) < count:
            raise CannotDecodeError(f"it ends at frame {first + len(block)}, its header promises {self._promised}")
        return mean_of(block.T)

    def close(self) -> None:
        """Release the decoder; the file stays open."""
        self._file.close()


def _message(error: Exception) -> str:
    return str(getattr(error, "error_string", error))  # without "Error opening" and the descriptor's number
