"""``larpbench run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli.options import Asked
from larpbench.cli.spread import spread

if TYPE_CHECKING:
    from larpbench.benchmark.plan import Plan
    from larpbench.results.rows import Table

EPILOG = """Examples:

larpbench run

larpbench run --dataset my-data --encoders tfidf,precomputed:vectors.npz --recommenders all

larpbench run --encoders all --seeds 5 --output results-5

larpbench run --encoders clap-pt,bert --download

larpbench run --task artist-similarity --dataset toy-artists --encoders random,acousticbrainz --layers 0,2"""


@spread
def run(
    asked: Asked,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch the weights that are missing first: larpbench fetch.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Refuse every use of the network, of plug-ins too.")
    ] = False,
) -> None:
    """Test encoders on a data set and print the table. What is there already is kept; an interrupted run goes on.

    Without --download no encoder of larpbench uses the network.
    """
    from larpbench.errors import UsageError
    from larpbench.offline import go_offline

    if offline and download:
        raise UsageError("--download needs the network, and --offline refuses it", allowed="one of them")
    if offline:
        go_offline()  # before anything is imported that reads the switches
    from larpbench.benchmark import run as runner
    from larpbench.cli.plan import fetch_missing, planned, print_unavailable, require_asked
    from larpbench.results.breakdown import by_visible
    from larpbench.results.writers import to_markdown

    if download:
        fetch_missing(asked)
    plan = planned(asked)
    print_unavailable(plan)
    require_asked(plan, asked)
    summary = runner.run(plan, report=lambda line: typer.echo(line, err=True))
    tables = _tables(plan)
    shown = [*tables, *(part for table in tables for part in by_visible(table))]
    typer.echo(to_markdown([table.sheet() for table in shown]))
    typer.echo(
        f"{len(summary.computed)} cells computed, {len(summary.kept)} kept, {len(summary.failed)} failed. "
        f"Results: {asked.output}",
        err=True,
    )
    for cell, message in summary.failed:
        typer.echo(f"failed: {cell.cell}: {message}", err=True)
    if summary.failed:
        raise typer.Exit(1)


def _tables(plan: Plan) -> list[Table]:
    """Return the tables of what the plan tests on; other results in the folder that cannot be used are named."""
    from larpbench.results.removal import removal_part
    from larpbench.results.store import find_records
    from larpbench.results.table import tables_beside

    found, unusable = find_records(plan.output)
    for each in unusable:
        typer.echo(f"skipped, since it cannot be used: {each}", err=True)
    own = {planned.path for planned in plan.cells}
    tested = next(record for path, record in found if path in own)
    return [table for table in tables_beside(found, tested) if table.removal == removal_part(plan.removal)]
