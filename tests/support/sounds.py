"""Small audio files: a tone of its own for every track."""

from __future__ import annotations

from pathlib import Path

import mutagen
import numpy as np
import soundfile


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    """A tone with an overtone and a slow beat, (samples,) float32."""
    time = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * hertz * time) + 0.4 * np.sin(4 * np.pi * hertz * time)
    return (0.3 * wave * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * time))).astype(np.float32)


def write_tone(
    path: Path, hertz: float, seconds: float = 4.0, rate: int = 22_050, channels: int = 1, **tags: str
) -> Path:
    """Write a tone in the format that the name ends with, and its tags."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.repeat(tone(hertz, seconds, rate)[:, None], channels, axis=1)
    soundfile.write(path, samples, rate)
    if tags:
        found = mutagen.File(path, easy=True)
        if found.tags is None:
            found.add_tags()
        for name, value in tags.items():
            found[name] = value
        found.save()
    return path
