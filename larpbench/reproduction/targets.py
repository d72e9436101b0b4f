"""What can be reproduced, by name, and which options each target reads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from larpbench.errors import UnknownNameError, UsageError
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
        figure: Whether it draws figures too, and writes its files itself.
    """

    where: str
    reads: tuple[str, ...]
    figure: bool = False


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
"""What ``all`` stands for: the target on artists needs a data set of another kind."""
_TARGETS = _OF_PLAYLISTS | {
    "artist-similarity": Target(
        f"{_PACKAGE}.artist_figures:artist_similarity", ("seeds", "results", "protocol", *_NAMES), figure=True
    )
}


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
        LarpbenchError: If it cannot be made, with the reason.
    """
    if target in OF_PLAYLISTS:
        CONTINUATION.view(request.dataset)  # refuses data sets of another kind
    make = resolve(_TARGETS[target].where)
    if _TARGETS[target].figure:
        written: list[Path] = make(request, folder)
        return written
    from larpbench.results.writers import write_sheet

    return write_sheet(make(request), folder, target)
