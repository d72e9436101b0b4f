"""What does not come into a data set: counted by reason, with three names each."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 3
_LONGEST = 120


class LeftOut:
    """Counts by reason, and the first names of each."""

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


def with_names(reason: str, names: Sequence[str], total: int) -> str:
    """Return a reason with the first three names, shortened and escaped: ``reason ('a', 'b', 'c', ..)``."""
    shown = ", ".join(repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…") for name in names[:_NAMED])
    return f"{reason} ({shown}{', ..' if total > _NAMED else ''})"
