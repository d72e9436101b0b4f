"""Small encoders of audio that fail, change what they are given, or take their time; for processes beside this one."""

from __future__ import annotations

import time

import numpy as np

from larpbench.encoders.encoder import EncodeContext, TrackBatch


class Level:
    """Loudness and loudest frequency of a clip, multiplied by a number."""

    def __init__(self, factor: float = 1.0, breaks_after: int = 10**9, error: BaseException | None = None) -> None:
        self.factor, self.breaks_after, self.error = factor, breaks_after, error
        self.tracks = 0

    def encode(self, batch: TrackBatch) -> np.ndarray:
        self.tracks += len(batch)
        if self.tracks > self.breaks_after:
            raise self.error or RuntimeError("broken")
        strongest = np.abs(np.fft.rfft(batch.audio)).argmax(axis=1) / 2
        found = np.stack([np.abs(batch.audio).mean(axis=1), strongest], axis=1) * self.factor
        return found.astype(np.float32)


class Careless(Level):
    """Works in the arrays that it is given."""

    def encode(self, batch: TrackBatch) -> np.ndarray:
        np.multiply(batch.audio, 0.5, out=batch.audio)
        batch.captions[:] = ""
        return super().encode(batch)


class Slow(Level):
    def encode(self, batch: TrackBatch) -> np.ndarray:
        began = time.process_time()
        while time.process_time() - began < 0.1:
            pass
        return super().encode(batch)


def build_level(context: EncodeContext, argument: str | None) -> Level:
    return Level()


def build_broken(context: EncodeContext, argument: str | None) -> Level:
    return Level(breaks_after=0)
