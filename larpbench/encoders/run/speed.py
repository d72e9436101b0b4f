"""How fast an encoder is, the time of its start left out."""

from __future__ import annotations


class SpeedClock:
    """Tracks per second, the encoder's start left out where there are batches enough to do so."""

    def __init__(self) -> None:
        self._first = (0, 0.0)
        self._all = (0, 0.0)

    @property
    def tracks(self) -> int:
        """How many tracks have come out."""
        return self._all[0]

    def tick(self, tracks: int, seconds: float) -> None:
        """Count a batch that has just come out, and the seconds since the one before."""
        self._all = (self._all[0] + tracks, self._all[1] + seconds)
        if not self._first[0]:
            self._first = self._all

    def tracks_per_second(self) -> float:
        """Return the speed so far."""
        since = self._first if self._all[0] > self._first[0] else (0, 0.0)
        return (self._all[0] - since[0]) / max(self._all[1] - since[1], 1e-6)
