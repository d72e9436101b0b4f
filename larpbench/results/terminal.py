"""Shows sheets in a terminal: aligned columns that fit its width."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from larpbench.errors import printable
from larpbench.results.sheet import Column, Sheet, SheetCell, SheetRow, without_minor, wrapped

_LONGEST_LINE = 100
"""Of notes: longer lines are hard to read."""
_UNLIMITED = 10_000
_MARKS = {1: "*", 2: "+", 0: " "}
_STYLES = {1: "bold", 2: "underline", 0: ""}
_ROW_STYLES = {"": "", "control": "italic", "bound": "dim"}


@dataclass(frozen=True)
class _Layout:
    """How a table is set.

    Attributes:
        below: Lines that an interval takes below its number; 0: it stands beside it.
        text: Characters of one line of a text.
        head: Characters of one line of a heading.
    """

    below: int
    text: int
    head: int


_WIDE = (_Layout(below=0, text=60, head=30), _Layout(below=1, text=40, head=12))
_NARROW = (*(_Layout(below=1, text=text, head=12) for text in (30, 20, 14, 10)), _Layout(below=2, text=10, head=10))


def to_terminal(sheets: Sequence[Sheet], width: int, styled: bool = True) -> str:
    """Return sheets as text of at most so many characters a line, as far as names allow.

    Intervals stand beside their numbers, or below them where there is no room; then minor columns are left out, and
    then those from the right, which a line names.

    Args:
        sheets: The sheets.
        width: Characters of a line.
        styled: Whether the best is bold and the second best underlined; otherwise they are marked by ``*`` and ``+``.
    """
    return "\n".join("".join(_parts(sheet, width, styled)) for sheet in sheets)


def _parts(sheet: Sheet, width: int, styled: bool) -> Iterator[str]:
    if sheet.title:
        yield _rendered(Text(printable(sheet.title), style="bold"), width, styled)
    notes = list(sheet.notes)
    if sheet.columns:
        table, gone = _fitting(sheet, width, styled)
        yield _rendered(table, width, styled)
        if any(cell.place for row in sheet.rows for cell in row.cells):
            marks = ("bold", "underlined") if styled else ("*", "+")
            notes.insert(0, f"{marks[0]}: best of a column; {marks[1]}: second best, without controls.")
        if gone:
            notes.insert(0, f"Not shown, for want of room: {', '.join(gone)}. --format md shows all columns.")
    for note in notes:
        lines = textwrap.wrap(
            printable(note), min(width, _LONGEST_LINE), initial_indent="- ", subsequent_indent="  ",
            break_on_hyphens=False,
        )  # fmt: skip
        yield "".join(f"{line}\n" for line in lines)


def _fitting(sheet: Sheet, width: int, styled: bool) -> tuple[Table, tuple[str, ...]]:
    """Return the table in the first layout that fits, and the headings of the columns that it leaves out."""
    narrow, gone = without_minor(sheet)
    tries = [(sheet, (), layout) for layout in _WIDE] + [(narrow, gone, layout) for layout in (*_WIDE, *_NARROW)]
    for shown, left_out, layout in tries:
        table = _table(shown, layout, styled)
        if _natural_width(table) <= width:
            return table, left_out
    numbers = [place for place, column in enumerate(narrow.columns) if column.right]
    for count in range(1, len(numbers)):
        columns = tuple(replace(column, minor=place in numbers[-count:]) for place, column in enumerate(narrow.columns))
        shown, more = without_minor(replace(narrow, columns=columns))
        table, left_out = _table(shown, _NARROW[-1], styled), (*gone, *more)
        if _natural_width(table) <= width:
            break
    return table, left_out


def _table(sheet: Sheet, layout: _Layout, styled: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in sheet.columns:
        table.add_column(_head(column, layout), justify="right" if column.right else "left", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*_cells(sheet, row, layout, styled), style=_ROW_STYLES[row.kind])
    return table


def _head(column: Column, layout: _Layout) -> Text:
    return Text("\n".join(wrapped(printable(column.label), layout.head)) + (" ↑" if column.rising else ""))


def _cells(sheet: Sheet, row: SheetRow, layout: _Layout, styled: bool) -> Iterator[Text]:
    for place, column in enumerate(sheet.columns):
        marked = not styled and any(each.cells[place].place for each in sheet.rows)
        yield _cell(row.cells[place], column, layout, _MARKS[row.cells[place].place] if marked else "")


def _cell(cell: SheetCell, column: Column, layout: _Layout, mark: str) -> Text:
    lines = [cell.text] if column.right else wrapped(cell.text, layout.text)
    shown = Text(printable("\n".join(lines)), style=_STYLES[cell.place]) if cell.text else Text()
    if mark:
        shown = Text.assemble(shown, mark)
    if cell.small:
        between = ("\n" if layout.below else " ") if cell.text else ""
        small = cell.small.replace(", ", ",\n") if layout.below > 1 else cell.small
        shown = Text.assemble(shown, between, (printable(small), "dim" if cell.text else ""))
    return shown


def _console(width: int, styled: bool) -> Console:
    return Console(
        file=io.StringIO(), width=width, force_terminal=styled, color_system="standard" if styled else None,
        highlight=False, markup=False, emoji=False, legacy_windows=False, force_jupyter=False, _environ={},
    )  # fmt: skip


def _natural_width(table: Table) -> int:
    console = _console(_UNLIMITED, styled=False)
    return console.measure(table).maximum


def _rendered(part: Table | Text, width: int, styled: bool) -> str:
    console = _console(width, styled)
    console.print(part, soft_wrap=False, crop=False)
    text = console.file
    assert isinstance(text, io.StringIO)  # noqa: S101 - for the type checker
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())
