"""A table or the numbers of a figure, and the files that are written of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from larpbench import storage
from larpbench.results.writers import escape_latex, escape_markdown


@dataclass(frozen=True)
class Text:
    """One cell of a sheet.

    Attributes:
        text: What it shows.
        place: 1 for the best of its column, 2 for the second best, 0 otherwise.
        small: What follows in smaller print, such as an interval.
    """

    text: str
    place: int = 0
    small: str = ""


@dataclass(frozen=True)
class Sheet:
    """What is written of one target.

    Attributes:
        name: Stem of the files, such as ``table2``.
        title: What it is.
        heads: Headings.
        rows: One cell a heading each.
        notes: Sentences below.
        lines: The same numbers in full precision, and what else is known of them, for the CSV file.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    notes: tuple[str, ...]
    lines: tuple[Mapping[str, object], ...]


def write_sheet(sheet: Sheet, folder: Path) -> list[Path]:
    """Write a sheet as Markdown, LaTeX and CSV.

    Returns:
        The paths.

    Raises:
        StorageError: If the folder cannot be written.
    """
    storage.make_folder(folder)
    written = []
    for suffix, text in (("md", to_markdown(sheet)), ("tex", to_latex(sheet)), ("csv", to_csv(sheet.lines))):
        path = folder / f"{sheet.name}.{suffix}"
        storage.write_text(path, text)
        written.append(path)
    return written


def to_markdown(sheet: Sheet) -> str:
    """Return GitHub-flavoured Markdown: best bold, second best underlined."""
    marks = {1: "**{}**", 2: "<u>{}</u>", 0: "{}"}

    def cell(text: Text) -> str:
        shown = marks[text.place].format(escape_markdown(text.text)) if text.text else ""
        return f"{shown} {text.small}".strip()

    lines = [
        [*map(escape_markdown, sheet.heads)],
        ["---"] * len(sheet.heads),
        *([cell(each) for each in row] for row in sheet.rows),
    ]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"- {escape_markdown(note)}" for note in sheet.notes)
    return f"## {escape_markdown(sheet.title)}\n\n{body}\n\n{notes}\n"


def to_latex(sheet: Sheet) -> str:
    """Return LaTeX for the booktabs package: best bold, second best underlined."""
    marks = {1: r"\textbf{%s}", 2: r"\underline{%s}", 0: "%s"}

    def cell(text: Text) -> str:
        shown = marks[text.place] % escape_latex(text.text) if text.text else ""
        return shown + (rf" {{\scriptsize {escape_latex(text.small)}}}" if text.small else "")

    return "\n".join(
        [
            f"% {escape_latex(sheet.title)}",
            rf"\begin{{tabular}}{{{'l' * len(sheet.heads)}}}",
            r"\toprule",
            " & ".join(map(escape_latex, sheet.heads)) + r" \\",
            r"\midrule",
            *(" & ".join(map(cell, row)) + r" \\" for row in sheet.rows),
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {escape_latex(note)}" for note in sheet.notes),
            "",
        ]
    )


def to_csv(lines: Sequence[Mapping[str, object]]) -> str:
    """Return CSV; all lines have the keys of the first."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()
