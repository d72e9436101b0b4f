"""``larpbench table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EPILOG = """Examples:

larpbench table results

larpbench table results --format csv > results.csv

larpbench table results --format html > results.html"""


def table(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")] = Path("results"),
    format_: Annotated[
        Literal["md", "csv", "latex", "html", "json"],
        typer.Option("--format", help="csv has one line for each cell and metric."),
    ] = "md",
) -> None:
    """Print the tables of a results folder.

    There is one table for each task and data set.
    """
    from larpbench.results.table import read_tables
    from larpbench.results.writers import FORMATS

    typer.echo(FORMATS[format_]([each.sheet() for each in read_tables(results)]), nl=False)
