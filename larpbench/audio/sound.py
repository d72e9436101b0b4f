"""What every decoder offers: the length of a file, and its samples from any position on."""

from __future__ import annotations

from typing import Protocol

import numpy as np

LEAD_IN = 12 * 1152
"""Frames to decode before those wanted: more than what MP3 (in its bit reservoir), AAC, Opus and Vorbis carry over."""


class Sound(Protocol):
    """A file opened by a decoder. Positions count frames (one sample a channel) from the first decoded one.

    Attributes:
        rate: Frames a second, as the file has them.
        channels: Number of channels.
        format: ``container/codec``, as the decoder calls them.
    """

    rate: int
    channels: int
    format: str

    @property
    def frames(self) -> int:
        """Length of the file; finding it may take a pass over the file (without decoding it)."""

    def read(self, first: int, count: int) -> np.ndarray:
        """Return up to `count` samples from frame `first` on, fewer only where the file ends.

        Returns:
            (samples,) float32, the mean over channels; full scale is 1.

        Raises:
            CannotDecodeError: If the file breaks off before the end that its header gives, or cannot be decoded.
        """

    def close(self) -> None:
        """Release the decoder; the file stays open."""


def mean_of(channels: np.ndarray) -> np.ndarray:
    """Return the plain mean over channels, whatever speakers they are for: 5.1 weighs all six alike.

    Args:
        channels: (channels, samples) float32.

    Returns:
        (samples,) float32. Column by column, as numpy's mean over so short an axis is many times slower.
    """
    if len(channels) == 1:
        return np.ascontiguousarray(channels[0])
    with np.errstate(invalid="ignore", over="ignore"):  # `examine` looks for what is not finite
        total = channels[0] + channels[1]
        for channel in channels[2:]:
            total += channel
        total *= np.float32(1 / len(channels))
    return total
