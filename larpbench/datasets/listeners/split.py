"""Which tracks are cold: by a column of theirs, by the time at which they were first played, or by their hashes."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.datasets.listeners.table import FIRST_TIME
from larpbench.datasets.schema import SPLITS, SplitRule
from larpbench.datasets.splits import rules
from larpbench.datasets.splits.dates import DateSplit, periods
from larpbench.errors import DataError, UsageError, clipped, named

NOWHERE = -1
COLD_FRACTION = 0.1
_AT_A_TIME = 1 << 22
_WITHOUT_ENTRY = "tracks without an entry"


@dataclass(frozen=True)
class ColdSplit:
    """The split of tracks and entries.

    Attributes:
        places: (n,) int8 places in `SPLITS` of the tracks, `NOWHERE` for those that are dropped.
        kept: (entries,) bool, the entries that stay.
        left_out: Reason -> number of dropped tracks and entries.
    """

    places: np.ndarray
    kept: np.ndarray
    left_out: dict[str, int]


def given_split() -> SplitRule:
    """Return the rule that takes the tracks' column ``split`` as it is; tracks without one are dropped."""
    return SplitRule(rule="given", roles="given", seed=0)


def split_by_time(valid_from: str | int, test_from: str | int) -> SplitRule:
    """Return the rule that splits tracks by the time at which anybody first played them.

    Tracks first played before `valid_from` are train, before `test_from` valid, from then on test. Entries of train
    and valid tracks that begin at `test_from` or later are dropped: nothing is learnt from the time that is tested.

    Args:
        valid_from: Seconds, as in column ``first_time``, or a date such as ``2019-02-01`` (UTC).
        test_from: The same, later.

    Raises:
        UsageError: If one is no time, or they do not increase.
    """
    boundaries = (str(valid_from), str(test_from))
    first, second = map(_seconds, boundaries)
    if not first < second:
        raise UsageError(f"the boundaries of the split by time do not increase: {', '.join(boundaries)}")
    return SplitRule(rule="date", roles="given", seed=0, column=FIRST_TIME, boundaries=boundaries)


def split_by_hash(cold_fraction: float = COLD_FRACTION, seed: int = 0) -> SplitRule:
    """Return the rule that draws cold tracks by the hashes of their ids: two thirds of them are test, one third valid.

    Args:
        cold_fraction: Share of the tracks.
        seed: Split seed.

    Raises:
        UsageError: If the share is none.
    """
    if not 0 < cold_fraction < 1:
        raise UsageError(f"the cold fraction is {cold_fraction}", allowed="0 < fraction < 1, such as 0.1")
    return SplitRule(rule="cold-tracks", roles="given", seed=seed, cold_fraction=cold_fraction)


def cold_split(rule: SplitRule, tracks: pl.DataFrame, entries: pl.DataFrame) -> ColdSplit:
    """Split tracks, and with them the entries.

    Args:
        rule: By the rule ``given``, ``date`` or ``cold-tracks``.
        tracks: Sorted, with column ``split`` or that of the rule.
        entries: Column ``track`` (rows of `tracks`), and maybe ``first_time``.

    Raises:
        DataError: If the tracks do not have what the rule needs, or train or test would have no track.
    """
    track = entries["track"].to_numpy()
    held = occurrences(track, tracks.height) > 0
    if rule.rule == "given":
        places, left_out = _stated(tracks)
    elif rule.rule == "cold-tracks":
        share = rule.cold_fraction or COLD_FRACTION
        places, left_out = rules.draw_places(tracks["track_id"], rule.seed, 1 - share, "track"), {}
    elif rule.column == FIRST_TIME and FIRST_TIME in entries.columns:
        return _by_first_time(rule, tracks, entries)
    elif rule.rule == "date" and rule.column and rule.boundaries:
        places, left_out = periods(tracks, DateSplit(rule.column, rule.boundaries))
    else:
        raise UsageError(f"cold tracks split by the rule {rule.rule}", allowed="given, date, cold-tracks")
    if rule.rule != "given":
        places, left_out = _held_only(places, held, left_out)
    kept = (places != NOWHERE)[track]
    if lost := int((~kept).sum()):
        left_out["entries whose track is in no split"] = lost
    return _required(rule, ColdSplit(places, kept, left_out), track)


def occurrences(numbers: np.ndarray, size: int, kept: np.ndarray | None = None) -> np.ndarray:
    """Return (size,) int64, how often each number occurs; of 4 bytes each, they are never all copied to 8.

    Args:
        numbers: (entries,) whole numbers below `size`.
        size: How many there are.
        kept: (entries,) bool, which of them count; None: all.
    """
    found = np.zeros(size, dtype=np.int64)
    for start in range(0, len(numbers), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        found += np.bincount(numbers[part] if kept is None else numbers[part][kept[part]], minlength=size)
    return found


def _stated(tracks: pl.DataFrame) -> tuple[np.ndarray, dict[str, int]]:
    if "split" not in tracks.columns:
        raise DataError("the tracks have no column split", allowed=", ".join(SPLITS))
    stated = tracks["split"]
    wrong = stated.filter(stated.is_not_null() & ~stated.is_in(SPLITS)).unique().sort()
    if len(wrong):
        raise DataError(f"splits of tracks that are none: {named(wrong)}", allowed=", ".join(SPLITS))
    places = stated.replace_strict(dict(zip(SPLITS, range(3), strict=True)), return_dtype=pl.Int8)
    lacking = {"tracks in no split": places.null_count()}
    return places.fill_null(NOWHERE).to_numpy(), {reason: count for reason, count in lacking.items() if count}


def _by_first_time(rule: SplitRule, tracks: pl.DataFrame, entries: pl.DataFrame) -> ColdSplit:
    valid_from, test_from = map(_seconds, rule.boundaries or ("", ""))
    first = entries.group_by("track").agg(pl.col(FIRST_TIME).min()).drop_nulls()
    places = np.full(tracks.height, NOWHERE, dtype=np.int8)
    times = first[FIRST_TIME].to_numpy()
    places[first["track"].to_numpy()] = (times >= valid_from).astype(np.int8) + (times >= test_from)
    track = entries["track"].to_numpy()
    held = occurrences(track, tracks.height) > 0
    untimed = entries[FIRST_TIME].is_null().to_numpy()
    late = (entries[FIRST_TIME] >= test_from).fill_null(value=False).to_numpy() & (places[track] < SPLITS.index("test"))
    left_out = {
        _WITHOUT_ENTRY: int((~held).sum()),
        "tracks without a time": int((held & (places == NOWHERE)).sum()),
        "entries without a time": int(untimed.sum()),
        "entries of train or valid tracks that begin in the time of test": int((late & ~untimed).sum()),
    }
    found = ColdSplit(places, ~(untimed | late), {reason: count for reason, count in left_out.items() if count})
    return _required(rule, found, track)


def _held_only(places: np.ndarray, held: np.ndarray, left_out: dict[str, int]) -> tuple[np.ndarray, dict[str, int]]:
    """Drop tracks that nobody plays, where the split is drawn: they would be candidates and never held out."""
    alone = int((~held & (places != NOWHERE)).sum())
    return np.where(held, places, np.int8(NOWHERE)), left_out | ({_WITHOUT_ENTRY: alone} if alone else {})


def _required(rule: SplitRule, found: ColdSplit, track: np.ndarray) -> ColdSplit:
    """Return the split as it is.

    Raises:
        DataError: If train or test has no entry.
    """
    held = occurrences(track, len(found.places), found.kept) > 0
    empty = [name for name in ("train", "test") if not (held & (found.places == SPLITS.index(name))).any()]
    if empty:
        column = f" ({rule.column}: {', '.join(rule.boundaries)})" if rule.column and rule.boundaries else ""
        raise DataError(
            f"no track that anybody plays is in {' or '.join(empty)}",
            where=f"split rule {rule.rule}{column}",
            allowed="warm tracks in train, and cold ones in test",
            next_step="choose other boundaries, another cold fraction, or other splits",
        )
    return found


def _seconds(text: str) -> int:
    """Return a time in seconds: a whole number as it is, a date or a point in time in UTC.

    Raises:
        UsageError: If it is neither.
    """
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"no time to split at: {clipped(text, 40)!r}", allowed="seconds, or a date such as 2019-02-01"
        ) from error
    return int((time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp())
