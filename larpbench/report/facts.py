"""A record as tables of names and values: whatever it holds, side by side for the seeds of one row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from larpbench.report.rendering import amount
from larpbench.results.record import CellRecord

_MOST_LINES = 300
_CHAPTERS = {
    "What was counted": ("counts", "diagnostics"),
    "Hyper-parameters": ("recommender.params", "recommender.budget", "recommender.fit", "training.settings"),
    "Training": ("training",),
    "Costs": ("costs",),
    "Provenance": ("",),
}
_ELSEWHERE = (
    "cell",
    "metrics",
    "beyond",
    "status",
    "failure",
    "draws",
    "warnings",
    "encoder.card",
    "removal",
    "schema_version",
)


@dataclass(frozen=True)
class Chapter:
    """Some facts of a row's records.

    Attributes:
        title: Heading.
        lines: Name, and one text a seed, or a single one where all are the same.
    """

    title: str
    lines: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Listing:
    """A list inside a record, such as the trials of tuning or the epochs of training.

    Attributes:
        title: What it is, and of which seed.
        heads: Its columns.
        lines: One text a column.
        left_out: Lines that are not shown.
    """

    title: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    left_out: int


def chapters(records: Sequence[CellRecord]) -> list[Chapter]:
    """Return what the records of one row say, but what pages show in another way."""
    flat = [dict(_flat(record.model_dump(mode="json"))) for record in records]
    names = [name for name in dict.fromkeys(name for each in flat for name in each) if not _within(name, _ELSEWHERE)]
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {title: [] for title in _CHAPTERS}
    for name in names:
        title = next(title for title, parts in _CHAPTERS.items() if parts == ("",) or _within(name, parts))
        texts = tuple(amount(each.get(name)) for each in flat)
        found[title].append((name, texts if len(set(texts)) > 1 else texts[:1]))
    return [Chapter(title, tuple(lines)) for title, lines in found.items() if lines]


def listings(records: Sequence[CellRecord]) -> list[Listing]:
    """Return the lists of the records of one row; those that all seeds share once."""
    found: dict[tuple[str, str], Listing] = {}
    for record in records:
        for name, lines in _lists(record.model_dump(mode="json", exclude={"metrics", "beyond"})):
            table = [dict(_flat(_numbered(line))) for line in lines]
            heads = tuple(dict.fromkeys(head for line in table for head in line))
            texts = tuple(tuple(amount(line.get(head)) for head in heads) for line in table[:_MOST_LINES])
            seed = f", seed {record.cell.seed}" if len(records) > 1 else ""
            listing = Listing(f"{name}{seed}", heads, texts, len(table) - len(texts))
            found.setdefault((name, repr(texts)), listing)
    return list(found.values())


def _within(name: str, parts: Sequence[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    for name, part in value.items():
        if isinstance(part, Mapping):
            yield from _flat(part, f"{before}{name}.")
        elif part not in (None, []) and not _is_list(part):
            yield f"{before}{name}", part


def _numbered(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line in which a list of parts, such as the rungs of a trial, is a part for each number."""
    return {
        name: {str(number): part for number, part in enumerate(value, 1)} if _is_list(value) else value
        for name, value in line.items()
    }


def _lists(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    for name, part in value.items():
        if isinstance(part, Mapping):
            yield from _lists(part, f"{before}{name}.")
        elif _is_list(part):
            yield f"{before}{name}", part


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)
