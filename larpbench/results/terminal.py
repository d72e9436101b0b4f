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
from larpbench.results.sheet import Sheet, SheetCell, without_minor, wrapped

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
_NARROW = (
    *(_Layout(below=1, text=text, head=12) for text in (30, 24, 20, 17, 14, 12, 10)),
    _Layout(below=2, text=10, head=10),
)


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
            notes.insert(
                0, f"Not shown, for want of room: {', '.join(gone)}. A wider terminal shows them, as does Markdown."
            )
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
    columns = [_column(sheet, place, layout, styled) for place in range(len(sheet.columns))]
    for head, *_ in columns:
        table.add_column(head, no_wrap=True)
    for row, cells in zip(sheet.rows, zip(*(cells for _, *cells in columns), strict=True), strict=True):
        table.add_row(*cells, style=_ROW_STYLES[row.kind])
    return table


def _column(sheet: Sheet, place: int, layout: _Layout, styled: bool) -> list[Text]:
    """Return the heading and the cells of a column; numbers stand below each other, whatever stands beside them."""
    column, cells = sheet.columns[place], [row.cells[place] for row in sheet.rows]
    marked = not styled and any(cell.place for cell in cells)
    beside = 0 if layout.below else max((len(cell.small) for cell in cells if cell.text), default=0)
    head = Text("\n".join(wrapped(printable(column.label), layout.head)) + (" ↑" if column.rising else ""))
    if not column.right:
        return [head, *(_cell(cell, wrapped(cell.text, layout.text), "", 0, layout) for cell in cells)]
    numbers = [_cell(cell, [cell.text], _MARKS[cell.place] if marked else "", beside, layout) for cell in cells]
    return _right([head, *numbers])


def _cell(cell: SheetCell, lines: list[str], mark: str, beside: int, layout: _Layout) -> Text:
    small = printable(cell.small.replace(", ", ",\n") if layout.below > 1 else cell.small)
    if not cell.text:
        return Text(small)
    shown = Text.assemble((printable("\n".join(lines)), _STYLES[cell.place]), mark)
    if layout.below and small:
        shown = Text.assemble(shown, "\n", (small, "dim"))
    elif beside:
        shown = Text.assemble(shown, " ", (small, "dim"), " " * (beside - len(small)))
    return shown


def _right(cells: list[Text]) -> list[Text]:
    """Return cells whose lines end below each other: rich would drop the spaces that align them."""
    lines = [cell.split("\n", allow_blank=True) for cell in cells]
    width = max(line.cell_len for each in lines for line in each)
    for each in lines:
        for line in each:
            line.pad_left(width - line.cell_len)
    return [Text("\n").join(each) for each in lines]


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
