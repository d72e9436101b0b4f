"""How fast an encoder is, the time of its start left out."""

from __future__ import annotations

import json
from pathlib import Path

from larpbench import storage

_SPEED = "speed.json"


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


def read_speed(folder: Path) -> float | None:
    """Return the tracks per second of an encoder's last run here, by the folder of its vectors; None: unknown."""
    try:
        return float(json.loads((folder / _SPEED).read_text(encoding="utf-8"))["tracks_per_second"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_speed(folder: Path, clock: SpeedClock) -> None:
    """Keep how fast an encoder is; of several processes, the last one's figure stays."""
    with storage.own_file(folder / _SPEED) as temporary:
        temporary.write_text(json.dumps({"tracks_per_second": clock.tracks_per_second()}) + "\n", encoding="utf-8")
