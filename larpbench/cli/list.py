"""``larpbench list``."""

from __future__ import annotations

import fnmatch
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from larpbench.cli import options
from larpbench.errors import LarpbenchError

if TYPE_CHECKING:
    from larpbench.datasets.catalogue import DatasetSource
    from larpbench.encoders.base import EncoderSpec
    from larpbench.recommenders.base import Recommender
    from larpbench.registry import Registry
    from larpbench.tasks.base import Task

EPILOG = """Examples:

larpbench list encoders

larpbench list recommenders 'itemknn*'

larpbench list encoders --json"""


class Kind(StrEnum):
    """What can be listed."""

    encoders = "encoders"
    recommenders = "recommenders"
    datasets = "datasets"
    tasks = "tasks"


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    pattern: Annotated[str, typer.Argument(help="Names to show, with * and ? as wildcards.")] = "*",
    as_json: options.Json = False,
) -> None:
    """List what is there, with one line on each and whether it can run here."""
    rows = [row for row in _ROWS[kind]() if fnmatch.fnmatch(row["name"], pattern)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        state = _state(row)
        origin = "" if row.get("origin", "larpbench") == "larpbench" else f"  (from {row['origin']})"
        needs = (
            f"  ({row['modalities']}, {row['dim']} numbers, {row['licence']}, {row['speed']})" if "speed" in row else ""
        )
        typer.echo(f"{row['name']:{width}}  {row['summary']}{needs}{state}{origin}")
    if not rows:
        typer.echo(f"no {kind.value} match {pattern!r}", err=True)


def _state(row: dict[str, str]) -> str:
    """Return what to say of a row that is not simply ready."""
    told = []
    if row.get("status", "ready") != "ready":
        told.append(f"{row['status']}: {row['reason']}" if row.get("reason") else row["status"])
        told += [f"next: {row['next']}"] if row["next"] else []
    told += ["unproven"] if row.get("unproven") else []
    return f"  [{'; '.join(told)}]" if told else ""


def _encoders() -> list[dict[str, str]]:
    from larpbench.encoders import ENCODERS

    for problem in ENCODERS.problems():
        typer.echo(f"warning: {problem.message}", err=True)
    rows = []
    for name in ENCODERS.names():
        origin = ENCODERS.origin(name)
        try:
            spec = ENCODERS.get(name)
        except LarpbenchError as error:
            rows.append(
                {
                    "name": name,
                    "summary": "cannot be loaded",
                    "status": "broken",
                    "next": error.next_step or "",
                    "origin": origin.distribution,
                }
            )
            continue
        status = spec.status()
        rows.append(
            {
                "name": name if spec.takes is None else f"{name}:{spec.takes}",
                "summary": spec.card.summary,
                "modalities": "+".join(spec.card.modalities) or "none",
                "dim": str(spec.card.dim or "varies"),
                "licence": spec.card.licence,
                "speed": speed_text(spec),
                "status": status.state,
                "reason": status.reason or "",
                "next": status.next_step or "",
                "unproven": "yes" if spec.card.unproven else "",
                "origin": origin.distribution,
            }
        )
    return rows


def speed_text(spec: EncoderSpec) -> str:
    """Return how fast an encoder is: measured here if it ever ran, else as its card estimates."""
    from larpbench.planning import default_store

    measured = default_store().speed(spec)
    speed = measured or spec.card.tracks_per_second
    shown = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
    return f"{shown} tracks/s {'measured here' if measured else 'estimated'}"


def _recommenders() -> list[dict[str, str]]:
    from larpbench.recommenders import RECOMMENDERS
    from larpbench.tasks import TASKS, own_recommenders

    rows = _described(RECOMMENDERS)
    for name, (task, found) in own_recommenders().items():
        row = {"name": name, "origin": TASKS.origin(task).distribution}
        if isinstance(found, LarpbenchError):
            rows.append(
                {
                    **row,
                    "summary": f"{found.what} (task {task})",
                    "status": "missing-package",
                    "next": found.next_step or "",
                }
            )
        else:
            rows.append({**row, "summary": f"{found.summary} (task {task})"})
    return rows


def _tasks() -> list[dict[str, str]]:
    from larpbench.tasks import TASKS

    return _described(TASKS)


def _described(registry: Registry[Recommender] | Registry[Task[Any]] | Registry[DatasetSource]) -> list[dict[str, str]]:
    problems = registry.problems()
    for problem in problems:
        typer.echo(f"warning: {problem.message}", err=True)
    broken = {problem.name for problem in problems if problem.kind == "broken"}
    return [
        {"name": name, "summary": registry.get(name).summary, "origin": registry.origin(name).distribution}
        for name in registry.names()
        if name not in broken
    ]


def _datasets() -> list[dict[str, str]]:
    from larpbench.datasets.catalogue import DATASETS, datasets_folder, is_built, list_datasets
    from larpbench.datasets.files import read_manifest

    rows = _described(DATASETS)
    for row in rows:
        source = DATASETS.get(row["name"])
        if source.build is not None and not is_built(source):
            row |= {"status": "not built", "next": source.build}
    for name in list_datasets():
        if name not in DATASETS.names():
            rows.append({"name": name, "summary": read_manifest(datasets_folder() / name).source})
    return rows


_ROWS = {
    Kind.encoders: _encoders,
    Kind.recommenders: _recommenders,
    Kind.datasets: _datasets,
    Kind.tasks: _tasks,
}
