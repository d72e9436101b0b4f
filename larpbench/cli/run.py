"""``larpbench run``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli import options, printing

if TYPE_CHECKING:
    from larpbench.benchmark.plan import Plan, PlannedCell
    from larpbench.benchmark.run import RunSummary
    from larpbench.results.rows import Table
    from larpbench.results.sheet import Sheet

EPILOG = """Examples:

larpbench run

larpbench run --dataset my-data --encoders tfidf,precomputed:vectors.npz --recommenders all

larpbench run --encoders all --seeds 5 --output results-5

larpbench run --dataset mpd --encoders all --recommenders all --limit 100

larpbench run --encoders clap-pt,bert --download

larpbench run --encoders tfidf --json > run.json

larpbench run --task artist-similarity --dataset toy-artists --encoders random,acousticbrainz -O layers=0,2"""


def run(
    task: options.TaskName = "continuation",
    encoders: options.Encoders = "default",
    column: options.Column = None,
    recommenders: options.Recommenders = "default",
    dataset: options.DatasetName = "demo",
    seeds: options.Seeds = 3,
    budget: options.Budget = 6,
    draws: options.Draws = 1,
    limit: options.Limit = None,
    output: options.Output = Path("results"),
    condition: options.If = "missing",
    option: options.Option = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download missing weights first, as larpbench fetch does.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Refuse all network access, also by plug-ins.")] = False,
    as_json: options.Json = False,
) -> None:
    """Test encoders on a data set and print the table.

    Cells that have a result are kept. If a run is interrupted, the same command continues it. Without --download, no
    encoder of larpbench uses the network.
    """
    from larpbench.errors import UsageError
    from larpbench.offline import go_offline

    if offline and download:
        raise UsageError("--download needs the network, and --offline refuses it", allowed="one of them")
    if offline:
        go_offline()  # before any import that reads the environment variables
    from larpbench.benchmark import run as runner
    from larpbench.cli.plan import fetch_missing, planned, print_unavailable, require_available
    from larpbench.results.breakdown import by_visible

    chosen = options.RunOptions(
        task=task,
        encoders=encoders,
        column=column,
        recommenders=recommenders,
        dataset=dataset,
        seeds=seeds,
        budget=budget,
        draws=draws,
        limit=limit,
        output=output,
        condition=condition,
        option=option,
    )
    if download:
        fetch_missing(chosen)
    plan = planned(chosen)
    print_unavailable(plan)
    require_available(plan, chosen)
    summary = runner.run(plan, report=lambda line: typer.echo(line, err=True))
    tables = _tables(plan)
    sheets = [table.sheet() for table in (*tables, *(part for table in tables for part in by_visible(table)))]
    if as_json:
        printing.print_json(_as_json(plan, summary, sheets))
    else:
        printing.print_sheets(sheets)
    typer.echo(
        f"{len(summary.computed)} cells computed, {len(summary.kept)} kept, {len(summary.failed)} failed. "
        f"Results: {output}",
        err=True,
    )
    for cell, message in summary.failed:
        typer.echo(f"failed: {cell.cell}: {message}", err=True)
    if summary.failed:
        raise typer.Exit(1)


def _as_json(plan: Plan, summary: RunSummary, sheets: Sequence[Sheet]) -> dict[str, object]:
    from larpbench.results.writers import plain_tables

    return {
        "output": str(plan.output),
        "computed": [_cell(each) for each in summary.computed],
        "kept": [_cell(each) for each in summary.kept],
        "failed": [{**_cell(each), "message": message} for each, message in summary.failed],
        "unavailable": [
            {"name": each.name, "reason": each.reason, "next": each.next_step} for each in plan.unavailable
        ],
        "tables": plain_tables(sheets),
    }


def _cell(planned: PlannedCell) -> dict[str, object]:
    return {**dataclasses.asdict(planned.cell), "key": planned.key, "path": str(planned.path)}


def _tables(plan: Plan) -> list[Table]:
    """Return the tables of the plan's data; name the other results in the folder that cannot be used."""
    from larpbench.results.removal import removal_part
    from larpbench.results.store import find_records
    from larpbench.results.table import tables_beside

    found, unusable = find_records(plan.output)
    for each in unusable:
        typer.echo(f"skipped, unusable: {each}", err=True)
    own = {planned.path for planned in plan.cells}
    tested = next(record for path, record in found if path in own)
    return [table for table in tables_beside(found, tested) if table.removal == removal_part(plan.removal)]
