"""How commands print tables: aligned columns in a terminal, Markdown elsewhere, or the format that is chosen."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from larpbench import streams
from larpbench.errors import UsageError

if TYPE_CHECKING:
    from larpbench.results.sheet import Sheet

FormatName = Literal["md", "csv", "latex", "html", "json"]
Format = Annotated[
    FormatName | None,
    typer.Option(
        "--format",
        help="By default aligned columns in a terminal, and md elsewhere. csv has one line for each cell and metric.",
    ),
]
_USUAL_WIDTH = 80


def chosen_format(format_: FormatName | None, as_json: bool) -> FormatName | None:
    """Return the format, given ``--format`` and ``--json``.

    Raises:
        UsageError: If they contradict each other.
    """
    if as_json and format_ not in (None, "json"):
        raise UsageError(f"--json and --format {format_} name two formats", allowed="one of them")
    return "json" if as_json else format_


def print_sheets(sheets: Sequence[Sheet], format_: FormatName | None = None) -> None:
    """Print tables in a format; None: as suits standard output."""
    from larpbench.results.writers import FORMATS

    if format_ is None and sys.stdout.isatty():
        from larpbench.results.terminal import to_terminal

        streams.answer().write(to_terminal(sheets, _width(), _styled()))
    else:
        typer.echo(FORMATS[format_ or "md"](sheets), nl=False)


def print_json(value: object) -> None:
    """Print a value as JSON, and nothing else."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _width() -> int:
    """Return the width of the terminal; ``COLUMNS`` overrides it."""
    written = os.environ.get("COLUMNS", "")
    if written.isdecimal() and int(written):
        return int(written)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_WIDTH
    except (OSError, ValueError):
        return _USUAL_WIDTH


def _styled() -> bool:
    """Whether the terminal has bold letters and may use them (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
