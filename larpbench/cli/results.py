"""``larpbench results``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Export results, or merge those of several folders.")


class Kind(StrEnum):
    """What is written."""

    csv = "csv"
    parquet = "parquet"


@app.command(
    epilog="""Examples:

larpbench results export results --to parquet results.parquet

larpbench results export results --to csv results.csv"""
)
def export(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")],
    file: Annotated[Path, typer.Argument(help="File to write.")],
    to: Annotated[
        Kind | None, typer.Option("--to", help="What to write; by default what the file's name ends with.")
    ] = None,
) -> None:
    """Write all results as one flat file: one line a cell and metric, failed cells without a metric."""
    from larpbench.errors import UsageError
    from larpbench.results import export as exporting

    kind = to.value if to else file.suffix.lower().removeprefix(".")
    if kind not in list(Kind):
        raise UsageError(f"{file.name} does not say what to write", allowed="a name in .csv or .parquet, or --to")
    lines = exporting.export(results, kind, file)
    typer.echo(f"{file}   ({lines} lines)")


@app.command(
    epilog="""Examples:

larpbench results merge monday tuesday --output week"""
)
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders of results.")],
    output: Annotated[Path, typer.Option("--output", help="A new or empty folder.")],
) -> None:
    """Copy the results of several folders into a new one, if no two contradict each other."""
    from larpbench.errors import UsageError
    from larpbench.results import merging

    if len(folders) < 2:
        raise UsageError("there is nothing to merge with", allowed="two folders or more")
    merged = merging.merge(folders, output)
    there = "; they were there already" if merged.there_already else ""
    typer.echo(f"{output}   ({merged.cells} cells, of which {merged.shared} were in more than one folder{there})")
