"""``larpbench fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from larpbench.cli import options
from larpbench.errors import MissingPartError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from larpbench.encoders.spec import EncoderSpec

EPILOG = """Examples:

larpbench fetch clap-pt

larpbench fetch bert htsat text:sentence-transformers/all-mpnet-base-v2

larpbench fetch --plan all

Only fetch and run --download use the network. If a download is interrupted, the same command continues it."""
_ALL = "all"


def fetch(
    names: Annotated[
        list[str], typer.Argument(help="Encoder names: larpbench list encoders; or all.", metavar="NAME...")
    ],
    plan: Annotated[
        bool, typer.Option("--plan", help="Print sizes, revisions and licences; download nothing.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Download the pretrained weights of encoders.

    Prints their licence, their revision and their folder. Weights that change under a revision are refused.
    """
    from larpbench.encoders.names import get_encoder

    if as_json and not plan:
        raise UsageError("--json prints a plan", allowed="larpbench fetch --plan --json NAME...")
    specs = [spec for name in names for spec in (_with_weights() if name == _ALL else [get_encoder(name)])]
    if plan:
        _print_plan(specs, as_json)
        return
    for spec in specs:
        if not fetch_for(spec):
            typer.echo(f"{spec.identity}: needs no weights that could be fetched")


def fetch_for(spec: EncoderSpec) -> bool:
    """Fetch what an encoder and those that it builds upon need; return whether there was anything to fetch."""
    from larpbench.encoders.weights.fetch import fetch as fetch_weights

    needs = [fetch_for(each) for each in spec.inputs]
    if spec.weights is None:
        return any(needs)
    weights = spec.weights
    about = "about " if weights.size else ""
    typer.echo(f"{spec.identity}: {weights.name}, {about}{weights.size_text}, from {weights.source}", err=True)
    typer.echo(f"{spec.identity}: licence of the weights: {weights.licence}", err=True)
    try:
        folder = fetch_weights(weights)
    except MissingPartError as error:
        raise MissingPartError(
            error.what,
            where=error.where,
            allowed=f"the files, put into {weights.folder()} by hand",
            next_step=error.next_step,
        ) from error
    typer.echo(f"{spec.identity}: revision {weights.commit(folder) or 'unknown'}{_pin(spec)}", err=True)
    typer.echo(f"{spec.identity}: {folder}")
    return True


def _with_weights() -> list[EncoderSpec]:
    """Return the encoders whose weights can be fetched without naming a model; broken plug-ins are left out."""
    from larpbench.encoders.names import ENCODERS

    found = []
    ENCODERS.probe(ENCODERS.names())
    for name in ENCODERS.names():
        try:
            spec = ENCODERS.get(name)
        except MissingPartError as error:
            typer.echo(f"warning: {error.what}", err=True)
            continue
        if spec.weights:
            found.append(spec)
    return found


def _print_plan(specs: Sequence[EncoderSpec], as_json: bool) -> None:
    from larpbench.cli.printing import print_json

    rows = [row for spec in specs for row in _planned(spec)]
    distinct = {row["checkpoint"]: row for row in rows if row["checkpoint"]}.values()
    total = sum(row["bytes"] or 0 for row in distinct)
    lacking = sum(row["bytes"] or 0 for row in distinct if row["state"] == "to fetch")
    unknown = sum(row["bytes"] is None for row in distinct)
    if as_json:
        print_json({"encoders": rows, "bytes": total, "bytes_to_fetch": lacking})
        return
    shown = [("encoder", "checkpoint", "size", "revision", "state", "licence")]
    shown += [
        (
            row["encoder"],
            row["checkpoint"] or "-",
            "unknown" if row["bytes"] is None else f"{row['bytes'] / 1e9:.2f} GB",
            (row["revision"] or "not pinned")[:12] if row["checkpoint"] else "-",
            row["state"],
            row["licence"] or "-",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for cells in shown:
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())
    typer.echo(
        f"{lacking / 1e9:.2f} GB to fetch of {total / 1e9:.2f} GB, {len(distinct)} checkpoints, each counted once"
        f"{f', {unknown} of unknown size' if unknown else ''}; nothing was downloaded"
    )


def _planned(spec: EncoderSpec) -> Iterator[dict[str, Any]]:
    """Yield what an encoder and those that it builds upon would fetch, a row a checkpoint."""
    parts = list(_loading(spec))
    for part in parts:
        weights = part.weights
        if weights is None:
            continue
        folder = weights.found()
        yield {
            "encoder": spec.identity,
            "checkpoint": weights.name,
            "bytes": weights.bytes_in(folder) if folder else weights.size or None,
            "revision": weights.pinned or (weights.commit(folder) if folder else None),
            "licence": weights.licence,
            "state": "here" if folder else "to fetch",
        }
    if not parts:
        none = dict.fromkeys(("checkpoint", "revision", "licence"))
        yield {"encoder": spec.identity, **none, "bytes": 0, "state": "needs no weights"}


def _loading(spec: EncoderSpec) -> Iterator[EncoderSpec]:
    for each in spec.inputs:
        yield from _loading(each)
    if spec.weights:
        yield spec


def _pin(spec: EncoderSpec) -> str:
    return "" if spec.weights and spec.weights.pinned else " (not pinned)"
