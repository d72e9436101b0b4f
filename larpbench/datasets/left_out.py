"""What is left out of a data set: counted by reason, with the first names of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

IN_OTHER_SPLIT = "entries whose track belongs to another split"
IN_NO_SPLIT = "entries whose track is in no split"
IN_SHORT_PLAYLIST = "entries of playlists with too few tracks of their split"
_NAMED = 3
_LONGEST = 120


class LeftOut:
    """Counts what is left out of a data set by reason, and keeps the first three names of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one.

        Args:
            reason: What is left out, and why, such as ``files that cannot be read``.
            name: Which one; any text of a file or a folder.
        """
        self._counts[reason] = self._counts.get(reason, 0) + 1
        names = self._names.setdefault(reason, [])
        if len(names) < _NAMED:
            names.append(name)

    def by_reason(self) -> dict[str, int]:
        """Return reason, with the first three names, -> count."""
        return {with_names(reason, self._names[reason], count): count for reason, count in self._counts.items()}


def add_count(left_out: dict[str, int], reason: str, count: int) -> None:
    """Add to the count of a reason; a count of 0 leaves no entry."""
    if count:
        left_out[reason] = left_out.get(reason, 0) + count


def with_names(reason: str, names: Sequence[str], total: int) -> str:
    """Return a reason with the first three names, shortened and escaped: ``reason ('a', 'b', 'c', ..)``."""
    shown = ", ".join(repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…") for name in names[:_NAMED])
    return f"{reason} ({shown}{', ..' if total > _NAMED else ''})"


def in_words(left_out: Mapping[str, int]) -> str:
    """Return reasons and counts as one line, for messages."""
    return "; ".join(f"{count} {reason}" for reason, count in left_out.items())


def left_out_entries(left_out: Mapping[str, int]) -> dict[str, int]:
    """Return the reasons for which playlist entries were left out; duplicates are not counted (protocol rule 1)."""
    return {reason: count for reason, count in left_out.items() if reason.startswith("entries ")}
