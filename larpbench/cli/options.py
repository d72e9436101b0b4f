"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from larpbench.errors import UsageError

LARGEST_SEED = 2**32 - 1
_EARLIER_FLAGS = ("--layers", "--protocol", "--visible-edges", "--songs", "--scaling", "--epochs", "--triplets")


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
SimilarityBy = Annotated[
    str | None,
    typer.Option(
        "--similarity-by",
        metavar="ENCODER",
        help="A second encoder, by whose vectors intra_list_similarity@K is measured; it is not tested.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        help="For a smoke run: read only the first N playlists of each split, and only their tracks.",
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
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-O",
        metavar="NAME=VALUE",
        help="Option of the task, repeatable: larpbench describe task NAME.",
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="Artist similarity: corrected (default), or paper: one-way edges, last epoch, scaling on all artists.",
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
    similarity_by: str | None
    limit: int | None
    output: Path
    condition: Condition
    option: list[str] | None

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
    def recommender_names(self) -> list[str]:
        """The names of recommenders."""
        return names(self.recommenders)

    @property
    def task_options(self) -> dict[str, str]:
        """The options of the task, by name.

        Raises:
            UsageError: If one has no value, or is there twice.
        """
        chosen: dict[str, str] = {}
        for each in self.option or ():
            name, equals, value = each.partition("=")
            name = name.strip().replace("-", "_")
            if not (name and equals):
                raise UsageError(f"-O {each} is no option with a value", allowed="-O NAME=VALUE, such as -O layers=0,2")
            if name in chosen:
                raise UsageError(f"the task option {name} is there twice", allowed="one value for each option")
            chosen[name] = value.strip()
        return chosen


class EarlierFlags(TyperCommand):
    """A command that takes the flags of artist similarity of larpbench 0.1 as options of the task."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401, as typer has it
        """Return the arguments that are left, after rewriting ``--epochs 3`` as ``-O epochs=3``."""
        rewritten, rest = [], iter(args)
        for argument in rest:
            flag, equals, value = argument.partition("=")
            value = value if equals or flag not in _EARLIER_FLAGS else next(rest, "")
            if flag not in _EARLIER_FLAGS:
                rewritten.append(argument)
                continue
            now = f"{flag[2:].replace('-', '_')}={value}"
            typer.echo(f"note: {flag} is now a task option: -O {now} ({flag} works in this version only)", err=True)
            rewritten += ["-O", now]
        return super().parse_args(ctx, rewritten)


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
