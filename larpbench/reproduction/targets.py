"""What can be reproduced, by name, and which options each target reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset
from larpbench.errors import UnknownNameError, UsageError, shell_word
from larpbench.registry import resolve
from larpbench.reproduction.request import Request
from larpbench.tasks.continuation.task import CONTINUATION

ALL = "all"


@dataclass(frozen=True)
class Target:
    """A table or figure.

    Attributes:
        where: ``module:attribute`` of what makes it.
        reads: The options, beside the data set, that it depends on.
        kind: The kind of data set that it is made on.
        figure: Whether it draws figures too, and writes its files itself.
    """

    where: str
    reads: tuple[str, ...]
    kind: str = CONTINUATION.kind
    figure: bool = False


_ARTIST_GRAPH = "artist-graph"
_RUNS = ("seeds", "budget", "results")  # whatever runs cells
_NAMES = ("encoders", "recommenders")
_PACKAGE = "larpbench.reproduction"
_OF_PLAYLISTS = {
    "table1": Target(f"{_PACKAGE}.statistics_table:table1", ()),
    "table2": Target(f"{_PACKAGE}.score_tables:table2", (*_RUNS, *_NAMES, "size")),
    "table3": Target(f"{_PACKAGE}.score_tables:table3", (*_RUNS, *_NAMES, "size")),
    "table4": Target(f"{_PACKAGE}.score_tables:table4", (*_RUNS, *_NAMES, "size", "trained_on")),
    "figure3": Target(f"{_PACKAGE}.alignment:figure3", (*_RUNS, "encoders", "size"), figure=True),
    "figure4": Target(f"{_PACKAGE}.sensitivity:figure4", (*_RUNS, "size"), figure=True),
    "figure5": Target(f"{_PACKAGE}.convergence:figure5", (*_RUNS, "encoders", "size"), figure=True),
}
OF_PLAYLISTS = tuple(_OF_PLAYLISTS)
"""What ``all`` stands for: the other targets need data sets of other kinds."""
_TARGETS = _OF_PLAYLISTS | {
    "artist-similarity": Target(
        f"{_PACKAGE}.artist_figures:artist_similarity",
        ("seeds", "results", "protocol", *_NAMES),
        kind=_ARTIST_GRAPH,
        figure=True,
    ),
    "tamm-2026": Target(f"{_PACKAGE}.tamm:tamm_2026", (*_RUNS, *_NAMES), kind=LISTENERS),
    "acarec-2026": Target(f"{_PACKAGE}.acarec:acarec_2026", (*_RUNS, *_NAMES), kind=LISTENERS),
}
_EXAMPLES = {
    _ARTIST_GRAPH: ("toy-artists", "larpbench list datasets"),
    LISTENERS: ("demo-listeners", "larpbench dataset build onion --preset tamm-2026"),
}
"""Kind -> a data set of that kind, and how to come by a real one."""


def usual_dataset(targets: Collection[str]) -> str | None:
    """Return the embedded data set of the kind that some targets are made on; None: that of targets on playlists."""
    kinds = {_TARGETS[target].kind for target in targets}
    return _EXAMPLES[kinds.pop()][0] if len(kinds) == 1 and kinds <= _EXAMPLES.keys() else None


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the targets that some names stand for; ``all`` are those on playlists.

    Raises:
        UnknownNameError: If a name is no target.
    """
    for name in names:
        if name not in (*_TARGETS, ALL):
            raise UnknownNameError("target", name, (*_TARGETS, ALL), next_step="larpbench reproduce --help")
    named = [each for name in names for each in (OF_PLAYLISTS if name == ALL else (name,))]
    return tuple(dict.fromkeys(named))


def require_read(targets: Collection[str], options: Collection[str]) -> None:
    """Refuse options that none of the targets depends on: they would change nothing.

    Args:
        targets: Names of targets.
        options: The options that the user has written.

    Raises:
        UsageError: Naming the first such option, and the targets that read it.
    """
    for name in options:
        readers = [target for target, each in _TARGETS.items() if name in each.reads]
        if not set(readers) & set(targets):
            raise UsageError(
                f"{_option(name)} changes nothing of {', '.join(targets)}",
                allowed=f"{_option(name)} with {', '.join(readers)}",
                next_step=f"leave {_option(name)} out",
            )


def partly_read(targets: Collection[str], options: Collection[str]) -> list[str]:
    """Return a note for each option that some of the targets do not depend on."""
    notes = []
    for name in options:
        if others := [target for target in targets if name not in _TARGETS[target].reads]:
            notes.append(f"{_option(name)} changes nothing of {', '.join(others)}")
    return notes


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def reproduce(target: str, request: Request, folder: Path) -> list[Path]:
    """Run what is missing and write a table or figure.

    Args:
        target: Its name.
        request: What it is made of.
        folder: Where the files go.

    Returns:
        The files.

    Raises:
        UsageError: If the data set is of another kind.
        LarpbenchError: If it cannot be made, with the reason.
    """
    _require_kind(target, request.dataset)
    make = resolve(_TARGETS[target].where)
    if _TARGETS[target].figure:
        written: list[Path] = make(request, folder)
        return written
    from larpbench.results.writers import write_sheet

    return write_sheet(make(request), folder, target)


def _require_kind(target: str, dataset: Dataset) -> None:
    """Refuse a data set of another kind, with what can be made of it.

    Raises:
        UsageError: Naming the targets that it is for, or a data set for this target.
    """
    wanted, found = _TARGETS[target].kind, dataset.manifest.kind
    if found == wanted:
        return
    ways = []
    if fitting := [name for name, each in _TARGETS.items() if each.kind == found]:
        ways.append(f"larpbench reproduce {fitting[0]} --dataset {shell_word(dataset.name)}")
    if wanted in _EXAMPLES:
        example, build = _EXAMPLES[wanted]
        ways.append(f"larpbench reproduce {target} --dataset {example}; or {build}")
    raise UsageError(
        f"{target} reads data sets of kind {wanted}, and {dataset.name!r} is of kind {found}",
        allowed=f"a data set of kind {wanted}; for one of kind {found}: {', '.join(fitting) or 'no target'}",
        next_step=", or ".join(ways) or "larpbench list datasets",
    )
