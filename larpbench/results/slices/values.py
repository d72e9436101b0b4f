"""The values of a column as names of slices: every text and truth value, years, ranges of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

NONE = "(none)"
OTHER = "(other)"
MOST_NUMBERS = 12
"""Different numbers of a column that are slices of their own; of more, ranges are."""
_YEARS = (1500, 2100)
_SEPARATORS = r"[;|]"
_WRITTEN_DATE = r"^\d{4}(?:-\d{2}(?:-\d{2})?)?$"


@dataclass(frozen=True)
class Labels:
    """Named sets of held-out tracks.

    Attributes:
        members: Name -> (entries,) bool. A track may be in several; one without a value is in `NONE`.
        ordered: Whether the order of the names means something, so that all of them are kept.
        note: What the names are, in words.
    """

    members: Mapping[str, np.ndarray]
    ordered: bool
    note: str


def group_values(values: pl.Series, row: np.ndarray, *, whole: bool = False) -> Labels:
    """Return the slices of a column.

    * Texts, and each text of a list: a slice for each value. In texts ``;`` and ``|`` stand between values.
    * Truth values: ``yes`` and ``no``.
    * Numbers of at most 12 different values: a slice for each. More of them, all whole and from 1500 to 2100: decades.
      All others: quartiles, over the tracks (or playlists) of `values`.
    * Dates, and texts that are all written as dates or parts of one (``2004``, ``2004-05``): like their years.

    Args:
        values: One a track, or playlist.
        row: (entries,) int, which of `values` belongs to each held-out track.
        whole: Whether texts are one value each, whatever they contain.
    """
    kind = values.dtype
    if isinstance(kind, pl.Boolean):
        names = values.replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)
        return _labels(names, row, ordered=False, note="a slice for each value")
    if isinstance(kind, pl.Date):
        return _numbers(values.dt.year().cast(pl.Float64), row, "the year of the date")
    if kind.is_numeric():
        return _numbers(values.cast(pl.Float64), row, "the value")
    if isinstance(kind, pl.List):
        texts = values.list.eval(_parts(pl.element()).explode(empty_as_null=False, keep_nulls=False))
        return _labels(texts, row, ordered=False, note="a slice for each value; a track of several is in each of them")
    given = values.drop_nulls()
    if not whole and len(given) and given.str.contains(_WRITTEN_DATE).all():
        return _numbers(values.str.head(4).cast(pl.Float64), row, "the year")
    if whole or not given.str.contains(_SEPARATORS).any():
        return _labels(values, row, ordered=False, note="a slice for each value")
    note = "a slice for each value; ; and | stand between several values, which are in each of their slices"
    return _labels(values.to_frame("v").select(_parts(pl.col("v"))).to_series(), row, ordered=False, note=note)


def _parts(text: pl.Expr) -> pl.Expr:
    parts = text.str.replace_all(_SEPARATORS, "\x1f").str.split("\x1f")
    return parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))


def _numbers(values: pl.Series, row: np.ndarray, what: str) -> Labels:
    given = np.unique(values.drop_nulls().to_numpy())
    whole = bool((given == np.round(given)).all())
    if len(given) <= MOST_NUMBERS:
        return _named(values, row, _number, f"a slice for each: {what}")
    if whole and _YEARS[0] <= given[0] and given[-1] <= _YEARS[1]:
        return _named(values, row, lambda value: f"{int(value) // 10 * 10}s", f"decades of {what}")
    edges = np.quantile(values.drop_nulls().to_numpy(), [0.25, 0.5, 0.75], method="inverted_cdf")
    place_of = dict(zip(given.tolist(), np.searchsorted(edges, given).tolist(), strict=True))
    ends = {place: [each for each in given.tolist() if place_of[each] == place] for place in set(place_of.values())}
    names = {place: f"Q{place + 1}: {_number(each[0])} to {_number(each[-1])}" for place, each in sorted(ends.items())}
    return _named(values, row, lambda value: names[place_of[value]], f"quartiles of {what}")


def _named(values: pl.Series, row: np.ndarray, name: Callable[[float], str], note: str) -> Labels:
    names = {each: name(each) for each in np.unique(values.drop_nulls().to_numpy()).tolist()}
    texts = values.replace_strict(names, return_dtype=pl.String) if names else values.cast(pl.String)
    found = _labels(texts, row, ordered=True, note=note)
    order = [each for each in (*dict.fromkeys(names.values()), NONE) if each in found.members]
    return Labels({each: found.members[each] for each in order}, ordered=True, note=note)


def _number(value: float) -> str:
    return str(int(value)) if value == round(value) and abs(value) < 1e15 else f"{value:.4g}"


def _labels(names: pl.Series, row: np.ndarray, *, ordered: bool, note: str) -> Labels:
    """Return the sets of the names of each unit: one, several (a list), or none."""
    frame = pl.DataFrame({"unit": np.arange(len(names)), "name": names})
    if isinstance(names.dtype, pl.List):
        frame = frame.explode("name", empty_as_null=True, keep_nulls=True)
    frame = frame.with_columns(
        pl.when(pl.col("name").is_in([NONE, OTHER])).then(pl.format("'{}'", "name")).otherwise("name").alias("name")
    )
    members: dict[str, np.ndarray] = {}
    for (name,), found in frame.group_by("name", maintain_order=True):
        belongs = np.zeros(len(names), dtype=bool)
        belongs[found["unit"].to_numpy()] = True
        members[NONE if name is None else str(name)] = belongs[row]
    return Labels(members, ordered, note)
