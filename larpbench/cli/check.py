"""``larpbench check``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli import options
from larpbench.errors import MissingPartError, UnknownNameError, UsageError, printable

if TYPE_CHECKING:
    from larpbench.testing import Check

EPILOG = """Examples:

larpbench check encoder tfidf

larpbench check recommender itemknn

larpbench check dataset toy-artists --rebuild

larpbench check task continuation --dataset my-data

larpbench fetch clap-pt && larpbench check encoder clap-pt --golden"""

_KINDS = ("encoder", "recommender", "dataset", "task")


def check(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="encoder, recommender, dataset or task; default: encoder.")
    ],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Its name; of a data set also a folder.")] = None,
    golden: Annotated[
        bool, typer.Option("--golden", help="Encoder: also compare it with the original code, stored and installed.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Data set: also build it anew in an empty home folder, and compare.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Task: run it on this data set; default: a toy one of its kind.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Run the conformance tests on an encoder or other part.

    A part is an encoder, a recommender, a data set or a task. The exit code is 1 if a test fails.
    """
    kind, name = _kind_and_name(kind, name)
    flags = (("--golden", golden, "encoder"), ("--rebuild", rebuild, "dataset"), ("--dataset", dataset, "task"))
    for flag, value, of in flags:
        if value and kind != of:
            raise UsageError(f"{flag} does not apply to a {kind}", allowed=f"larpbench check {of} NAME {flag}")
    if kind == "encoder":
        checks = _encoder(name, golden)
    elif kind == "recommender":
        checks = _recommender(name)
    elif kind == "dataset":
        checks = _dataset(name, rebuild)
    else:
        checks = _task(name, dataset)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in checks], indent=2, ensure_ascii=False))
    else:
        width = max(len(each.name) for each in checks)
        for each in checks:
            advice = f"; next: {each.advice}" if each.advice else ""
            typer.echo(printable(f"{each.outcome:7}  {each.name:{width}}  {each.detail}{advice}".rstrip()))
        counts = Counter(each.outcome for each in checks)
        typer.echo(f"{name}: {', '.join(f'{counts[outcome]} {outcome}' for outcome in sorted(counts))}")
    if any(each.outcome == "fail" for each in checks):
        raise typer.Exit(1)


def _kind_and_name(kind: str, name: str | None) -> tuple[str, str]:
    """Return what is checked; one word alone is an encoder."""
    if name is None and (one := kind.removesuffix("s")) in _KINDS:
        raise UsageError(f"which {one}?", allowed=f"larpbench check {one} NAME", next_step=f"larpbench list {one}s")
    if name is None:
        return "encoder", kind
    if kind not in _KINDS:
        raise UnknownNameError("kind of name", kind, _KINDS, "larpbench check encoder NAME")
    return kind, name


def _encoder(name: str, golden: bool) -> list[Check]:
    from larpbench.encoders.names import get_encoder
    from larpbench.testing import check_encoder, check_reference

    spec = get_encoder(name)
    status = spec.status()
    if status.state != "ready" and not (golden and status.state == "missing-weights"):
        raise MissingPartError(f"encoder {name!r} cannot run: {status.text}", next_step=status.next_step)
    checks = check_encoder(spec) if status.state == "ready" else []
    return checks + (check_reference(spec) if golden else [])


def _recommender(name: str) -> list[Check]:
    from larpbench.recommenders import RECOMMENDERS
    from larpbench.tasks import own_recommenders
    from larpbench.testing import check_recommender

    if name not in RECOMMENDERS.names() and (owned := own_recommenders(plugins=True).get(name)):
        raise UsageError(
            f"{name!r} is no recommender of playlists: it belongs to the task {owned[0]!r}",
            next_step=f"larpbench check task {owned[0]}",
        )
    return check_recommender(RECOMMENDERS.get(name))


def _dataset(name: str, rebuild: bool) -> list[Check]:
    from larpbench.testing import check_dataset

    return check_dataset(name, rebuild=rebuild)


def _task(name: str, dataset: str | None) -> list[Check]:
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.tasks import TASKS
    from larpbench.testing import check_task

    return check_task(TASKS.get(name), None if dataset is None else load_dataset(dataset))
