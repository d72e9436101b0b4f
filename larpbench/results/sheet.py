"""The table model: what every table, comparison and reproduced table is before it becomes text in some format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

NOT_APPLICABLE = "n/a"
_MAIN_METRICS = 2
_BREAK = re.compile(r"(?<=[/_:@+=,#\s-])(?=\S)|(?<=\.)(?=[^\W\d])")


@dataclass(frozen=True)
class Column:
    """One column of a sheet.

    Attributes:
        label: Its heading.
        metric: The metric whose values it shows, such as ``recall@10``; empty for any other column.
        right: Whether it is aligned to the right.
        rising: Whether higher is better: marked by an arrow.
        minor: Whether it is left out where there is no room: on a page of LaTeX, in a narrow terminal.
    """

    label: str
    metric: str = ""
    right: bool = False
    rising: bool = False
    minor: bool = False


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
        kind: ``control`` for an encoder that is a control, ``bound`` for chance and ceiling, empty otherwise.
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
        label: By which LaTeX refers to it; empty: made of the title.

    Raises:
        ValueError: If a row has not one cell a column.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[SheetRow, ...]
    notes: tuple[str, ...] = ()
    lines: tuple[Mapping[str, object], ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        """Check the rows against the columns."""
        if any(len(row.cells) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of the table {self.title!r} has not {len(self.columns)} cells")


def text_sheet(
    title: str,
    heads: Sequence[Column | str],
    rows: Sequence[Sequence[SheetCell | str]],
    notes: Sequence[str],
    lines: Sequence[Mapping[str, object]],
) -> Sheet:
    """Return a sheet of plain columns, aligned to the left; columns and cells may be given as texts."""
    return Sheet(
        title,
        tuple(Column(head) if isinstance(head, str) else head for head in heads),
        tuple(SheetRow(tuple(SheetCell(cell) if isinstance(cell, str) else cell for cell in row)) for row in rows),
        tuple(notes),
        tuple(lines),
    )


def without_minor(sheet: Sheet) -> tuple[Sheet, tuple[str, ...]]:
    """Return a sheet without its minor columns, and the headings of those."""
    kept = [place for place, column in enumerate(sheet.columns) if not column.minor]
    rows = tuple(replace(row, cells=tuple(row.cells[place] for place in kept)) for row in sheet.rows)
    gone = tuple(column.label for column in sheet.columns if column.minor)
    return replace(sheet, columns=tuple(sheet.columns[place] for place in kept), rows=rows), gone


def captioned(sheets: Sequence[Sheet], caption: str, label: str) -> list[Sheet]:
    """Return sheets with a title and a label of the user's own; several keep their titles beside it.

    Args:
        sheets: The sheets.
        caption: The title; empty: as it was.
        label: The label, with a number where there are several; empty: as it was.
    """
    single, found = len(sheets) == 1, []
    for number, sheet in enumerate(sheets, start=1):
        title = f"{caption} ({sheet.title})" if sheet.title and not single else caption
        name = label if single else f"{label}-{number}"
        found.append(replace(sheet, title=title if caption else sheet.title, label=name if label else sheet.label))
    return found


def wrapped(text: str, most: int) -> list[str]:
    """Return a text in lines of at most so many characters, which end at spaces and behind punctuation.

    What has neither in so many characters has a line of its own.
    """
    lines = [""]
    for part in _BREAK.split(text):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > most:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def main_metrics(metrics: Sequence[str], first: str = "") -> tuple[str, ...]:
    """Return the two metrics that stay where there is no room for all: two kinds of metric, each at its first K.

    Args:
        metrics: Such as ``("recall@10", "recall@20", "ndcg@10")``.
        first: The one that must be among them, if it is a metric of these.
    """
    ordered = sorted(metrics, key=lambda name: name != first)
    firsts = {name.partition("@")[0]: name for name in reversed(ordered)}
    return tuple(sorted(ordered, key=lambda name: name not in firsts.values())[:_MAIN_METRICS])


def column_head(metric: str) -> str:
    """Return a metric as a heading, such as ``NDCG@10``."""
    name, at, k = metric.partition("@")
    if not at:
        return metric
    first, *rest = name.split("_")
    words = [first.upper() if first in ("ndcg", "mrr", "map") else first.capitalize(), *rest]
    return f"{' '.join(words)}@{k}"


def bound_text(value: float | None, digits: int = 4) -> str:
    """Return chance or ceiling to four decimals, or as many as are given."""
    return NOT_APPLICABLE if value is None else f"{value:.{digits}f}"
