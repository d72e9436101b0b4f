"""``larpbench list``."""

from __future__ import annotations

import fnmatch
import json
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from larpbench.cli import options
from larpbench.cli.describe import Kind as Described
from larpbench.cli.describe import speed_text
from larpbench.errors import LarpbenchError, UsageError, shell_word

if TYPE_CHECKING:
    from larpbench.datasets.catalogue import DatasetSource
    from larpbench.encoders.spec import EncoderSpec
    from larpbench.recommenders.base import Recommender
    from larpbench.registry import Registry
    from larpbench.tasks.base import Task

EPILOG = """Examples:

larpbench list encoders

larpbench list recommenders 'itemknn*'

larpbench list encoders --json

larpbench list encoders --dataset my-data"""

Kind = Literal["encoders", "recommenders", "datasets", "tasks"]
_WIDTH = 100  # of a line of text


def list_names(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="What to list.",
            parser=options.one_of("kind of name", get_args(Kind), "larpbench list encoders"),
        ),
    ],
    pattern: Annotated[str, typer.Argument(help="Names to show, with * and ? as wildcards.")] = "*",
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="List the encoders of vectors that this data set brings.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List encoders, recommenders, data sets and tasks.

    Prints one line for each, with its status on this machine; larpbench describe prints the rest. Plug-ins are not
    imported.
    """
    if dataset is not None and kind != "encoders":
        raise UsageError(f"--dataset does not apply to {kind}", allowed="larpbench list encoders --dataset DATASET")
    listed = _ROWS[kind]() if dataset is None else _provided(dataset)
    rows = [row for row in listed if fnmatch.fnmatch(row["name"], pattern)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        no_vectors = dataset is not None and not listed
        what = f"{dataset} brings no vectors" if no_vectors else f"no {kind} match {pattern!r}"
        typer.echo(what, err=True)
        return
    if kind == "encoders":
        _print_encoders(rows)
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['name']:{width}}  {_beside(row['summary'], row, width)}")


def _beside(summary: str, row: dict[str, str], width: int) -> str:
    """Return the summary and the state of a row, cut to what a line has room for beside a name of `width`."""
    state = _state(row)
    end = f"  (task {row['task']})" if "task" in row else ""
    end += "" if state == "ready" else f"  [{state}]"
    room = max(_WIDTH - width - 2 - len(end), 20)
    return textwrap.shorten(summary, room, placeholder=" ..", break_on_hyphens=False) + end


def _print_encoders(rows: list[dict[str, str]]) -> None:
    """Print name, modality, dimension, status and summary, in lines of at most 100 characters."""
    columns = [
        (
            row["name"].partition("[")[0].rstrip(":") if row["origin"] == "larpbench" else row["name"],
            row.get("modalities", "-"),
            row.get("dim", "-"),
            row["status"] + ("*" if row.get("unverified") else ""),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    for row, values in zip(rows, columns, strict=True):
        facts = "  ".join(f"{value:{width}}" for value, width in zip(values, widths, strict=True))
        typer.echo(f"{facts}  {row['summary']}")
    if any(row.get("unverified") for row in rows):
        typer.echo("* an adapter that was never compared with the original code")


def _state(row: dict[str, str]) -> str:
    """Return the status of a row, with the package of a plug-in."""
    state = row.get("status", "ready")
    return state if row["origin"] == "larpbench" else f"{state} (from {row['origin']})"


def _encoders() -> list[dict[str, str]]:
    from larpbench.encoders.names import ENCODERS

    return [_encoder(ENCODERS.get(name)) for name in ENCODERS.names() if ENCODERS.origin(name).built_in] + _plugins(
        ENCODERS
    )


def _provided(dataset: str) -> list[dict[str, str]]:
    """Return the rows of the encoders of what a data set brings; their status is whether every track has a vector."""
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.datasets.provided import vector_sets
    from larpbench.datasets.schema import SPLITS
    from larpbench.encoders.names import get_encoder

    data = load_dataset(dataset)
    rows = []
    for found in vector_sets(data.folder).values():
        status, reason, step = "ready", "", ""
        spec = get_encoder(f"provided:{found.name}")
        try:
            spec = spec.tested_on(data)
            spec.require_possible(data, [name for name in SPLITS if data.split(name).tracks.height])
        except LarpbenchError as error:
            status, reason, step = "unusable", error.what, error.next_step or ""
        if found.card.leak:
            status, reason, step = "leaky", found.card.leak, "--allow-leaky"
        row = {**_encoder(spec), "name": f"provided:{found.name}", "status": status, "reason": reason, "next": step}
        rows.append({**row, "file": str(found.path)})
    return rows


def _encoder(spec: EncoderSpec) -> dict[str, str]:
    status = spec.status()
    return {
        "name": f"{spec.card.name}:{spec.takes or ''}".replace(":[@", "[@").removesuffix(":"),
        "summary": spec.card.summary,
        "modalities": "+".join(spec.card.modalities) or "none",
        "dim": str(spec.card.dim or "varies"),
        "licence": spec.card.licence,
        "speed": speed_text(spec),
        "status": status.state,
        "reason": status.reason or "",
        "next": status.next_step or "",
        "unverified": "yes" if spec.card.unverified else "",
        "unproven": "yes" if spec.card.unverified else "",  # the earlier name, for one version
        "origin": "larpbench",
    }


def _plugins(registry: Registry[Any]) -> list[dict[str, str]]:
    """Return the rows of plug-ins, from their metadata alone: their code is imported when one is named."""
    for problem in registry.clashes():
        typer.echo(f"warning: {problem.message}", err=True)
    origins = {name: registry.origin(name) for name in registry.names()}
    describable = registry.kind in get_args(Described)
    return [
        {
            "name": name,
            "summary": f"plug-in of {origin.distribution} {origin.version}",
            "status": "not loaded",
            "next": f"larpbench describe {registry.kind} {shell_word(name)}" if describable else "",
            "origin": origin.distribution,
        }
        for name, origin in origins.items()
        if not origin.built_in
    ]


def _recommenders() -> list[dict[str, str]]:
    from larpbench.recommenders import RECOMMENDERS
    from larpbench.tasks import own_recommenders

    rows = _described(RECOMMENDERS)
    for name, (task, found) in own_recommenders().items():
        row = {"name": name, "task": task, "origin": "larpbench"}
        if isinstance(found, LarpbenchError):
            rows.append(
                {
                    **row,
                    "summary": found.what,
                    "status": "missing-package",
                    "next": found.next_step or "",
                }
            )
        else:
            rows.append({**row, "summary": found.summary})
    return rows


def _tasks() -> list[dict[str, str]]:
    from larpbench.tasks import TASKS

    return _described(TASKS)


def _described(registry: Registry[Recommender] | Registry[Task[Any]] | Registry[DatasetSource]) -> list[dict[str, str]]:
    origins = {name: registry.origin(name) for name in registry.names()}
    built_in = [
        {"name": name, "summary": registry.get(name).summary, "origin": origin.distribution}
        for name, origin in origins.items()
        if origin.built_in
    ]
    return built_in + _plugins(registry)


def _datasets() -> list[dict[str, str]]:
    from larpbench.datasets.catalogue import DATASETS, datasets_folder, is_built, list_datasets
    from larpbench.datasets.files import read_manifest

    rows = _described(DATASETS)
    for row in rows:
        if row.get("status"):
            continue  # a plug-in
        source = DATASETS.get(row["name"])
        if source.build is not None and not is_built(source):
            row |= {"status": "not built", "next": source.build}
    for name in list_datasets():
        if name not in DATASETS.names():
            rows.append(
                {"name": name, "summary": read_manifest(datasets_folder() / name).source, "origin": "larpbench"}
            )
    return rows


_ROWS = {
    "encoders": _encoders,
    "recommenders": _recommenders,
    "datasets": _datasets,
    "tasks": _tasks,
}
