"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from larpbench.errors import UsageError


class Condition(StrEnum):
    """Which cells to run."""

    missing = "missing"
    stale = "stale"
    always = "always"


class Preset(StrEnum):
    """Splits that somebody has described."""

    paper = "paper"


Task = Annotated[str, typer.Option("--task", help="What is asked of the encoders: larpbench list tasks.")]
Layers = Annotated[
    str | None,
    typer.Option("--layers", help="Artist similarity: graph layers; 0,2 is short for gnn-sage-0,gnn-sage-2."),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol", help="Artist similarity: fixed (default), or paper: one-way edges, last epoch, scaled on all."
    ),
]
VisibleEdges = Annotated[
    str | None,
    typer.Option("--visible-edges", help="Artist similarity: all (default), or none: tested artists have no edges."),
]
Songs = Annotated[
    str | None,
    typer.Option("--songs", help="Artist similarity: songs pooled for each artist: 1 (default), N or all."),
]
Scaling = Annotated[
    str | None,
    typer.Option("--scaling", help="Artist similarity: scale features on train (default) or all artists."),
]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Artist similarity: epochs at most.")]
Triplets = Annotated[
    int | None,
    typer.Option("--triplets", min=0, help="Artist similarity: triplets of an update; 0: both ends of every edge."),
]
Encoders = Annotated[
    str,
    typer.Option("--encoders", help="Names with commas between them, or default, or all: larpbench list encoders."),
]
Recommenders = Annotated[
    str,
    typer.Option(
        "--recommenders", help="Names with commas between them, or default, or all: larpbench list recommenders."
    ),
]
DatasetName = Annotated[str, typer.Option("--dataset", help="Name or folder of a data set: larpbench list datasets.")]
Seeds = Annotated[
    int, typer.Option("--seeds", min=1, help="Seeds that random and learned parts run over; others run once.")
]
Budget = Annotated[
    int,
    typer.Option("--budget", min=1, help="Trials that tune each learned recommender, on valid, for every encoder."),
]
Draws = Annotated[
    int,
    typer.Option("--draws", min=1, help="Draws of the test playlists' hidden halves: how much of a score is the draw."),
]
Output = Annotated[Path, typer.Option("--output", help="Folder of the results.")]
If = Annotated[
    Condition,
    typer.Option(
        "--if",
        help="Which cells to run: those without a result (missing), also those whose result other versions wrote "
        "(stale), or all (always).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def task_options(
    protocol: str | None,
    visible_edges: str | None,
    songs: str | None,
    scaling: str | None,
    epochs: int | None,
    triplets: int | None,
) -> dict[str, Any]:
    """Return the options of a task that were given.

    Raises:
        UsageError: If the number of songs is none.
    """
    given: dict[str, Any] = {
        "protocol": protocol,
        "visible_edges": visible_edges,
        "scaling": scaling,
        "epochs": epochs,
        "triplets": triplets,
    }
    found = {name: value for name, value in given.items() if value is not None}
    if songs is None:
        return found
    if songs != "all" and not songs.isdecimal():
        raise UsageError(f"--songs is {songs!r}", allowed="a number, or all")
    return found | {"songs": None if songs == "all" else int(songs)}


def recommender_names(recommenders: str, layers: str | None) -> str:
    """Return the recommenders asked for; numbers of layers stand for networks.

    Raises:
        UsageError: If both are given, or a number of layers is none.
    """
    if layers is None:
        return recommenders
    wrong = [each for each in names(layers) if not each.isdecimal()]
    if wrong or recommenders != "default":
        what = f"--layers holds {', '.join(wrong)}" if wrong else "--layers and --recommenders say the same thing twice"
        raise UsageError(what, allowed="--layers 0,1,2, or --recommenders gnn-sage-0,gnn-gat-2")
    return ",".join(f"gnn-sage-{int(each)}" for each in names(layers))


def names(text: str) -> list[str]:
    """Split a list of names at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
