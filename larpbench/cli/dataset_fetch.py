"""``larpbench dataset fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.errors import printable
from larpbench.name_lists import names

if TYPE_CHECKING:
    from larpbench.datasets.fetching.collections import FetchPlan

EPILOG = """Examples:

larpbench dataset fetch onion

larpbench dataset fetch onion --parts log,musicnn,jukebox --yes

larpbench dataset fetch yambda-50m --parts likes,artists,albums

If a download is interrupted, the same command continues it."""


def fetch(
    collection: Annotated[str, typer.Argument(help="onion, yambda-50m, talkplay or aotm.", metavar="COLLECTION")],
    parts: Annotated[
        str | None,
        typer.Option(
            help="Parts to fetch, separated by commas, or all; the command shows what there is.", metavar="NAMES"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Download a public collection.

    Prints the licence and the sizes first, and asks. The files are put into the home folder, where larpbench dataset
    build finds them. A file is kept only if it has the size and the digest that its server states.
    """
    from larpbench.datasets.fetching.collections import fetchable, plan_fetch
    from larpbench.datasets.fetching.fetch import fetch_collection

    chosen = fetchable(collection)
    wanted = None if parts is None else names(parts)
    plan = plan_fetch(chosen, wanted)
    _print(plan)
    if not (yes or typer.confirm(f"Fetch {_size(plan.size)}?", err=True)):
        typer.echo("nothing was fetched", err=True)
        raise typer.Exit(1)
    folder = fetch_collection(plan)
    typer.echo(str(folder))
    typer.echo(f"next: larpbench dataset build {chosen.source} --help", err=True)


def _print(plan: FetchPlan) -> None:
    for place in plan.places:
        typer.echo(f"from {place}", err=True)
    for licence in plan.licences:
        typer.echo(printable(f"licence: {licence}"), err=True)
    if plan.collection.advice:
        typer.echo(f"note: {plan.collection.advice}", err=True)
    chosen = {each.name for each in plan.files}
    width = max(map(len, chosen), default=0)
    for each in plan.files:
        typer.echo(printable(f"{each.name:{width}}  {_size(each.size)}"), err=True)
    others = [f"{name} ({_size(size)})" for name, size in plan.parts.items()]
    typer.echo(printable(f"all parts: {', '.join(others)}"), err=True)


def _size(size: int | None) -> str:
    if size is None:
        return "size unknown"
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
