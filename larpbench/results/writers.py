"""Writes sheets as Markdown, LaTeX, CSV, HTML and JSON, and reads the JSON back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from pydantic import TypeAdapter, ValidationError

from larpbench import storage
from larpbench.errors import DataError, printable, schema_fault
from larpbench.results.latex import to_latex
from larpbench.results.sheet import Sheet, SheetCell

_SCHEMA_VERSION = 1
_ADAPTER = TypeAdapter(tuple[Sheet, ...])


def to_markdown(sheets: Sequence[Sheet]) -> str:
    """Return GitHub-flavoured Markdown: best bold, second best underlined."""
    return "\n".join(map(_markdown, sheets))


def _markdown(sheet: Sheet) -> str:
    marks = {1: "**{}**", 2: "<u>{}</u>", 0: "{}"}

    def shown(cell: SheetCell) -> str:
        text = marks[cell.place].format(escape_markdown(cell.text)) if cell.text else ""
        return f"{text} {cell.small}".strip()

    lines = [
        [escape_markdown(column.label) + (" ↑" if column.rising else "") for column in sheet.columns],
        ["--:" if column.right else "---" for column in sheet.columns],
        *([shown(cell) for cell in row.cells] for row in sheet.rows),
    ]
    title = f"## {escape_markdown(sheet.title)}\n\n" if sheet.title else ""
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"- {escape_markdown(note)}" for note in sheet.notes)
    return f"{title}{body}\n\n{notes}\n"


def to_csv(sheets: Sequence[Sheet]) -> str:
    """Return the long form of all sheets as one CSV: the columns of the first, then what others have beside them."""
    lines = [line for sheet in sheets for line in sheet.lines]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for line in lines for name in line)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def to_html(sheets: Sequence[Sheet]) -> str:
    """Return one self-contained page; every text from the data is escaped."""
    return _rendered("tables.html", sheets)


def to_html_part(sheets: Sequence[Sheet]) -> str:
    """Return the tables as a part of a page, such as a notebook."""
    return _rendered("part.html", sheets)


def _rendered(template: str, sheets: Sequence[Sheet]) -> str:
    environment = Environment(loader=PackageLoader("larpbench.results"), autoescape=True, trim_blocks=True)
    return environment.get_template(template).render(sheets=sheets)


def to_json(sheets: Sequence[Sheet]) -> str:
    """Return all that the other formats show, and the numbers in full precision; what is empty is left out."""
    content = {"schema_version": _SCHEMA_VERSION, "tables": plain_tables(sheets)}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def plain_tables(sheets: Sequence[Sheet]) -> list[Any]:
    """Return sheets as the JSON has them: mappings, lists, texts and numbers."""
    return [_plain(sheet) for sheet in sheets]


def _plain(part: Any) -> Any:  # noqa: ANN401 - any part of a sheet
    if isinstance(part, tuple):
        return [_plain(each) for each in part]
    if not hasattr(part, "__dataclass_fields__"):
        return part
    shown = [each.name for each in fields(part) if each.name != "lines"]
    defaults = {each.name: each.default for each in fields(part) if each.default is not MISSING}
    values = {name: getattr(part, name) for name in shown}
    return {name: _plain(value) for name, value in values.items() if name not in defaults or value != defaults[name]}


def read_json(path: Path) -> tuple[Sheet, ...]:
    """Return the sheets of a file that `to_json` has made, without their long form.

    Raises:
        DataError: If it cannot be read, or holds something else.
    """
    advice = "write it anew: larpbench reproduce, or larpbench table --format json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("schema_version") != _SCHEMA_VERSION:
            raise ValueError(f"it is no table of schema version {_SCHEMA_VERSION}")
        return _ADAPTER.validate_python(content.get("tables"))
    except ValidationError as error:
        raise DataError(f"a table cannot be read: {schema_fault(error)}", where=str(path), next_step=advice) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"a table cannot be read: {error}", where=str(path), next_step=advice) from error


FORMATS: dict[str, Callable[[Sequence[Sheet]], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "html": to_html,
    "json": to_json,
}
_FILES = {"md": to_markdown, "tex": to_latex, "csv": to_csv, "json": to_json}


def write_sheet(sheet: Sheet, folder: Path, name: str) -> list[Path]:
    """Write a sheet as ``NAME.md``, ``NAME.tex``, ``NAME.csv`` and ``NAME.json``.

    Returns:
        The paths.

    Raises:
        StorageError: If the folder cannot be written.
    """
    storage.make_folder(folder)
    written = [folder / f"{name}.{suffix}" for suffix in _FILES]
    for path, write in zip(written, _FILES.values(), strict=True):
        storage.write_text(path, write([sheet]))
    return written


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    for character in "\\`|<>*_[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(printable(text).split())
