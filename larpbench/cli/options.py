"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from larpbench.errors import UsageError

LARGEST_SEED = 2**32 - 1
_LARGEST = 2**31 - 1
_TASK_OPTIONS = ("protocol", "visible_edges", "scaling", "epochs", "triplets")


Condition = Literal["missing", "stale", "always"]
SplitRule = Literal["tracks", "playlists"]

TaskName = Annotated[str, typer.Option("--task", help="Task to run: larpbench list tasks.")]
Encoders = Annotated[
    str,
    typer.Option("--encoders", help="Names separated by commas, or default, or all: larpbench list encoders."),
]
Column = Annotated[
    str | None,
    typer.Option("--column", help="Column or array of precomputed:FILE; the same as precomputed:FILE#COLUMN."),
]
Recommenders = Annotated[
    str,
    typer.Option("--recommenders", help="Names separated by commas, or default, or all: larpbench list recommenders."),
]
DatasetName = Annotated[str, typer.Option("--dataset", help="Name or folder of a data set: larpbench list datasets.")]
Seeds = Annotated[
    int,
    typer.Option(
        "--seeds",
        min=1,
        max=1_000,
        help="Random seeds for encoders and recommenders with a random part; others run once.",
    ),
]
Budget = Annotated[
    int,
    typer.Option(
        "--budget", min=1, max=10_000, help="Tuning trials on valid for each pair of encoder and learned recommender."
    ),
]
Draws = Annotated[
    int,
    typer.Option(
        "--draws",
        min=1,
        max=10_000,
        help="Re-draw the seed/held-out split of each test playlist N times in all and report the variance.",
    ),
]
Output = Annotated[Path, typer.Option("--output", help="Folder of the results.")]
If = Annotated[
    Condition,
    typer.Option(
        "--if",
        help="Cells to run: missing (no result yet), stale (also results of other versions), or always (all).",
    ),
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", help="Artist similarity: graph layers; 0,2 is short for gnn-sage-0,gnn-sage-2."),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="Artist similarity: fixed (default), or paper: one-way edges, last epoch, scaling on all artists.",
    ),
]
VisibleEdges = Annotated[
    str | None,
    typer.Option("--visible-edges", help="Artist similarity: all (default), or none: tested artists have no edges."),
]
Songs = Annotated[
    str | None,
    typer.Option("--songs", help="Artist similarity: songs averaged for each artist: 1 (default), N or all."),
]
Scaling = Annotated[
    str | None,
    typer.Option("--scaling", help="Artist similarity: artists that scale the features: train (default) or all."),
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", min=1, max=_LARGEST, help="Artist similarity: largest number of epochs.")
]
Triplets = Annotated[
    int | None,
    typer.Option(
        "--triplets",
        min=0,
        max=_LARGEST,
        help="Artist similarity: triplets of an update; 0: both ends of every edge are anchors.",
    ),
]
Caption = Annotated[
    str,
    typer.Option("--caption", help="Template of the captions: paper, release, title, title-artist or no-artist."),
]
SplitSeed = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=LARGEST_SEED, help="Seed of the split, of seed and held-out tracks, and of clip starts."
    ),
]
Rule = Annotated[
    SplitRule | None,
    typer.Option(
        "--split-rule",
        help="tracks (the usual default): tracks and playlists are split by their hashes. "
        "playlists: playlists are split; test playlists take their tracks first, train gets the rest.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@dataclass(frozen=True)
class RunOptions:
    """The options that `run` and `plan` share; each attribute is the option of its name."""

    task: str
    encoders: str
    column: str | None
    recommenders: str
    dataset: str
    seeds: int
    budget: int
    draws: int
    output: Path
    condition: Condition
    layers: str | None
    protocol: str | None
    visible_edges: str | None
    songs: str | None
    scaling: str | None
    epochs: int | None
    triplets: int | None

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
        given = {name: getattr(self, name) for name in _TASK_OPTIONS if getattr(self, name) is not None}
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
