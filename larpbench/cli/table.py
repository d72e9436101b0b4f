"""``larpbench table``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import options, printing

EPILOG = """Examples:

larpbench table results

larpbench table results --metrics recall@10,ndcg@10,coverage@10 --sort ndcg@10

larpbench table results --by popularity

larpbench table results --by genre --dataset my-data

larpbench table results --format latex --caption "Cold-start continuation." --label tab:main > results.tex

larpbench table results --all

larpbench table results --format csv > results.csv"""


def table(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")] = Path("results"),
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Columns and their order, separated by commas: any metrics that the results hold. "
            "By default those of the task; in LaTeX the first two kinds of them."
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Metric that sorts and groups the rows, shown or not; by default the first column."),
    ] = None,
    digits: Annotated[
        int | None,
        typer.Option(min=1, max=10, help="Digits behind the point; by default 4, and 3 in intervals. Not csv."),
    ] = None,
    no_intervals: Annotated[bool, typer.Option("--no-intervals", help="Print no intervals. Not csv.")] = False,
    caption: Annotated[str, typer.Option(help="Caption in LaTeX, title elsewhere.")] = "",
    label: Annotated[str, typer.Option(help="Label in LaTeX, such as tab:main.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Also rows that failed, and results that newer ones replace.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="SLICE",
            help="Slices of the held-out tracks: popularity, discovery, seeds (of listeners: profile), or a column of "
            "the data set's tracks or playlists, such as genre.",
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Name or folder of the tested data set, for --by; default: found by its name."),
    ] = None,
    format_: printing.Format = None,
    as_json: options.Json = False,
) -> None:
    """Print the tables of a results folder.

    There is one table for each task and data set. Rows that failed and superseded results are counted below it. With
    --by, each slice has its own scores, chance and ceiling; nothing is run anew.
    """
    from larpbench.errors import UsageError
    from larpbench.results.sheet import captioned
    from larpbench.results.slices.table import slice_tables
    from larpbench.results.table import read_tables
    from larpbench.results.view import View

    if dataset and by is None:
        raise UsageError("--dataset has no effect without --by", allowed="--dataset together with --by SLICE")
    chosen = printing.chosen_format(format_, as_json)
    names = tuple(options.names(metrics)) if metrics is not None else ()
    view = View(names, sort or "", digits, not no_intervals)
    tables = read_tables(results, view, everything)
    sheets = [each.sheet() for each in (tables if by is None else slice_tables(tables, by, dataset))]
    printing.print_sheets(captioned(sheets, caption, label), chosen)
