"""``larpbench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import options, printing

EPILOG = """Examples:

larpbench report results --output report

larpbench report results --dataset my-data --playlists 10

larpbench report results --reproduced reproduced/demo

larpbench report results --all --json"""


def report(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")] = Path("results"),
    output: Annotated[Path, typer.Option("--output", help="Folder to write; an earlier report is replaced.")] = Path(
        "report"
    ),
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Name or folder of a tested data set, for titles and hits; default: found by its name."),
    ] = None,
    playlists: Annotated[int, typer.Option(min=0, help="Number of playlists of each table whose lists are shown.")] = 5,
    reproduced: Annotated[
        Path | None,
        typer.Option(help="Folder that larpbench reproduce --output wrote; its tables and figures are added."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also rows that failed, and results that newer ones replace.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write the results as a folder of web pages.

    The pages show the leaderboard, comparisons, costs, playlists, every cell and every encoder. They need no server and
    no network: open index.html.
    """
    from larpbench.report.site import read_contents, write_report

    page = write_report(
        results, output, datasets=dataset or (), playlists=playlists, reproduced=reproduced, everything=everything
    )
    if as_json:
        printing.print_json({"page": str(page), **read_contents(output)})
    else:
        typer.echo(page)
