"""All pairs of encoders of one table under one recommender: differences, intervals, tests and effect sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larpbench.evaluation.significance import ALPHA, Comparison, compare_all, holm
from larpbench.report.entries import Entry, Section

MOST = 30
"""Encoders of one table and recommender that are compared: 435 pairs."""


@dataclass(frozen=True)
class Pair:
    """Two encoders.

    Attributes:
        first: The better one.
        second: The other.
        numbers: Which these are among the encoders of the group.
        found: First less second; p is adjusted for all pairs of the group.
        bar: Low, value and high of the difference, and 0, in percent of the group's axis.
    """

    first: Entry
    second: Entry
    numbers: tuple[int, int]
    found: Comparison
    bar: tuple[float, float, float, float]

    @property
    def apart(self) -> bool:
        """Whether the two can be told apart."""
        return self.found.p <= ALPHA


@dataclass(frozen=True)
class Group:
    """The encoders of one table under one recommender.

    Attributes:
        section: The table.
        recommender: Name.
        metric: What is compared.
        entries: The encoders, best first.
        pairs: All pairs of them.
        queries: On how many playlists, or whatever the task asks about.
        left_out: Encoders that are not compared: the lowest, where there are too many.
        page: Name of its page.
    """

    section: Section
    recommender: str
    metric: str
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...]
    queries: int
    left_out: int
    page: str


def read_groups(sections: Sequence[Section]) -> list[Group]:
    """Return all groups of at least two encoders that were asked the same queries."""
    groups: list[Group] = []
    for section in sections:
        by_recommender: dict[str, list[Entry]] = defaultdict(list)
        for entry in section.scored:
            by_recommender[entry.row.recommender].append(entry)
        for recommender, entries in sorted(by_recommender.items()):
            alike = {len(entry.values) for entry in entries}
            if len(entries) > 1 and len(alike) == 1:
                groups.append(_group(section, recommender, entries, len(groups) + 1))
    return groups


def _group(section: Section, recommender: str, entries: Sequence[Entry], number: int) -> Group:
    best = sorted(entries, key=lambda entry: (-entry.values.mean(), entry.row.encoder))[:MOST]
    numbers, found = compare_all(np.stack([entry.values for entry in best]))
    adjusted = holm(np.array([each.p for each in found]))
    lowest, highest = min(0.0, *(each.low for each in found)), max(0.0, *(each.high for each in found))
    span = (highest - lowest) or 1.0

    def at(value: float) -> float:
        return round(100 * (value - lowest) / span, 2)

    pairs = tuple(
        Pair(
            best[one],
            best[other],
            (int(one), int(other)),
            Comparison(each.difference, each.low, each.high, float(p), each.effect_size),
            (at(each.low), at(each.difference), at(each.high), at(0.0)),
        )
        for (one, other), each, p in zip(numbers, found, adjusted, strict=True)
    )
    queries, left_out = len(best[0].values), len(entries) - len(best)
    page = f"{number}.html"
    return Group(section, recommender, best[0].first, tuple(best), pairs, queries, left_out, page)
