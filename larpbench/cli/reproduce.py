"""``larpbench reproduce``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from larpbench.cli import options

EPILOG = """Targets: table1 (data sets), table2 (encoders x recommenders), table3 (ablation), table4 (transfer),
figure3 (a playlist among all tracks), figure4 (sensitivity to J), figure5 (convergence), all (of these);
artist-similarity (figure 1 of the second paper, on a data set of kind artist-graph).

Examples:

larpbench reproduce table2 --dataset mpd

larpbench reproduce table3 figure5 --dataset demo

larpbench reproduce table4 --dataset lfm --trained-on mpd --size paper

larpbench reproduce artist-similarity --dataset toy-artists --encoders random,acousticbrainz"""
_OF_REQUEST = ("encoders", "protocol", "trained_on", "size", "seeds", "budget", "output")
_TRANSFERS = {"demo": "demo-2", "lfm": "mpd", "mpd": "lfm"}


class Size(StrEnum):
    """Of the encoders that are trained."""

    heads = "heads"
    tiny = "tiny"
    paper = "paper"


def reproduce(
    context: typer.Context,
    targets: Annotated[list[str], typer.Argument(help="Which tables and figures; all for every one.")],
    dataset: options.DatasetName = "demo",
    trained_on: Annotated[
        str | None,
        typer.Option(help="What table4's model learns from; by default mpd for lfm, lfm for mpd, demo-2 for demo."),
    ] = None,
    size: Annotated[
        Size, typer.Option(help="Of trained encoders; those without heads are then tiny. Published: paper.")
    ] = Size.heads,
    seeds: options.Seeds = 3,
    budget: options.Budget = 6,
    output: options.Output = Path("results"),
    to: Annotated[
        Path | None, typer.Option(help="Folder of the tables and figures; default reproduced/DATASET.")
    ] = None,
    protocol: options.Protocol = None,
    encoders: Annotated[
        str, typer.Option(help="Artist similarity: whose features are compared; default: those of the paper.")
    ] = "",
) -> None:
    """Reproduce the LARP paper's tables and figures on a data set, its own numbers beside ours.

    What is missing is run; cells that are in the results folder are kept, and an interrupted run goes on. Each table is
    written as Markdown, CSV and LaTeX, each figure as SVG, PNG and the numbers in it. An option that no target reads
    is refused.
    """
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.errors import LarpbenchError, UsageError
    from larpbench.reproduction import targets as known
    from larpbench.reproduction.request import Request

    chosen = known.chosen(targets)
    known.require_read(chosen, options.given(context, _OF_REQUEST))
    data = load_dataset(dataset)
    source = trained_on or _TRANSFERS.get(data.name, "")
    if "all" in targets and "table4" not in targets and not source:
        chosen = tuple(target for target in chosen if target != "table4")
        typer.echo("left out: table4, which needs a second data set to learn from: --trained-on NAME", err=True)
    if "table4" in chosen and not source:
        raise UsageError(
            f"table4 needs a second data set to learn from, and {data.name!r} has none by default",
            next_step=f"larpbench reproduce table4 --dataset {dataset} --trained-on NAME",
        )

    if trained_on:
        load_dataset(trained_on)  # a typing error must not cost the targets before it

    def report(line: str) -> None:
        typer.echo(line, err=True)

    request = Request(
        data,
        source,
        size.value,
        seeds,
        budget,
        output.absolute(),
        report,
        protocol or "corrected",
        tuple(options.names(encoders)) if encoders else (),
    )
    folder = to or Path("reproduced") / data.name
    failed: list[LarpbenchError] = []
    for target in chosen:
        report(f"== {target}")
        try:
            written = known.reproduce(target, request, folder)
        except LarpbenchError as error:
            if len(chosen) == 1:
                raise
            report(f"error: {target}: {error}")  # the others go on
            failed.append(error)
        else:
            typer.echo("\n".join(map(str, written)))
    if failed:
        raise typer.Exit(max(error.exit_code for error in failed))
