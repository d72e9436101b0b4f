"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
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


LARGEST_SEED = 2**32 - 1
_LARGEST = 2**31 - 1
_OF_TASK = ("protocol", "visible_edges", "scaling", "epochs", "triplets")


class SplitRule(StrEnum):
    """How a split is drawn."""

    tracks = "tracks"
    playlists = "playlists"


class Preset(StrEnum):
    """Splits that somebody has described."""

    paper = "paper"


DatasetName = Annotated[str, typer.Option("--dataset", help="Name or folder of a data set: larpbench list datasets.")]
Seeds = Annotated[
    int,
    typer.Option("--seeds", min=1, max=1_000, help="Seeds that random and learned parts run over; others run once."),
]
Budget = Annotated[
    int,
    typer.Option(
        "--budget", min=1, max=10_000, help="Trials that tune each learned recommender, on valid, for every encoder."
    ),
]
Output = Annotated[Path, typer.Option("--output", help="Folder of the results.")]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol", help="Artist similarity: corrected (default), or paper: one-way edges, last epoch, scaled on all."
    ),
]
Caption = Annotated[str, typer.Option(help="Template: paper, release, title, title-artist, no-artist.")]
DrawSeed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Drives all draws: split, seeds and held-out tracks, clip starts.")
]
Rule = Annotated[
    SplitRule | None,
    typer.Option(
        "--split-rule",
        help="How the split is drawn: tracks (every track and every playlist by its hash; default where train is "
        "wanted) or playlists (test playlists claim their tracks first, train gets the rest).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True)
class Asked:
    """What `run` does, and `plan` says beforehand."""

    task: Annotated[str, typer.Option(help="What is asked of the encoders: larpbench list tasks.")] = "continuation"
    encoders: Annotated[
        str, typer.Option(help="Names with commas between them, or default, or all: larpbench list encoders.")
    ] = "default"
    column: Annotated[
        str | None,
        typer.Option(help="Column or array of vectors in precomputed:FILE; the same as precomputed:FILE#COLUMN."),
    ] = None
    recommenders: Annotated[
        str, typer.Option(help="Names with commas between them, or default, or all: larpbench list recommenders.")
    ] = "default"
    dataset: DatasetName = "demo"
    seeds: Seeds = 3
    budget: Budget = 6
    draws: Annotated[
        int,
        typer.Option(
            min=1, max=10_000, help="Draws of the test playlists' hidden halves: how much of a score is the draw."
        ),
    ] = 1
    output: Output = Path("results")
    condition: Annotated[
        Condition,
        typer.Option(
            "--if",
            help="Which cells to run: those without a result (missing), also those whose result other versions wrote "
            "(stale), or all (always).",
        ),
    ] = Condition.missing
    layers: Annotated[
        str | None, typer.Option(help="Artist similarity: graph layers; 0,2 is short for gnn-sage-0,gnn-sage-2.")
    ] = None
    protocol: Protocol = None
    visible_edges: Annotated[
        str | None, typer.Option(help="Artist similarity: all (default), or none: tested artists have no edges.")
    ] = None
    songs: Annotated[
        str | None, typer.Option(help="Artist similarity: songs pooled for each artist: 1 (default), N or all.")
    ] = None
    scaling: Annotated[
        str | None, typer.Option(help="Artist similarity: scale features on train (default) or all artists.")
    ] = None
    epochs: Annotated[int | None, typer.Option(min=1, max=_LARGEST, help="Artist similarity: epochs at most.")] = None
    triplets: Annotated[
        int | None,
        typer.Option(min=0, max=_LARGEST, help="Artist similarity: triplets of an update; 0: both ends of every edge."),
    ] = None

    @property
    def encoder_names(self) -> list[str]:
        """The names of encoders; a column that is given apart is part of those of files.

        Raises:
            UsageError: If a column is given, and no file, or one whose name has a column already.
        """
        found = names(self.encoders)
        if self.column is None:
            return found
        from larpbench.encoders.precomputed import with_column

        return with_column(found, self.column)

    @property
    def of_task(self) -> dict[str, Any]:
        """The options of the task that were given.

        Raises:
            UsageError: If the number of songs is none.
        """
        given = {name: getattr(self, name) for name in _OF_TASK if getattr(self, name) is not None}
        if self.songs is None:
            return given
        if self.songs != "all" and not self.songs.isdecimal():
            raise UsageError(f"--songs is {self.songs!r}", allowed="a number, or all")
        return given | {"songs": None if self.songs == "all" else int(self.songs)}

    @property
    def methods(self) -> list[str]:
        """The names of recommenders; numbers of layers stand for networks.

        Raises:
            UsageError: If both are given, or a number of layers is none.
        """
        if self.layers is None:
            return names(self.recommenders)
        wrong = [each for each in names(self.layers) if not each.isdecimal()]
        if wrong or self.recommenders != "default":
            twice = "--layers and --recommenders say the same thing twice"
            what = f"--layers holds {', '.join(wrong)}" if wrong else twice
            raise UsageError(what, allowed="--layers 0,1,2, or --recommenders gnn-sage-0,gnn-gat-2")
        return [f"gnn-sage-{int(each)}" for each in names(self.layers)]


def finite(value: float) -> float:
    """Return a number of seconds as it is; a limit alone lets "not a number" pass.

    Raises:
        UsageError: If it is infinite, or no number.
    """
    if not math.isfinite(value):
        raise UsageError(f"{value} seconds", allowed="a finite number")
    return value


def share(value: float | None) -> float | None:
    """Return the share of train as it is, if there is one.

    Raises:
        UsageError: If it is none.
    """
    if value is not None and not 0 <= value < 1:
        raise UsageError(f"the train fraction is {value}", allowed="0 <= fraction < 1")
    return value


def given(context: typer.Context, options: Iterable[str]) -> list[str]:
    """Return those options of a verb that its user has written, whatever their value."""
    source = {name: context.get_parameter_source(name) for name in options}
    return [name for name, found in source.items() if found is not None and found.name != "DEFAULT"]


def names(text: str) -> list[str]:
    """Split a list of names at its commas; a comma inside the path of a file that is there separates nothing.

    Raises:
        UsageError: If there is none.
    """
    parts, found = text.split(","), []
    while parts:
        joined = (",".join(parts[:count]) for count in range(1, len(parts) + 1))
        name = next((each for each in joined if _names_a_file(each)), parts[0])
        parts = parts[name.count(",") + 1 :]
        found += [name.strip()] if name.strip() else []
    if not found:
        raise UsageError(f"{text!r} names nothing", allowed="names with commas between them")
    return found


def _names_a_file(name: str) -> bool:
    encoder, _, path = name.partition(":")
    try:
        paths = (path.strip(), path.strip().rpartition("#")[0])  # FILE, or FILE#COLUMN
        return "," not in encoder and any(each and Path(each).exists() for each in paths)
    except (OSError, ValueError):  # longer than a path can be
        return False
