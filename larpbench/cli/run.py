"""``larpbench run``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli import options, printing

if TYPE_CHECKING:
    from larpbench.benchmark.cells import PlannedCell
    from larpbench.benchmark.plan import Plan
    from larpbench.benchmark.run import RunSummary
    from larpbench.results.sheet import Sheet

EPILOG = """Examples:

larpbench run

larpbench run --dataset my-data --encoders tfidf,precomputed:vectors.npz --recommenders all

larpbench run --encoders all --seeds 5 --output results-5

larpbench run --dataset mpd --encoders all --recommenders all --limit 100

larpbench run --encoders clap-pt,bert --download

larpbench run --dataset my-data --encoders htsat,clap-pt:audio --backend openvino

larpbench run --encoders tfidf,precomputed:vectors.npz --similarity-by handcrafted

larpbench run --config bench.toml --seeds 1

larpbench run --encoders tfidf --wait 600

larpbench run --encoders all --recommenders all --engine ray --workers 2

larpbench run --encoders tfidf --json > run.json

larpbench run --task artist-similarity --dataset toy-artists --encoders random,acousticbrainz -O layers=0,2"""


def run(
    context: typer.Context,
    config: options.Config = None,
    task: options.TaskName = "continuation",
    encoders: options.Encoders = "default",
    column: options.Column = None,
    recommenders: options.Recommenders = "default",
    datasets: options.DatasetNames = None,
    seeds: options.Seeds = 3,
    budget: options.Budget = 6,
    draws: options.Draws = 1,
    limit: options.Limit = None,
    device: options.Device = "cpu",
    similarity_by: options.SimilarityBy = None,
    allow_leaky: options.AllowLeaky = False,
    backend: options.Backend = "torch",
    output: options.Output = Path("results"),
    condition: options.If = "missing",
    task_options: options.Option = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download missing weights first, as larpbench fetch does.")
    ] = False,
    wait: options.Wait = None,
    engine: options.Engine = "local",
    workers: options.Workers = None,
    gpus_per_worker: options.GpusPerWorker = None,
    shard_timeout: options.ShardTimeout = None,
    offline: Annotated[bool, typer.Option("--offline", help="Refuse all network access, also by plug-ins.")] = False,
    as_json: options.Json = False,
) -> None:
    """Test encoders on a data set and print the table.

    Cells that have a result are kept. If a run is interrupted, the same command continues it. Without --download, no
    encoder of larpbench uses the network.
    """
    from larpbench.errors import UsageError
    from larpbench.offline import go_offline

    chosen = options.chosen_run(context)  # all options above, and the file
    if chosen.offline and chosen.download:
        raise UsageError("--download needs the network, and --offline refuses it", allowed="one of them")
    if chosen.offline:
        go_offline()  # before any import that reads the environment variables
    computing = chosen.chosen_engine()
    from larpbench.benchmark import run as runner
    from larpbench.benchmark.evaluate import tables_of
    from larpbench.cli.plan import fetch_missing, planned, print_unavailable, require_available
    from larpbench.results.breakdown import by_visible

    if chosen.download:
        fetch_missing(chosen)
    plans = planned(chosen)
    print_unavailable(plans)
    require_available(plans, chosen)
    with computing if any(plan.to_run for plan in plans) else nullcontext():
        summaries = [
            runner.run(plan, report=lambda line: typer.echo(line, err=True), engine=computing) for plan in plans
        ]
    tables, unusable = tables_of(plans)
    for each in unusable:
        typer.echo(f"skipped, unusable: {each}", err=True)
    sheets = [table.sheet() for table in (*tables, *(part for table in tables for part in by_visible(table)))]
    if as_json:
        printing.print_json(_as_json(plans, summaries, sheets))
    else:
        printing.print_sheets(sheets)
    computed, kept = (sum(len(getattr(each, name)) for each in summaries) for name in ("computed", "kept"))
    failed = [failure for each in summaries for failure in each.failed]
    typer.echo(
        f"{computed} cells computed, {kept} kept, {len(failed)} failed. Results: {chosen.output}",
        err=True,
    )
    for cell, message in failed:
        typer.echo(f"failed: {cell.cell}: {message}", err=True)
    if failed:
        raise typer.Exit(1)


def _as_json(plans: Sequence[Plan], summaries: Sequence[RunSummary], sheets: Sequence[Sheet]) -> dict[str, object]:
    from larpbench.results.writers import plain_tables

    unavailable = dict.fromkeys(each for plan in plans for each in plan.unavailable)
    return {
        "output": str(plans[0].output),
        "computed": [_cell(each) for summary in summaries for each in summary.computed],
        "kept": [_cell(each) for summary in summaries for each in summary.kept],
        "failed": [{**_cell(each), "message": text} for summary in summaries for each, text in summary.failed],
        "unavailable": [{"name": each.name, "reason": each.reason, "next": each.next_step} for each in unavailable],
        "tables": plain_tables(sheets),
    }


def _cell(planned: PlannedCell) -> dict[str, object]:
    return {**dataclasses.asdict(planned.cell), "key": planned.key, "path": str(planned.path)}
