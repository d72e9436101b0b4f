"""``larpbench results``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from larpbench.cli import options, printing
from larpbench.errors import printable, shell_word

if TYPE_CHECKING:
    from larpbench.results.selection import Selection, StoredResult

FileFormat = Literal["csv", "parquet"]

app = typer.Typer(
    no_args_is_help=True,
    help="List, check, remove, export and merge results.",
    epilog="""Examples:

larpbench results list results

larpbench results check results

larpbench results merge monday tuesday --output week""",
)
_Results = Annotated[Path, typer.Argument(help="Folder of the results.")]
_Encoders = Annotated[
    list[str] | None,
    typer.Option("--encoder", help="Encoder, as named in tables, or a pattern such as 'larp-*'; repeatable."),
]
_Recommenders = Annotated[list[str] | None, typer.Option("--recommender", help="Recommender, or a pattern.")]
_Datasets = Annotated[list[str] | None, typer.Option("--dataset", help="Name of a data set, or a pattern.")]
_Tasks = Annotated[list[str] | None, typer.Option("--task", help="Task, or a pattern.")]
_Failed = Annotated[bool, typer.Option("--failed", help="Only results that failed.")]
_Superseded = Annotated[
    bool, typer.Option("--superseded", help="Only results that newer ones replace; with --failed: these too.")
]


@app.command(
    "list",
    epilog="""Examples:

larpbench results list results

larpbench results list results --failed --json""",
)
def list_results(
    results: _Results = Path("results"),
    encoder: _Encoders = None,
    recommender: _Recommenders = None,
    dataset: _Datasets = None,
    task: _Tasks = None,
    failed: _Failed = False,
    superseded: _Superseded = False,
    as_json: options.Json = False,
) -> None:
    """List results with their state.

    The state is ok, failed, superseded (a newer result stands in tables in its place) or damaged.
    """
    from larpbench.results.selection import select

    found = select(results, _selection(encoder, recommender, dataset, task, failed, superseded))
    if as_json:
        printing.print_json([_described(each) for each in found])
    else:
        for each in found:
            typer.echo(_line(each))
        typer.echo(f"{len(found)} results", err=True)


@app.command(
    epilog="""Examples:

larpbench results rm results --failed --dry-run

larpbench results rm results --encoder tfidf --dataset my-data --yes"""
)
def rm(
    results: _Results,
    encoder: _Encoders = None,
    recommender: _Recommenders = None,
    dataset: _Datasets = None,
    task: _Tasks = None,
    failed: _Failed = False,
    superseded: _Superseded = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")] = False,
) -> None:
    """Delete results, at least one filter is needed.

    A result is its record and the Parquet file beside it. Lists what is deleted, and asks first in a terminal.
    """
    from larpbench.errors import UsageError
    from larpbench.results.selection import remove, select

    selection = _selection(encoder, recommender, dataset, task, failed, superseded)
    if not selection:
        raise UsageError(
            "nothing says which results to delete",
            allowed="--encoder, --recommender, --dataset, --task, --failed or --superseded",
            next_step=f"larpbench results list {shell_word(results)}",
        )
    found = select(results, selection)
    for each in found:
        typer.echo(_line(each))
    if dry_run or not found:
        typer.echo(f"{len(found)} results would be deleted" if found else "no result matches", err=True)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{len(found)} results would be deleted", next_step="the same command with --yes")
        typer.confirm(f"Delete {len(found)} results?", abort=True, err=True)
    removed = remove(results, found)
    typer.echo(f"{len(removed)} results deleted", err=True)
    if len(removed) < len(found):
        typer.echo(f"{len(found) - len(removed)} were written anew in the meantime and are kept", err=True)


def _selection(
    encoder: list[str] | None,
    recommender: list[str] | None,
    dataset: list[str] | None,
    task: list[str] | None,
    failed: bool,
    superseded: bool,
) -> Selection:
    from larpbench.results.selection import Selection

    encoders, recommenders, datasets, tasks = (tuple(each or ()) for each in (encoder, recommender, dataset, task))
    return Selection(encoders, recommenders, datasets, tasks, failed=failed, superseded=superseded)


def _line(result: StoredResult) -> str:
    """Return a result as one line."""
    if result.record is None:
        return printable(f"{result.state:11} {result.path}: {result.damage}")
    cell, created = result.record.cell, result.record.created[: len("2026-01-01T00:00")]
    name = f"{cell.task}: {cell.dataset} x {cell.encoder} x {cell.recommender} (seed {cell.seed})"
    reason = f": {(result.record.failure.message.splitlines() or [''])[0]}" if result.record.failure else ""
    return printable(f"{result.state:11} {created}  {name}{reason}")


def _described(result: StoredResult) -> dict[str, object]:
    record = result.record
    return {
        **result.names(),
        "seed": record.cell.seed if record else None,
        "state": result.state,
        "superseded": result.superseded,
        "failure": record.failure.message if record and record.failure else None,
        "damage": result.damage or None,
        "key": record.key if record else None,
        "created": record.created if record else None,
        "path": str(result.path),
    }


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
            "on other ids, splits or playlists, or tuned by a newer version",
            err=True,
        )
    there = "; they were there already" if merged.present_before else ""
    typer.echo(f"{output}   ({merged.cells} cells, of which {merged.shared} were in more than one folder{there})")
    if merged.absent:
        for name, encoders in merged.absent.items():
            typer.echo(f"error: no table shows {', '.join(encoders)} of {name}: keep the folders apart", err=True)
        raise typer.Exit(1)


@app.command(
    epilog="""Examples:

larpbench results check results

larpbench results check results --encoder tfidf

larpbench results check results --json"""
)
def check(
    results: _Results = Path("results"),
    encoder: _Encoders = None,
    recommender: _Recommenders = None,
    dataset: _Datasets = None,
    task: _Tasks = None,
    failed: _Failed = False,
    superseded: _Superseded = False,
    as_json: options.Json = False,
) -> None:
    """Recompute and check results of a folder.

    Checks arithmetic and digests, and recomputes every mean from the ranked lists. The exit code is 1 if one differs.
    """
    from larpbench.results.selection import select
    from larpbench.results.store import check_results

    selection = _selection(encoder, recommender, dataset, task, failed, superseded)
    found = check_results(results, [each.path for each in select(results, selection)] if selection else None)
    wrong = [each for each in found if each.faults]
    if as_json:
        rows = [{"path": str(each.path), "checked": each.checked, "faults": list(each.faults)} for each in found]
        printing.print_json(rows)
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
