"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from larpbench.errors import UnknownNameError, UsageError
from larpbench.name_lists import names as names  # which several commands read from here

if TYPE_CHECKING:
    from larpbench.benchmark.config import RunConfig

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
DatasetNames = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="Names or folders of data sets, separated by commas: larpbench list datasets. By default the embedded "
        "one of the task.",
    ),
]
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
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file with these options by name, such as seeds = 3. Flags on the command line take their place.",
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
SimilarityBy = Annotated[
    str | None,
    typer.Option(
        "--similarity-by",
        metavar="ENCODER",
        help="A second encoder, by whose vectors intra_list_similarity@K is measured; it is not tested.",
    ),
]
Device = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(
        "--device", help="Where tracks are ranked. cuda is faster with many playlists; the lists are the same."
    ),
]
AllowLeaky = Annotated[
    bool,
    typer.Option(
        "--allow-leaky",
        help="Also test provided:NAME whose vectors were made from listening: a reference, not an encoder.",
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend", help="torch, or openvino: encoders that have such a variant (NAME:openvino) run faster on a CPU."
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
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        min=0,
        metavar="SECONDS",
        help="How long to wait in all for vectors that other processes are encoding; 0: not at all. By default as long "
        "as these are alive.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="What computes: local, this process; ray, workers on this machine; ray:HOST:PORT or ray:auto, a Ray "
        "cluster that is running. Results are the same.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=100_000, help="Workers of --engine ray; by default as many as there is room for."
    ),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        min=0,
        metavar="N",
        help="GPUs of a worker of --engine ray, such as 0.5; by default 1 where the cluster has GPUs.",
    ),
]
ShardTimeout = Annotated[
    float | None,
    typer.Option(
        "--shard-timeout",
        min=0,
        metavar="SECONDS",
        help="How long a worker of --engine ray may take for a shard of vectors; then another one tries, three times "
        "at most. By default there is no limit.",
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
DatasetFolder = Annotated[
    Path | None,
    typer.Option(
        "--output", help="Folder to write; by default in the home folder, where --dataset finds it by its name."
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


def chosen_run(context: typer.Context) -> RunConfig:
    """Return the run that a call of `run` or `plan` describes: of its file, where there is one, and of its flags.

    Raises:
        UsageError: If something makes no sense.
    """
    from larpbench.benchmark.config import RunConfig, read_config, run_config

    flags = {name: value for name, value in context.params.items() if name in RunConfig.model_fields}
    flags["task_options"] = _task_options(flags["task_options"] or ())
    path = context.params["config"]
    if path is None:
        return run_config(flags)
    return read_config(path, {name: flags[name] for name in given(context, flags)})


def _task_options(options: Iterable[str]) -> dict[str, str]:
    """Return the options of a task, by name.

    Raises:
        UsageError: If one has no value, or is there twice.
    """
    chosen: dict[str, str] = {}
    for each in options:
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


def one_of(what: str, words: Sequence[str], next_step: str) -> Callable[[str], str]:
    """Return a parser of an argument that is one of a few words; the error for another one names those that are near.

    Args:
        what: What the words are called.
        words: The words.
        next_step: A command that is right.
    """

    def parse(word: str) -> str:
        if word not in words:
            raise UnknownNameError(what, word, words, next_step)
        return word

    return parse


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


def dataset_folder(name: str, output: Path | None) -> Path:
    """Return the folder of a data set: `output`, or the one of that name in the home folder."""
    from larpbench.datasets.catalogue import datasets_folder

    return datasets_folder() / name if output is None else output


def given(context: typer.Context, options: Iterable[str]) -> list[str]:
    """Return those options of a verb that its user has written, whatever their value."""
    source = {name: context.get_parameter_source(name) for name in options}
    return [name for name, found in source.items() if found is not None and found.name != "DEFAULT"]
