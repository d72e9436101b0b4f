"""``larpbench results``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from larpbench.cli import options
from larpbench.errors import printable

FileFormat = Literal["csv", "parquet"]

app = typer.Typer(no_args_is_help=True, help="Check, export and merge results.")


@app.command(
    epilog="""Examples:

larpbench results export results --format parquet results.parquet

larpbench results export results results.csv"""
)
def export(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")],
    file: Annotated[Path, typer.Argument(help="File to write.")],
    format_: Annotated[
        FileFormat | None,
        typer.Option("--format", help="Format of the file; by default what its name ends with."),
    ] = None,
    to: Annotated[FileFormat | None, typer.Option("--to", hidden=True)] = None,
) -> None:
    """Write all results into one flat file.

    It has one line for each cell and metric; failed cells have one line without a metric.
    """
    from larpbench.errors import UsageError
    from larpbench.results import export as exporting

    if to:
        typer.echo("note: --to is now --format; the next version has no --to", err=True)
    kind = format_ or to or file.suffix.lower().removeprefix(".")
    if kind not in get_args(FileFormat):
        raise UsageError(f"{file.name} does not say what to write", allowed="a name in .csv or .parquet, or --format")
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
    """Copy the results of several folders into a new one.

    Contradicting results are refused.
    """
    from larpbench.errors import UsageError
    from larpbench.results import merge as merging

    if len(folders) < 2:
        raise UsageError("there is nothing to merge with", allowed="two folders or more")
    merged = merging.merge(folders, output)
    if merged.replaced:
        typer.echo(f"left out: {merged.replaced} failed cells that another folder has with scores", err=True)
    for name, encoders in merged.superseded.items():
        typer.echo(
            f"left out of the table {name}: results of {', '.join(encoders)}: newer results of that name were tested "
            "on other ids, splits or playlists",
            err=True,
        )
    there = "; they were there already" if merged.there_already else ""
    typer.echo(f"{output}   ({merged.cells} cells, of which {merged.shared} were in more than one folder{there})")
    if merged.absent:
        for name, encoders in merged.absent.items():
            typer.echo(f"error: no table shows {', '.join(encoders)} of {name}: keep the folders apart", err=True)
        raise typer.Exit(1)


@app.command(
    epilog="""Examples:

larpbench results check results

larpbench results check results --json"""
)
def check(
    results: Annotated[Path, typer.Argument(help="Folder of the results.")] = Path("results"),
    as_json: options.Json = False,
) -> None:
    """Recompute and check all results of a folder.

    Checks arithmetic and digests, and recomputes every mean from the ranked lists. The exit code is 1 if one differs.
    """
    from larpbench.results.checking import check_results

    found = check_results(results)
    wrong = [each for each in found if each.faults]
    if as_json:
        rows = [{"path": str(each.path), "checked": each.checked, "faults": list(each.faults)} for each in found]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for each in wrong:
            typer.echo(f"BAD  {printable(str(each.path))}")
            for fault in each.faults:
                typer.echo(f"     {printable(fault)}")
        unchecked = sum(not each.checked for each in found if not each.faults)
        earlier = f", of which {unchecked} are of an earlier version, without the digest of their lists"
        typer.echo(f"{len(found) - len(wrong)} of {len(found)} results are right{earlier if unchecked else ''}")
    if wrong:
        typer.echo(f"{len(wrong)} results are wrong: delete them and run their cells anew", err=True)
        raise typer.Exit(1)
