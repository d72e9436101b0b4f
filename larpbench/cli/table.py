"""``larpbench table``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Examples:

larpbench table results

larpbench table results --format csv > results.csv

larpbench table results --format html > results.html"""


class Format(StrEnum):
    """How a table is written."""

    md = "md"
    csv = "csv"
    latex = "latex"
    html = "html"


def table(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")] = Path("results"),
    format_: Annotated[Format, typer.Option("--format", help="csv is long: one line a cell and metric.")] = Format.md,
) -> None:
    """Print the tables of a results folder: one a task and data set."""
    from larpbench.results.table import load_results
    from larpbench.results.writers import FORMATS

    typer.echo(FORMATS[format_.value](load_results(results)), nl=False)
