"""``larpbench plan``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from larpbench.cli import options
from larpbench.errors import MissingPartError, UnknownNameError
from larpbench.streams import aside

if TYPE_CHECKING:
    from larpbench.benchmark.config import RunConfig
    from larpbench.benchmark.plan import Plan

_HOUR = 3_600
EPILOG = """Examples:

larpbench plan --encoders all --recommenders all

larpbench plan --dataset my-data --encoders precomputed:vectors.npz --json

larpbench plan --encoders all --engine ray --workers 16

larpbench plan --config bench.toml"""


def plan(
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
    engine: options.Engine = "local",
    workers: options.Workers = None,
    gpus_per_worker: options.GpusPerWorker = None,
    as_json: options.Json = False,
) -> None:
    """Show what a run would do, without computing anything.

    Prints every cell and whether it has a result, and estimates time and disk space; with an engine that has workers
    also the wall-clock time.
    """
    chosen = options.chosen_run(context)  # all options above, and the file
    computing = chosen.chosen_engine()
    plans = planned(chosen)
    with aside():
        count = 0 if computing.is_local else computing.expected_workers()
    if as_json:
        made = [_as_json(plan) | _with_workers(plan, count) for plan in plans]
        typer.echo(json.dumps(made if len(made) > 1 else made[0], indent=2, ensure_ascii=False))
    else:
        for plan in plans:
            _print(plan)
            if found := _with_workers(plan, count):
                shown = _duration(found["estimated_wall_seconds"]).replace("CPU hours", "hours")
                named = "1 worker" if count == 1 else f"{count} workers"
                typer.echo(f"with {named} of --engine {chosen.engine}: roughly {shown} of wall-clock time")
    require_available(plans, chosen)


def _with_workers(made: Plan, workers: int) -> dict[str, float]:
    """Return what an engine with workers adds to the estimate; nothing if there are none."""
    from larpbench.benchmark.wall_time import wall_seconds

    return {"workers": workers, "estimated_wall_seconds": wall_seconds(made, workers)} if workers else {}


def _print(made: Plan) -> None:
    from larpbench.results.removal import as_sentence, removal_part

    for cell in made.cells:
        todo = "to run" if cell.to_run else "kept"
        train = f", to train first: {len(cell.trainings)}" if cell.trainings else ""
        typer.echo(f"{cell.state:8} {todo:7} {cell.cell}   (tracks to encode: {cell.tracks_to_encode}{train})")
    print_unavailable([made])
    if second := made.similarity:
        train = f", to train first: {len(second.trainings)}" if second.trainings else ""
        typer.echo(f"similarity by {second.spec.identity} (tracks to encode: {second.tracks_to_encode}{train})")
    if part := removal_part(made.removal):
        typer.echo(as_sentence(part))
    if limit := made.task.limit:
        typer.echo(f"Smoke run: only {limit} playlists of each split are read, or all if there are fewer.")
    typer.echo(
        f"{len(made.to_run)} of {len(made.cells)} cells to run, roughly {_duration(made.estimated_seconds())} "
        f"and {made.estimated_bytes() / 2**20:.1f} MiB; results go to {made.output}"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" + (f" ({seconds / _HOUR:.1f} CPU hours)" if seconds >= _HOUR else "")


@aside()
def planned(chosen: RunConfig) -> list[Plan]:
    """Return the plan of each data set of a run."""
    return chosen.plans()


def fetch_missing(chosen: RunConfig) -> None:
    """Fetch the weights of the chosen encoders that lack only their weights."""
    from larpbench.cli.fetch import fetch_for
    from larpbench.encoders.names import get_encoder
    from larpbench.tasks import TASKS

    second = [chosen.similarity_by] if chosen.similarity_by else []
    for name in [*TASKS.get(chosen.task).expanded(chosen.encoder_names), *second]:
        try:
            spec = get_encoder(name)
        except (MissingPartError, UnknownNameError):
            continue  # features of the data set, or listed as unavailable with the reason
        if spec.status().state == "missing-weights":
            fetch_for(spec)


def print_unavailable(plans: Sequence[Plan]) -> None:
    """Print the encoders and recommenders that cannot run here, with the reason."""
    for each in dict.fromkeys(each for plan in plans for each in plan.unavailable):
        typer.echo(f"cannot run: {each.name}: {each.text}", err=True)


def require_available(plans: Sequence[Plan], chosen: RunConfig) -> None:
    """Stop before any work if an encoder or recommender named on the command line cannot run.

    Raises:
        MissingPartError: Naming it.
    """
    from larpbench.encoders.layers import every_layer
    from larpbench.encoders.objects import ObjectOptions, requested_encoders

    requested = requested_encoders(chosen.encoder_names, ObjectOptions())  # a bare path is an encoder, too
    names = (each if isinstance(each, str) else each.identity for each in requested)
    encoders = [each for name in names for each in every_layer(name)]
    by_name = {*encoders, *chosen.recommenders} - {"all", "default"}
    absent = {each.name: each for plan in plans for each in plan.unavailable if each.name in by_name}
    if absent:
        raise MissingPartError(
            f"{len(absent)} of those named cannot run: {', '.join(absent)}",
            next_step=next((each.next_step for each in absent.values() if each.next_step), "leave them out"),
        )


def _as_json(plan: Plan) -> dict[str, object]:
    from larpbench.results.removal import removal_part

    part = removal_part(plan.removal)
    return {
        "output": str(plan.output),
        "protocol": plan.task.protocol,
        "estimated_seconds": plan.estimated_seconds(),
        "estimated_bytes": plan.estimated_bytes(),
        "cells": [
            {
                "task": each.cell.task,
                "dataset": each.cell.dataset,
                "encoder": each.cell.encoder,
                "recommender": each.cell.recommender,
                "seed": each.cell.seed,
                "key": each.key,
                "state": each.state,
                "to_run": each.to_run,
                "tracks_to_encode": each.tracks_to_encode,
                "to_train": [training.encoder for training in each.trainings],
                "path": str(each.path),
            }
            for each in plan.cells
        ],
        "similarity_by": plan.similarity
        and {
            "encoder": plan.similarity.spec.identity,
            "tracks_to_encode": plan.similarity.tracks_to_encode,
            "to_train": [each.encoder for each in plan.similarity.trainings],
        },
        "removal": part and part.model_dump(mode="json"),
        "unavailable": [
            {"name": each.name, "reason": each.reason, "next": each.next_step} for each in plan.unavailable
        ],
    }
