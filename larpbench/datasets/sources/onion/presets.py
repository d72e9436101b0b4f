"""Published splits of Music4All-Onion for cold tracks, with the numbers that tell whether a copy gives the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from larpbench.datasets.pairs import Pairs, core
from larpbench.datasets.schema import SPLITS
from larpbench.datasets.sources.onion.log import LogRequest, seconds_of
from larpbench.datasets.splits import rules
from larpbench.errors import DataError

_VALID_SHARE = 0.05
_CORE = 5
_TRAIN, _VALID, _TEST = range(3)


@dataclass(frozen=True)
class PresetSplit:
    """What a preset makes of the log.

    Attributes:
        table: Columns ``listener``, ``track``, ``count``, ``first_time`` and ``split`` (of the track).
        found: What -> pairs, listeners and tracks, to be compared with `Preset.published`.
        left_out: Reason -> number of pairs.
        notes: What tables should say of the split.
    """

    table: pl.DataFrame
    found: dict[str, tuple[int, int, int]]
    left_out: dict[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Preset:
    """A published split.

    Attributes:
        paper: Whose it is.
        request: Which part of the log it reads.
        published: What -> pairs, listeners and tracks, as published; None if that was not.
        split: A function ``(pairs, artists, seed) -> PresetSplit``; `artists` is track id -> artist, None if unknown.
    """

    paper: str
    request: LogRequest
    published: dict[str, tuple[int, int, int | None]]
    split: Callable[[Pairs, dict[str, str] | None, int], PresetSplit]

    def verification(self, found: PresetSplit) -> str:
        """Return in a sentence whether the split has the published sizes."""
        if not self.published:
            return f"{self.paper}: its sizes are published nowhere that was read; nothing could be compared."
        wrong = [
            f"{what} has {_sizes(found.found[what])}, published {_sizes(sizes)}"
            for what, sizes in self.published.items()
            if any(each is not None and each != own for each, own in zip(sizes, found.found[what], strict=True))
        ]
        if wrong:
            return f"This is NOT the published split of {self.paper}: {'; '.join(wrong)}."
        sizes = "; ".join(f"{what} {_sizes(each)}" for what, each in self.published.items())
        return f"The split has the published sizes of {self.paper}: {sizes}."


def _sizes(sizes: tuple[int, int, int | None]) -> str:
    names = ("pairs", "listeners", "tracks")
    return ", ".join(f"{each:,} {name}" for each, name in zip(sizes, names, strict=True) if each is not None)


def _counted(table: pl.DataFrame) -> tuple[int, int, int]:
    return table.height, table["listener"].n_unique(), table["track"].n_unique()


def _tamm(pairs: Pairs, artists: dict[str, str] | None, seed: int) -> PresetSplit:
    """Split as published: cold are tracks that nobody played in the train year.

    Valid is no published one, which holds warm tracks: it is 5 % of the train tracks, drawn by their hashes.
    """
    first = pairs.in_first_period()
    train, late = first.filter(pl.col("period") == 0), first.filter(pl.col("period") == 1)
    if train.is_empty():
        raise DataError("nobody plays anything in the train year", where="preset tamm-2026")
    known = late.filter(pl.col("listener").is_in(train["listener"].unique().implode()))
    warm = pl.col("track").is_in(train["track"].unique().implode())
    cold = known.filter(~warm)
    found = {"train": _counted(train), "test of warm tracks": _counted(known.filter(warm)), "cold test": _counted(cold)}
    ids = pairs.tracks.gather(train["track"].unique().sort())
    is_valid = rules.uniforms(seed, "valid", names=ids.to_list()) < _VALID_SHARE
    valid_tracks = train["track"].unique().sort().filter(pl.Series(is_valid, dtype=pl.Boolean))
    table = pl.concat(
        [
            train.with_columns(
                split=pl.when(pl.col("track").is_in(valid_tracks.implode())).then(_VALID).otherwise(_TRAIN)
            ),
            cold.with_columns(split=pl.lit(_TEST, dtype=pl.Int32)),
        ]
    )
    left_out = {
        "entries of the test month whose listener is not in train": late.height - known.height,
        "entries of the test month whose track is warm": known.height - cold.height,
    }
    return PresetSplit(
        table,
        found,
        left_out,
        (
            "Valid is 5 % of the published train tracks, drawn by hash and taken out of train; the published valid "
            "split holds warm tracks of the test month and is not used.",
        ),
    )


def _acarec(pairs: Pairs, artists: dict[str, str] | None, seed: int) -> PresetSplit:
    """Split by the time at which anybody first plays a track: valid in the last month of the year, test afterwards.

    All entries of a valid track are valid, those of the months of test too.
    """
    first = pairs.in_first_period()
    debut = first.group_by("track").agg(pl.col("period").min().alias("debut"))
    first = first.join(debut, on="track", how="left", maintain_order="left")
    warm = first.filter((pl.col("debut") == 0) & (pl.col("period") < 2)).drop("debut")
    if warm.is_empty():
        raise DataError("nobody plays anything in the train year", where="preset acarec-2026")
    train = core(warm, _CORE)
    known = pl.col("listener").is_in(train["listener"].unique().implode())
    valid = first.filter((pl.col("debut") == 1) & known).drop("debut")
    test = first.filter((pl.col("debut") == 2) & known).drop("debut")
    left_out = {
        f"entries of train that the {_CORE}-core loses": warm.height - train.height,
        "entries of valid and test tracks whose listener is not in train": first.filter(
            (pl.col("debut") > 0) & ~known
        ).height,
        "entries of warm tracks in the months of test": first.filter(
            (pl.col("period") == 2) & (pl.col("debut") == 0)
        ).height,
    }
    notes = [f"Tracks that the {_CORE}-core loses are not tested; a track's debut is that in the window of the log."]
    if artists is None:
        notes.append(
            "Artists are not known (no id_information.csv): the test tracks are those of all artists, and not only of "
            "artists in train as in the paper."
        )
    else:
        hot = {artists.get(name, "") for name in pairs.tracks.gather(train["track"].unique())} - {""}
        names = pairs.tracks.gather(test["track"]).to_list()
        is_hot = pl.Series([artists.get(name, "") in hot for name in names], dtype=pl.Boolean)
        left_out["entries of test tracks whose artist is not in train"] = test.height - int(is_hot.sum())
        test = test.filter(is_hot)
    parts = zip((train, valid, test), range(3), strict=True)
    table = pl.concat([part.with_columns(split=pl.lit(place, dtype=pl.Int32)) for part, place in parts])
    found = {"train": _counted(train), "valid": _counted(valid), "test": _counted(test)}
    return PresetSplit(table, found, left_out, tuple(notes))


def track_splits(pairs: Pairs, table: pl.DataFrame) -> pl.DataFrame:
    """Return ``track_id`` and ``split`` of the tracks of a preset."""
    of = table.select("track", "split").unique().sort("track")
    names = pl.Series("split", [*SPLITS]).gather(of["split"].cast(pl.UInt32))
    return pl.DataFrame([pairs.tracks.gather(of["track"]).alias("track_id"), names])


def _request(*days: str) -> LogRequest:
    start, *boundaries, end = map(seconds_of, days)
    return LogRequest((start, end), tuple(boundaries))


PRESETS = {
    "tamm-2026": Preset(
        "arXiv 2604.23077",
        _request("2018-02-01", "2019-02-01", "2019-03-01"),
        {
            "train": (5_371_381, 21_018, 55_262),
            # Published as two parts, valid and hot test, whose listeners are drawn: only their sums are facts of the
            # log. How many different tracks the two have together was not published.
            "test of warm tracks": (48_787 + 280_745, 2_459 + 10_238, None),
            "cold test": (23_269, 4_553, 589),
        },
        _tamm,
    ),
    "acarec-2026": Preset(
        "arXiv 2604.07090", _request("2017-09-01", "2018-08-01", "2018-09-01", "2018-12-01"), {}, _acarec
    ),
}
