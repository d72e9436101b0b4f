"""``larpbench plan``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from larpbench.cli import options
from larpbench.cli.options import RunOptions
from larpbench.errors import MissingPartError, UnknownNameError
from larpbench.streams import aside

if TYPE_CHECKING:
    from larpbench.benchmark.plan import Plan

EPILOG = """Examples:

larpbench plan --encoders all --recommenders all

larpbench plan --dataset my-data --encoders precomputed:vectors.npz --json"""


def plan(
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
    as_json: options.Json = False,
) -> None:
    """Show what a run would do, without computing anything.

    Prints every cell and whether it has a result, and estimates time and disk space.
    """
    from larpbench.results.removal import as_sentence, removal_part

    chosen = RunOptions(
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
    made = planned(chosen)
    if as_json:
        typer.echo(json.dumps(_as_json(made), indent=2, ensure_ascii=False))
    else:
        for cell in made.cells:
            todo = "to run" if cell.to_run else "kept"
            train = f", to train first: {len(cell.trainings)}" if cell.trainings else ""
            typer.echo(f"{cell.state:8} {todo:7} {cell.cell}   (tracks to encode: {cell.tracks_to_encode}{train})")
        print_unavailable(made)
        if second := made.similarity:
            train = f", to train first: {len(second.untrained)}" if second.untrained else ""
            typer.echo(f"similarity by {second.spec.identity} (tracks to encode: {second.tracks_to_encode}{train})")
        if part := removal_part(made.removal):
            typer.echo(as_sentence(part))
        typer.echo(
            f"{len(made.to_run)} of {len(made.cells)} cells to run, roughly {made.estimated_seconds():.0f} s "
            f"and {made.estimated_bytes() / 2**20:.1f} MiB; results go to {made.output}"
        )
    require_available(made, chosen)


@aside()
def planned(chosen: RunOptions) -> Plan:
    """Return the plan of a run with these options."""
    from larpbench.benchmark.plan import plan

    return plan(
        chosen.dataset,
        encoders=chosen.encoder_names,
        recommenders=chosen.recommender_names,
        task=chosen.task,
        task_options=chosen.task_options,
        seeds=chosen.seeds,
        budget=chosen.budget,
        draws=chosen.draws,
        similarity_by=chosen.similarity_by,
        limit=chosen.limit,
        output=chosen.output.absolute(),
        condition=chosen.condition,
    )


def fetch_missing(chosen: RunOptions) -> None:
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


def print_unavailable(plan: Plan) -> None:
    """Print the encoders and recommenders that cannot run here, with the reason."""
    for each in plan.unavailable:
        typer.echo(f"cannot run: {each.name}: {each.text}", err=True)


def require_available(plan: Plan, chosen: RunOptions) -> None:
    """Stop before any work if an encoder or recommender named on the command line cannot run.

    Raises:
        MissingPartError: Naming it.
    """
    by_name = {*chosen.encoder_names, *chosen.recommender_names} - {"all", "default"}
    absent = [each for each in plan.unavailable if each.name in by_name]
    if absent:
        raise MissingPartError(
            f"{len(absent)} of those named cannot run: {', '.join(each.name for each in absent)}",
            next_step=absent[0].next_step or "leave them out",
        )


def _as_json(plan: Plan) -> dict[str, object]:
    from larpbench.results.removal import removal_part

    part = removal_part(plan.removal)
    return {
        "output": str(plan.output),
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
            "to_train": [each.identity for each in plan.similarity.untrained],
        },
        "removal": part and part.model_dump(mode="json"),
        "unavailable": [
            {"name": each.name, "reason": each.reason, "next": each.next_step} for each in plan.unavailable
        ],
    }
