"""``larpbench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import options

EPILOG = """Examples:

larpbench run

larpbench run --dataset my-data --encoders tfidf,precomputed:vectors.npz --recommenders all

larpbench run --encoders all --seeds 5 --output results-5

larpbench run --dataset mpd --encoders all --recommenders all --limit 100

larpbench run --encoders clap-pt,bert --download

larpbench run --encoders tfidf,precomputed:vectors.npz --similarity-by handcrafted

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
    similarity_by: options.SimilarityBy = None,
    limit: options.Limit = None,
    output: options.Output = Path("results"),
    condition: options.If = "missing",
    option: options.Option = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download missing weights first, as larpbench fetch does.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Refuse all network access, also by plug-ins.")] = False,
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
    from larpbench.benchmark.evaluate import tables_of
    from larpbench.cli.plan import fetch_missing, planned, print_unavailable, require_available
    from larpbench.results.breakdown import by_visible
    from larpbench.results.writers import to_markdown

    chosen = options.RunOptions(
        task=task,
        encoders=encoders,
        column=column,
        recommenders=recommenders,
        dataset=dataset,
        seeds=seeds,
        budget=budget,
        draws=draws,
        similarity_by=similarity_by,
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
    tables, unusable = tables_of(plan)
    for each in unusable:
        typer.echo(f"skipped, unusable: {each}", err=True)
    shown = [*tables, *(part for table in tables for part in by_visible(table))]
    typer.echo(to_markdown([table.sheet() for table in shown]))
    typer.echo(
        f"{len(summary.computed)} cells computed, {len(summary.kept)} kept, {len(summary.failed)} failed. "
        f"Results: {output}",
        err=True,
    )
    for cell, message in summary.failed:
        typer.echo(f"failed: {cell.cell}: {message}", err=True)
    if summary.failed:
        raise typer.Exit(1)
