"""Title, artist and album out of an audio file's tags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mutagen

LONGEST = 1_000
"""Characters that are kept of a tag: some files carry whole lyrics in their title."""


@dataclass(frozen=True)
class Tags:
    """What a file says of itself.

    Attributes:
        title: The file's name without its ending, if it has no such tag.
        artist: Empty if unknown.
        album: Empty if unknown.
    """

    title: str
    artist: str
    album: str


def read_tags(path: Path) -> Tags:
    """Return a file's tags; a file whose tags cannot be read has none."""
    try:
        found = mutagen.File(path, easy=True)
    except Exception:  # mutagen raises what it happens to stumble over in a damaged file
        found = None
    tags = (found.tags if found is not None else None) or {}

    def first(*names: str) -> str:
        for name in names:
            try:
                values = tags.get(name)
            except (KeyError, ValueError):
                continue
            text = " ".join(str(value) for value in values) if isinstance(values, list) else str(values or "")
            if text.strip():
                return text.strip()[:LONGEST]
        return ""

    return Tags(first("title") or path.stem[:LONGEST], first("artist", "albumartist"), first("album"))
