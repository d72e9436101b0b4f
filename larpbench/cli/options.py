"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Condition(StrEnum):
    """Which cells to run."""

    missing = "missing"
    stale = "stale"
    always = "always"


class Preset(StrEnum):
    """Splits that somebody has described."""

    paper = "paper"


Task = Annotated[str, typer.Option("--task", help="What is asked of the encoders: larpbench list tasks.")]
Encoders = Annotated[
    str,
    typer.Option("--encoders", help="Names with commas between them, or default, or all: larpbench list encoders."),
]
Recommenders = Annotated[
    str, typer.Option("--recommenders", help="Names with commas between them, or all: larpbench list recommenders.")
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


def names(text: str) -> list[str]:
    """Split a list of names at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
