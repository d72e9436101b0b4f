"""The table model: what every table, comparison and reproduced table is before it becomes text in some format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

NOT_APPLICABLE = "n/a"


@dataclass(frozen=True)
class Column:
    """One column of a sheet.

    Attributes:
        label: Its heading.
        metric: The metric whose values it shows, such as ``recall@10``; empty for any other column.
        right: Whether it is aligned to the right.
        rising: Whether higher is better: marked by an arrow.
    """

    label: str
    metric: str = ""
    right: bool = False
    rising: bool = False


@dataclass(frozen=True)
class SheetCell:
    """One cell of a sheet.

    Attributes:
        text: What it shows.
        small: What follows in smaller print, such as an interval: made of numbers, and never escaped in Markdown.
        place: 1 for the best of its column, 2 for the second best, 0 otherwise.
        value: The number that it shows; None if it shows none.
        low: Lower end of the number's 95 % interval; None if there is none.
        high: Upper end.
    """

    text: str = ""
    small: str = ""
    place: int = 0
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class SheetRow:
    """One row of a sheet.

    Attributes:
        cells: One a column.
        kind: ``control`` for a yardstick, ``bound`` for chance and ceiling, empty otherwise.
        failure: The message of a row that has no scores.
    """

    cells: tuple[SheetCell, ...]
    kind: Literal["", "control", "bound"] = ""
    failure: str | None = None


@dataclass(frozen=True)
class Sheet:
    """A table: `larpbench.results.writers` writes it in every format.

    Attributes:
        title: What it is; may be empty.
        columns: Its columns.
        rows: Its rows, from the top.
        notes: Sentences below it.
        lines: The same numbers in long form and full precision, for CSV; not part of the JSON.

    Raises:
        ValueError: If a row has not one cell a column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[SheetRow, ...]
    notes: tuple[str, ...] = ()
    lines: tuple[Mapping[str, object], ...] = ()

    def __post_init__(self) -> None:
        """Check the rows against the columns."""
        if any(len(row.cells) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of the table {self.title!r} has not {len(self.columns)} cells")


def text_sheet(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[SheetCell | str]],
    notes: Sequence[str],
    lines: Sequence[Mapping[str, object]],
) -> Sheet:
    """Return a sheet of plain columns, aligned to the left; cells may be given as texts."""
    return Sheet(
        title,
        tuple(map(Column, heads)),
        tuple(SheetRow(tuple(SheetCell(cell) if isinstance(cell, str) else cell for cell in row)) for row in rows),
        tuple(notes),
        tuple(lines),
    )


def column_head(metric: str) -> str:
    """Return a metric as a heading, such as ``NDCG@10``."""
    name, at, k = metric.partition("@")
    if not at:
        return metric
    first, *rest = name.split("_")
    words = [first.upper() if first in ("ndcg", "mrr", "map") else first.capitalize(), *rest]
    return f"{' '.join(words)}@{k}"


def bound_text(value: float | None) -> str:
    """Return chance or ceiling to four decimals."""
    return NOT_APPLICABLE if value is None else f"{value:.4f}"
