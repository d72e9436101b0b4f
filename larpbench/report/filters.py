"""What a leaderboard can be narrowed down to: the values that its rows have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from larpbench.report.entries import Entry, Section


@dataclass(frozen=True)
class Choice:
    """One thing to filter by.

    Attributes:
        key: Name of the rows' attribute.
        label: Its name on the page.
        values: What rows have; a page names each by its place, from 0.
    """

    key: str
    label: str
    values: tuple[str, ...]


def leaderboard_choices(sections: Sequence[Section]) -> tuple[Choice, ...]:
    """Return the choices of a leaderboard, each with all values that occur."""
    pairs = [(section, entry) for section in sections for entry in section.entries]
    return tuple(
        Choice(key, label, tuple(sorted({value for pair in pairs for value in _values(key, *pair)})))
        for key, label in _LABELS.items()
    )


def tokens_of(choices: Sequence[Choice], section: Section, entry: Entry) -> dict[str, str]:
    """Return the places of a row's values among the choices, with blanks between them."""
    return {
        choice.key: " ".join(str(choice.values.index(value)) for value in _values(choice.key, section, entry))
        for choice in choices
    }


_LABELS = {
    "task": "Task",
    "tested": "Data set",
    "recommender": "Recommender",
    "modality": "Modality",
    "licence": "Licence",
}


def _values(key: str, section: Section, entry: Entry) -> tuple[str, ...]:
    if key == "modality":
        return tuple(map(str, entry.card.get("modalities") or ())) or ("ids only",)
    return (
        {
            "task": entry.table.task,
            "tested": section.table.tested,
            "recommender": entry.row.recommender,
            "licence": str(entry.card.get("licence")),
        }[key],
    )
