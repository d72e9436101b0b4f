"""``larpbench fetch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.errors import MissingPartError

if TYPE_CHECKING:
    from larpbench.encoders.spec import EncoderSpec

EPILOG = """Examples:

larpbench fetch clap-pt

larpbench fetch bert htsat text:sentence-transformers/all-mpnet-base-v2

Only fetch and run --download use the network. If a download is interrupted, the same command continues it."""


def fetch(
    names: Annotated[list[str], typer.Argument(help="Encoder names: larpbench list encoders.", metavar="NAME...")],
) -> None:
    """Download the pretrained weights of encoders.

    Prints their licence and their folder.
    """
    from larpbench.encoders.names import get_encoder

    specs = [get_encoder(name) for name in names]  # a typing error must not cost a download
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
    typer.echo(f"{spec.identity}: {weights.name}, about {weights.size_text}, from {weights.source}", err=True)
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
    typer.echo(f"{spec.identity}: {folder}")
    return True
