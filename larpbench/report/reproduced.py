"""The papers' tables and figures, from the folder that ``larpbench reproduce --to`` writes."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from larpbench.errors import DataError, UsageError

_LARGEST_FIGURE = 2 << 20
_MARKED = re.compile(r"(?:\*\*(?P<first>.*?)\*\*|<u>(?P<second>.*?)</u>)(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, 1 for the best of its column, 2 for the second best, and what follows."""

    text: str
    place: int = 0
    rest: str = ""


@dataclass(frozen=True)
class Reproduced:
    """One table or figure.

    Attributes:
        name: Stem of its files.
        title: What it is.
        heads: Headings; empty if there is no table.
        rows: One cell a heading.
        notes: Sentences below.
        figure: The figure as a ``data:`` address: shown as an image, where nothing in it can run. None: there is none.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    figure: str | None


def read_reproduced(folder: Path) -> list[Reproduced]:
    """Return all tables and figures of a folder.

    Raises:
        UsageError: If it holds none.
        DataError: If one cannot be read.
    """
    paths = sorted(folder.glob("*.md"))
    if not paths:
        raise UsageError(
            "there are no reproduced tables or figures",
            where=str(folder),
            next_step=f"larpbench reproduce all --to {folder}",
        )
    return [_read(path) for path in paths]


def _read(path: Path) -> Reproduced:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        figure = _figure(path.with_suffix(".svg"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"a reproduced table cannot be read: {error}", where=str(path)) from error
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    table = [_split(line) for line in lines if line.startswith("| ")]
    notes = tuple(_plain(line.removeprefix("- ")) for line in lines if line.startswith("- "))
    heads = tuple(map(_plain, table[0])) if table else ()
    rows = tuple(tuple(map(_cell, row)) for row in table[2:] if len(row) == len(heads))
    return Reproduced(path.stem, _plain(titles[0]) if titles else path.stem, heads, rows, notes, figure)


def _figure(path: Path) -> str | None:
    if not path.is_file() or path.stat().st_size > _LARGEST_FIGURE:
        return None
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _split(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def _cell(text: str) -> Cell:
    marked = _MARKED.fullmatch(text)
    if marked is None:
        return Cell(_plain(text))
    place = 1 if marked["first"] is not None else 2
    return Cell(_plain(marked["first"] or marked["second"] or ""), place, _plain(marked["rest"]))


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
