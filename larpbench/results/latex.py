"""Writes sheets as LaTeX for the packages booktabs and longtable: with a caption, a label, and notes below."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from larpbench.results.latex_text import escape_latex, text_points
from larpbench.results.sheet import Sheet, SheetCell, without_minor, wrapped

_PAGE_LINES = 42
"""Lines of a table and its notes on one page: with more it is a longtable, which goes on over pages."""
_NOTE_CHARACTERS = 95
"""Of one line of notes."""
_PAGE_WIDTH = 345.0
"""Points: the width of the text in LaTeX's article with letters of 10 pt."""
_LONGEST_HEAD = 12
"""Characters of one line of a heading."""
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
_MARKS = {1: r"\textbf{%s}", 2: r"\underline{%s}", 0: "%s"}
_BOLD = 1.15
_LEGEND = r"\textbf{Bold}: best of a column; \underline{underlined}: second best; controls take part in neither."
_BOUNDS = "chance: expected score of a random ranking of the same candidates; ceiling: score of a perfect ranking."


@dataclass(frozen=True)
class _Size:
    """How a table is set.

    Attributes:
        command: The font size.
        scale: Width of its letters, against those of 10 pt.
        gap: Half of the space between two columns, in points.
        stacked: Whether intervals stand below their numbers.
        text: Characters of one line of a text.
    """

    command: str
    scale: float
    gap: float
    stacked: bool = False
    text: int = 30


_SIZES = (
    _Size("normalsize", 1.0, 6),
    _Size("small", 0.925, 5),
    _Size("footnotesize", 0.85, 4),
    _Size("scriptsize", 0.8, 3),
    _Size("footnotesize", 0.85, 4, stacked=True),
    _Size("footnotesize", 0.85, 4, stacked=True, text=20),
    _Size("scriptsize", 0.8, 3, stacked=True, text=20),
    _Size("scriptsize", 0.8, 3, stacked=True, text=12),
)
_SMALL = 0.8
"""Width of the letters of an interval."""


def to_latex(sheets: Sequence[Sheet]) -> str:
    """Return LaTeX: best bold, second best underlined, minor columns left out.

    A table that does not fit a page is a ``longtable``. The font size is the largest one with which the table fits the
    text width of the class article; where none does, intervals stand below their numbers, and a comment says so if the
    table is still too wide.
    """
    head = "% In the preamble: \\usepackage{booktabs,longtable}\n"
    return head + "\n".join(map(_latex, sheets))


def _latex(whole: Sheet) -> str:
    sheet, gone = without_minor(whole)
    lines = [f"% Left out, to fit a page: {', '.join(map(escape_latex, gone))}"] if gone else []
    notes = _notes(sheet)
    if not sheet.columns:
        return "\n".join([*lines, f"% {escape_latex(sheet.title)}", *notes, ""])
    fitting = [each for each in _SIZES if _width(sheet, each) <= _PAGE_WIDTH]
    lines += [] if fitting else ["% Wider than the text of the class article: show fewer metrics, or no intervals."]
    size = fitting[0] if fitting else _SIZES[-1]
    body = list(_body(sheet, size))
    height = sum(line.endswith((r"\\", r"\\*")) for line in body) + sum(map(len, notes)) / _NOTE_CHARACTERS
    make = _longtable if height > _PAGE_LINES else _floating_table
    return "\n".join([*lines, *make(sheet, size, body, notes), ""])


def _floating_table(sheet: Sheet, size: _Size, body: Sequence[str], notes: Sequence[str]) -> Iterator[str]:
    yield r"\begin{table}[htbp]"
    yield r"\centering\setlength{\abovecaptionskip}{0pt}\setlength{\belowcaptionskip}{6pt}"
    yield from _named(sheet)
    yield rf"\{size.command}\setlength{{\tabcolsep}}{{{size.gap:g}pt}}"
    yield rf"\begin{{tabular}}{{{_layout(sheet)}}}"
    yield r"\toprule"
    yield from _heads(sheet)
    yield r"\midrule"
    yield from body
    yield r"\bottomrule"
    yield r"\end{tabular}"
    if notes:
        yield r"\par\smallskip"
        yield r"\parbox{\linewidth}{\footnotesize\raggedright"
        yield from notes
        yield "}"
    yield r"\end{table}"


def _longtable(sheet: Sheet, size: _Size, body: Sequence[str], notes: Sequence[str]) -> Iterator[str]:
    yield r"\begingroup"
    yield rf"\{size.command}\setlength{{\tabcolsep}}{{{size.gap:g}pt}}\setlength{{\LTcapwidth}}{{\linewidth}}"
    yield rf"\begin{{longtable}}{{{_layout(sheet)}}}"
    if sheet.title:
        yield rf"{''.join(_named(sheet))} \\"
    for part in ("first", ""):
        yield r"\toprule"
        yield from _heads(sheet)
        yield r"\midrule"
        yield rf"\end{part}head"
    yield r"\midrule"
    yield rf"\multicolumn{{{len(sheet.columns)}}}{{r@{{}}}}{{continued on the next page}} \\"
    yield r"\endfoot"
    yield r"\bottomrule"
    yield r"\endlastfoot"
    yield from body
    yield r"\end{longtable}"
    if notes:
        yield r"\noindent{\footnotesize\raggedright"
        yield from notes
        yield r"\par}"
    yield r"\endgroup"


def _named(sheet: Sheet) -> Iterator[str]:
    """Yield caption and label; neither without a title: there would be no number to refer to."""
    if sheet.title:
        words = re.findall(r"[a-z0-9]+", sheet.title.lower())
        label = re.sub(r"[\\{}%#~^&$\s]", "-", sheet.label) or f"tab:{'-'.join(words)}"
        yield rf"\caption{{{escape_latex(sheet.title)}}}"
        yield rf"\label{{{label}}}"


def _layout(sheet: Sheet) -> str:
    return f"@{{}}{''.join('r' if column.right else 'l' for column in sheet.columns)}@{{}}"


def _heads(sheet: Sheet) -> Iterator[str]:
    """Yield the lines of the headings, which stand on the last of them."""
    heads = []
    for column in sheet.columns:
        lines = [escape_latex(line) for line in wrapped(column.label, _LONGEST_HEAD)]
        heads.append([*lines[:-1], lines[-1] + (r" $\uparrow$" if column.rising else "")])
    most = max(map(len, heads))
    yield from _together([[""] * (most - len(lines)) + lines for lines in heads])


def _body(sheet: Sheet, size: _Size) -> Iterator[str]:
    before = None
    for row in sheet.rows:
        if (row.kind == "bound" != before) or (before == "bound" != row.kind):
            yield r"\midrule"
        elif size.stacked and before is not None:
            yield r"\addlinespace[2pt]"
        before = row.kind
        yield from _together([_cell_lines(cell, size) for cell in row.cells])


def _together(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    r"""Yield the lines of one row, between which no page ends; ``\\`` would take a star or bracket behind it."""
    *above, last = itertools.zip_longest(*cells, fillvalue="")
    for line in above:
        yield rf"{_line(line)} \\*"
    yield rf"{_line(last)} \\"


def _line(cells: Sequence[str]) -> str:
    text = " & ".join(cells)
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _cell_lines(cell: SheetCell, size: _Size) -> list[str]:
    numeric = cell.value is not None
    lines = [cell.text] if numeric else wrapped(cell.text, size.text)
    lines = [_MARKS[cell.place] % _escaped(line, numeric) if line else "" for line in lines]
    if not cell.small:
        return lines
    small = _escaped(cell.small, numeric=True)
    if not cell.text:
        return [small]
    small = rf"{{\scriptsize {small}}}"
    return [*lines, small] if size.stacked else [f"{lines[0]} {small}", *lines[1:]]


def _escaped(text: str, numeric: bool) -> str:
    return _MINUS.sub("$-$", escape_latex(text)) if numeric else escape_latex(text)


def _notes(sheet: Sheet) -> list[str]:
    """Return what stands below the table: how to read it, then its notes."""
    found = [_LEGEND] if any(cell.place for row in sheet.rows for cell in row.cells) else []
    found += [_BOUNDS] if any(row.kind == "bound" for row in sheet.rows) else []
    sentences = (note if note.endswith((".", "!", "?")) else f"{note}." for note in sheet.notes)
    return found + [escape_latex(sentence, breakable=True) for sentence in sentences]


def _width(sheet: Sheet, size: _Size) -> float:
    """Return about how wide a table is, in points."""
    widths = []
    for place, column in enumerate(sheet.columns):
        head = max(map(text_points, wrapped(f"{column.label}{' ↑' if column.rising else ''}", _LONGEST_HEAD)))
        widths.append(max([head * size.scale, *(_cell_width(row.cells[place], size) for row in sheet.rows)]))
    return sum(widths) + 2 * size.gap * (len(widths) - 1)


def _cell_width(cell: SheetCell, size: _Size) -> float:
    text = max(map(text_points, wrapped(cell.text, size.text))) * size.scale * (_BOLD if cell.place == 1 else 1)
    small = text_points(cell.small) * (_SMALL if cell.text else size.scale)
    return max(text, small) if size.stacked or not (cell.text and cell.small) else text + text_points(" ") + small
