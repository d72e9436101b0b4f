"""Which vector belongs to which track: ids as they stand, else the last part of a URI, an address or a file name."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl

from larpbench.datasets.track_ids import last_parts
from larpbench.errors import clipped, named

_SHOWN = 3
_MANY = 10_000
"""So many ids at once are joined as tables, which takes less time and memory than to look them up one by one."""


class IdIndex:
    """The rows of vectors by id.

    Args:
        ids: Text, each once.
    """

    def __init__(self, ids: pl.Series) -> None:
        self._ids = ids

    def exact(self, track_ids: np.ndarray) -> np.ndarray:
        """Return the rows of ids as they stand, (n,) int64, -1 for none."""
        if len(track_ids) > _MANY:
            return self._joined(track_ids)
        return np.array([self._rows.get(each, -1) for each in track_ids.tolist()], dtype=np.int64)

    def _joined(self, track_ids: np.ndarray) -> np.ndarray:
        asked = pl.DataFrame({"id": pl.Series(track_ids, dtype=pl.String)})
        numbered = self._ids.to_frame("id").with_row_index("row")
        found = asked.join(numbered, on="id", how="left", maintain_order="left")["row"]
        return found.cast(pl.Int64).fill_null(-1).to_numpy()

    @cached_property
    def _rows(self) -> dict[str, int]:
        return _rows(self._ids)

    def by_last_part(self, track_ids: np.ndarray) -> np.ndarray:
        """Return the rows of ids by their last part, (n,) int64, -1 for none or where the file's are ambiguous."""
        if self._by_part is None:
            return np.full(len(track_ids), -1, dtype=np.int64)
        parts = _parts(pl.Series(track_ids.tolist(), dtype=pl.String))
        return np.array([self._by_part.get(each, -1) for each in parts.to_list()], dtype=np.int64)

    def shown(self) -> str:
        """Return a few of the file's ids, for a message."""
        first = [clipped(each, 60) for each in self._ids.head(_SHOWN).to_list()]
        more = len(self._ids) - len(first)
        return (named(first) or "none") + (f" and {more} more" if more else "")

    def ambiguity(self, track_ids: pl.Series) -> str | None:
        """Return why tracks cannot be found by the last parts of ids, None if they can."""
        for whose, ids in (("of the file", self._ids), ("of tracks", track_ids)):
            if twins := _twins(ids):
                return f"two ids {whose} have the same last part: {named([clipped(each, 60) for each in twins])}"
        return None

    @cached_property
    def _by_part(self) -> dict[str, int] | None:
        """Last part -> row; None where two ids have the same."""
        parts = _parts(self._ids)
        return None if parts.is_duplicated().any() else _rows(parts)


def _rows(ids: pl.Series) -> dict[str, int]:
    return dict(zip(ids.to_list(), range(len(ids)), strict=True))


def _parts(ids: pl.Series) -> pl.Series:
    return last_parts(ids.str.normalize("NFC"))  # files that were copied from a Mac have other names of the same look


def _twins(ids: pl.Series) -> list[str]:
    parts = _parts(ids)
    twice = parts.is_duplicated()
    if not twice.any():
        return []
    first = parts.filter(twice)[0]
    return ids.filter(parts == first).head(2).to_list()
