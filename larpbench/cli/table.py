"""``larpbench table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EPILOG = """Examples:

larpbench table results

larpbench table results --format csv > results.csv

larpbench table results --format html > results.html

larpbench table results --by popularity

larpbench table results --by genre --dataset my-data"""


def table(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")] = Path("results"),
    format_: Annotated[
        Literal["md", "csv", "latex", "html", "json"],
        typer.Option("--format", help="csv has one line for each cell and metric."),
    ] = "md",
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="SLICE",
            help="Slices of the held-out tracks: popularity, discovery, seeds, or a column of the data set's tracks or "
            "playlists, such as genre.",
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Name or folder of the tested data set, for --by; default: found by its name."),
    ] = None,
) -> None:
    """Print the tables of a results folder.

    There is one table for each task and data set. With --by, each slice has its own scores, chance and ceiling; nothing
    is run anew.
    """
    from larpbench.errors import UsageError
    from larpbench.results.slices.table import slice_tables
    from larpbench.results.table import load_results
    from larpbench.results.writers import FORMATS

    if dataset and by is None:
        raise UsageError("--dataset has no effect without --by", allowed="--dataset together with --by SLICE")
    tables = load_results(results) if by is None else slice_tables(results, by, dataset)
    typer.echo(FORMATS[format_]([each.sheet() for each in tables]), nl=False)
