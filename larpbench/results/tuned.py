"""Results whose parameters were chosen by different versions of tuning: they are never in one table (rule 11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from larpbench.recommenders.base import TUNING_VERSION
from larpbench.results.record import CellRecord

Found = tuple[Path, CellRecord]
"""A record, and where it lies."""


def by_tuning(found: Sequence[Found]) -> tuple[list[Found], list[Found]]:
    """Return what can stand in one table, and what earlier versions of tuning chose.

    Results of recommenders that learn nothing go with the newest version.
    """
    newest = max((_version(record) or 0 for _, record in found), default=0)
    alike = [(path, record) for path, record in found if _version(record) in (None, newest)]
    return alike, [(path, record) for path, record in found if _version(record) not in (None, newest)]


def earlier_tuning(records: Iterable[CellRecord]) -> str:
    """Return by which version of tuning some records were chosen, in words; empty if it is today's or there is none."""
    versions = {_version(record) for record in records} - {None, TUNING_VERSION}
    return " and ".join(
        f"tuning version {version or '1 or 2'}" for version in sorted(versions, key=lambda each: each or 0)
    )


def _version(record: CellRecord) -> int | None:
    """Return the version of a record's tuning, 0 if it is from before versions were recorded; None if there is none."""
    return (record.recommender.tuning or 0) if record.recommender.trials else None
