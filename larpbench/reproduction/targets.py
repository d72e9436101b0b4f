"""What can be reproduced, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from larpbench.errors import UnknownNameError
from larpbench.registry import resolve
from larpbench.reproduction.request import Request
from larpbench.tasks.continuation import CONTINUATION

ALL = "all"
_TABLES = {
    "table1": "larpbench.reproduction.statistics_table:table1",
    "table2": "larpbench.reproduction.score_tables:table2",
    "table3": "larpbench.reproduction.score_tables:table3",
    "table4": "larpbench.reproduction.score_tables:table4",
}
FIGURES = {
    "figure3": "larpbench.reproduction.alignment:figure3",
    "figure4": "larpbench.reproduction.sensitivity:figure4",
    "figure5": "larpbench.reproduction.convergence:figure5",
}
_OF_ARTISTS = {"artist-similarity": "larpbench.reproduction.artist_similarity:artist_similarity"}
_DRAWN = FIGURES | _OF_ARTISTS
OF_PLAYLISTS = (*_TABLES, *FIGURES)
"""What ``all`` stands for: no data set can be asked for these and for the one on artists."""
TARGETS = (*OF_PLAYLISTS, *_OF_ARTISTS)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the targets that some names stand for; ``all`` are those on playlists.

    Raises:
        UnknownNameError: If a name is no target.
    """
    for name in names:
        if name not in (*TARGETS, ALL):
            raise UnknownNameError("target", name, (*TARGETS, ALL), next_step="larpbench reproduce --help")
    named = [each for name in names for each in (OF_PLAYLISTS if name == ALL else (name,))]
    return tuple(dict.fromkeys(named))


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
    if target in _DRAWN:
        draw: Callable[[Request, Path], list[Path]] = resolve(_DRAWN[target])
        return draw(request, folder)
    from larpbench.reproduction.sheet import write_sheet

    return write_sheet(resolve(_TABLES[target])(request), folder)
