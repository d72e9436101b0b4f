"""``larpbench run``."""

from __future__ import annotations

from pathlib import Path

import typer

from larpbench.cli import options

EPILOG = """Examples:

larpbench run

larpbench run --dataset my-data --encoders tfidf,precomputed:vectors.npz --recommenders all

larpbench run --encoders all --seeds 5 --output results-5"""


def run(
    task: options.Task = "continuation",
    encoders: options.Encoders = "default",
    recommenders: options.Recommenders = "itemknn",
    dataset: options.DatasetName = "demo",
    seeds: options.Seeds = 3,
    budget: options.Budget = 6,
    draws: options.Draws = 1,
    output: options.Output = Path("results"),
    condition: options.If = options.Condition.missing,
) -> None:
    """Test encoders on a data set and print the table. What is there already is kept; an interrupted run goes on."""
    from larpbench import runner
    from larpbench.cli.plan import planned, print_unavailable, require_asked
    from larpbench.results.formats import to_markdown
    from larpbench.results.removal import removal_part
    from larpbench.results.tables import load_tables

    plan = planned(task, encoders, recommenders, dataset, seeds, budget, draws, output, condition)
    print_unavailable(plan)
    require_asked(plan, f"{encoders},{recommenders}")
    summary = runner.carry_out(plan, report=lambda line: typer.echo(line, err=True))
    asked = (plan.task.name, plan.dataset.name, removal_part(plan.removal))
    tables = [t for t in load_tables(plan.output) if (t.task, t.dataset, t.removal) == asked]
    typer.echo(to_markdown(tables))
    typer.echo(
        f"{len(summary.computed)} cells computed, {len(summary.kept)} kept, {len(summary.failed)} failed. "
        f"Results: {output}",
        err=True,
    )
    for cell, message in summary.failed:
        typer.echo(f"failed: {cell.cell}: {message}", err=True)
    if summary.failed:
        raise typer.Exit(1)
