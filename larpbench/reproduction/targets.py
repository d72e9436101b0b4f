"""What can be reproduced, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from larpbench.errors import UnknownNameError
from larpbench.registry import resolve
from larpbench.reproduction.request import Request

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
TARGETS = (*_TABLES, *FIGURES)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Return the targets that some names stand for.

    Raises:
        UnknownNameError: If a name is no target.
    """
    for name in names:
        if name not in (*TARGETS, ALL):
            raise UnknownNameError("target", name, (*TARGETS, ALL))
    return TARGETS if ALL in names else tuple(dict.fromkeys(names))


def reproduce(target: str, request: Request, folder: Path) -> list[Path]:
    """Run what is missing and write a table or figure.

    Args:
        target: One of `TARGETS`.
        request: What it is made of.
        folder: Where the files go.

    Returns:
        The files.

    Raises:
        LarpbenchError: If it cannot be made, with the reason.
    """
    if target in FIGURES:
        draw: Callable[[Request, Path], list[Path]] = resolve(FIGURES[target])
        return draw(request, folder)
    from larpbench.reproduction.sheet import write_sheet

    return write_sheet(resolve(_TABLES[target])(request), folder)
