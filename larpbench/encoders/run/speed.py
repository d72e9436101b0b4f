"""How fast an encoder is, the time of its start left out."""

from __future__ import annotations

import time


class SpeedClock:
    """Tracks per second, the encoder's start left out where there are batches enough to do so."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first = (0, self._began)
        self._last = (0, self._began)

    def tick(self, tracks: int) -> None:
        """Count a batch that has just come out."""
        self._last = (self._last[0] + tracks, time.perf_counter())
        if not self._first[0]:
            self._first = self._last

    def tracks_per_second(self) -> float:
        """Return the speed so far."""
        since = self._first if self._last[0] > self._first[0] else (0, self._began)
        return (self._last[0] - since[0]) / max(self._last[1] - since[1], 1e-6)
