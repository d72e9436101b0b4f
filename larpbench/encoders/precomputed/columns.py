"""A column of vectors that is named by an option, for all ``precomputed:FILE`` of a command."""

from __future__ import annotations

from collections.abc import Sequence

from larpbench.encoders.names import split_label
from larpbench.encoders.precomputed.opening import place_of
from larpbench.encoders.spec import CENTRED
from larpbench.errors import DataError, UsageError

_NAME = "precomputed:"


def with_column(names: Sequence[str], column: str) -> list[str]:
    """Return names of encoders with a column added to each ``precomputed:FILE``.

    Raises:
        UsageError: If there is no such name, or one has a column already.
    """
    changed = [f"{name}#{column}" if _takes_column(name) else name for name in names]
    if changed == list(names):
        raise UsageError(
            f"the column {column!r} is of no file", allowed="--column with --encoders precomputed:FILE, of one file"
        )
    return changed


def _takes_column(name: str) -> bool:
    _, name = split_label(name)
    name = name.removeprefix(f"{CENTRED}:")
    if not name.startswith(_NAME):
        return False
    try:
        return place_of(name.removeprefix(_NAME)).column is None
    except DataError:  # reported where the file is opened
        return True
