"""Into which slices held-out tracks fall: by a column of their own, of their playlist, or by what is built in.

Built in are those of `built_in`. Any column of the data set's tracks or playlists makes others: see `group_values`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.datasets.columns import beside, constant_within
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import PLAYLIST_COLUMNS, TRACK_COLUMNS, Dataset
from larpbench.errors import DataError, UnknownNameError
from larpbench.results.slices.answers import Answers
from larpbench.results.slices.values import NONE, OTHER, Labels, group_values
from larpbench.tasks.base import VisibleGroup

MOST_GROUPS = 20
"""Values of a column that are slices of their own; the others are one slice together."""
_KNOWN = ("artist", "album", "duration_s")
"""Columns that every data set has, and of which slices can be made."""
_SEEDS = (
    VisibleGroup("1 seed", 0, 1),
    VisibleGroup("2-4 seeds", 2, 4),
    VisibleGroup("5-9 seeds", 5, 9),
    VisibleGroup("10-24 seeds", 10, 24),
    VisibleGroup("25+ seeds", 25, 2**31),
)


@dataclass(frozen=True)
class Group:
    """The held-out tracks of one slice.

    Attributes:
        value: Its name.
        members: (entries,) bool over the held-out tracks of all playlists.
    """

    value: str
    members: np.ndarray


@dataclass(frozen=True)
class Grouping:
    """All slices of one kind.

    Attributes:
        by: What they are made by.
        groups: The slices that hold a track.
        notes: How they are made, in sentences.
    """

    by: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def slice_names(dataset: Dataset) -> list[str]:
    """Return what slices of a data set can be made by: built-in ones, then columns of tracks and of playlists.

    A column whose name another one has before it is named with its table, such as ``tracks.popularity``.
    """
    names = list(built_in(dataset))
    for table, columns in _columns(dataset).items():
        names += [f"{table}.{column}" if column in names else column for column in columns]
    return names


def own_slice_names(dataset: Dataset) -> list[str]:
    """Return those of `slice_names` that are made by columns that the tables bring of their own."""
    return [name for name in slice_names(dataset) if name not in built_in(dataset) and name not in _KNOWN]


def make_groups(dataset: Dataset, answers: Answers, by: str) -> Grouping:
    """Return the slices of the held-out tracks.

    Args:
        dataset: The data set that was tested.
        answers: Of any result on it: all have the same held-out tracks.
        by: One of `slice_names`; letter case does not matter.

    Raises:
        UnknownNameError: If there is no such column.
        DataError: If it is a column of playlists that differs within one.
    """
    name, table, column = _found(dataset, by)
    if name in (own := built_in(dataset)):
        return own[name](dataset, answers)
    labels = (_of_tracks if table == "tracks" else _of_playlists)(dataset, answers, column)
    groups, left = _largest(labels)
    notes = [f"{column}: {labels.note}."]
    if left:
        notes.append(f"{OTHER}: the {left} values beside the {MOST_GROUPS} with the most held-out tracks.")
    if any(group.value == NONE for group in groups):
        notes.append(f"{NONE}: {'tracks' if table == 'tracks' else 'playlists'} without a value.")
    return Grouping(name, groups, tuple(notes))


def _found(dataset: Dataset, by: str) -> tuple[str, str, str]:
    """Return the name of slices, and the table and column that make them, both empty for the built-in ones."""
    names = {name: (name, "", "") for name in built_in(dataset)}
    for table, columns in _columns(dataset).items():
        for column in columns:
            whole = f"{table}.{column}"
            name = names.setdefault(column, (column, table, column))
            names[whole] = (column if name[1:] == (table, column) else whole, table, column)
    alike = [by] if by in names else [name for name in names if name.casefold() == by.strip().casefold()]
    if len(alike) == 1:
        return names[alike[0]]
    advice = (
        "add the column to the tables and build the data set again into the same folder; results stay valid, because "
        "such a column is no part of the fingerprint"
    )
    raise UnknownNameError("slice", by, slice_names(dataset), advice)


def _columns(dataset: Dataset) -> dict[str, list[str]]:
    known = [name for name in _KNOWN if dataset.tracks[name].null_count() < dataset.tracks.height]
    return {
        "tracks": [*known, *beside(dataset.tracks, TRACK_COLUMNS)],
        "playlists": beside(dataset.playlists, PLAYLIST_COLUMNS),
    }


def _of_tracks(dataset: Dataset, answers: Answers, column: str) -> Labels:
    held_out = answers.entries.select(pl.col("track_id").unique(maintain_order=True))
    tracks = dataset.tracks.select("track_id", value=column)
    units = held_out.join(tracks, on="track_id", how="left", maintain_order="left")
    if column in _KNOWN:  # there an empty text is an unknown one
        blank = pl.col("value").cast(pl.String) == ""
        units = units.with_columns(value=pl.when(~blank).then("value"))
    place = units.select("track_id").with_row_index("unit")
    row = answers.entries.join(place, on="track_id", maintain_order="left")["unit"].to_numpy()
    return group_values(units["value"], row, whole=column in _KNOWN)


def _of_playlists(dataset: Dataset, answers: Answers, column: str) -> Labels:
    entries = dataset.split("test").entries.select("playlist_id", value=column)
    values, varying = constant_within(entries, "playlist_id", ["value"])
    if varying:
        raise DataError(
            f"the column {column} of the playlists has several values within one playlist",
            where=str(dataset.folder),
            allowed="one value a playlist",
        )
    units = answers.playlists.join(values, on="playlist_id", how="left", maintain_order="left")
    return group_values(units["value"], answers.of_playlist)


def _largest(labels: Labels) -> tuple[tuple[Group, ...], int]:
    """Return the groups of the most frequent labels, in the order of the labels, and how many labels are one group."""
    sizes = {label: int(members.sum()) for label, members in labels.members.items() if label != NONE}
    kept = sorted(sizes, key=lambda label: (-sizes[label], label))[:MOST_GROUPS] if not labels.ordered else list(sizes)
    groups = [Group(label, labels.members[label]) for label in (sizes if labels.ordered else kept)]
    rest = [labels.members[label] for label in sizes if label not in kept]
    if rest:
        groups.append(Group(OTHER, np.any(rest, axis=0)))
    if NONE in labels.members:
        groups.append(Group(NONE, labels.members[NONE]))
    return tuple(group for group in groups if group.members.any()), len(rest)


def _popularity(dataset: Dataset, answers: Answers) -> Grouping:
    """Group by the terciles of how many playlists hold the track."""
    counts, where = _playlist_counts(dataset, answers.entries["track_id"].unique())
    held_out = answers.entries.join(counts, on="track_id", how="left", maintain_order="left")
    of_entry = held_out["playlists"].fill_null(0).to_numpy()
    groups = _terciles(of_entry, of_entry, "playlist")
    note = (
        f"popularity: terciles, over the held-out tracks, of the number of {where} that hold the track; tracks of the "
        "same number are in the same slice."
    )
    return Grouping("popularity", groups, (note,))


def _terciles(of: np.ndarray, numbers: np.ndarray, unit: str) -> tuple[Group, ...]:
    """Return the held-out tracks whose number is in each tercile of some numbers."""
    first, second = np.quantile(of, [1 / 3, 2 / 3], method="inverted_cdf")
    masks = {"low": numbers <= first, "middle": (numbers > first) & (numbers <= second), "high": numbers > second}
    return tuple(Group(f"{name}: {_range(numbers[mask], unit)}", mask) for name, mask in masks.items() if mask.any())


def _playlist_counts(dataset: Dataset, tracks: pl.Series) -> tuple[pl.DataFrame, str]:
    """Return how many playlists hold each track: train playlists, or test ones where train has none of the tracks."""
    held = dataset.playlists.filter(pl.col("track_id").is_in(tracks.implode()))
    train = held.filter(pl.col("split") == "train")
    chosen, where = (train, "train playlists") if train.height else (held, "test playlists (seeds and held-out tracks)")
    return chosen.group_by("track_id").agg(playlists=pl.col("playlist_id").n_unique()), where


def _range(numbers: np.ndarray, unit: str) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low if low == high else f'{low}-{high}'} {unit if high == 1 else f'{unit}s'}"


def _discovery(dataset: Dataset, answers: Answers) -> Grouping:
    """Group by whether the artist of the held-out track is one of the seeds' artists."""
    artists = dataset.tracks.select("track_id", artist=pl.col("artist").fill_null(""))
    seeds, what = dataset.split("test").entries.filter(pl.col("role") == "seed"), "of a seed"
    if dataset.manifest.kind == LISTENERS:
        seeds, what = dataset.split("train").entries, "of a track of the profile"
    of_seeds = seeds.select("playlist_id", "track_id").join(artists, on="track_id")
    of_seeds = of_seeds.select("playlist_id", "artist", seeded=pl.lit(value=True)).unique()
    ids = answers.playlists["playlist_id"].gather(answers.of_playlist)
    entries = answers.entries.select("track_id").with_columns(ids.alias("playlist_id"))
    entries = entries.join(artists, on="track_id", how="left", maintain_order="left")
    found = entries.join(of_seeds, on=["playlist_id", "artist"], how="left", maintain_order="left")
    unknown = found["artist"].fill_null("") == ""
    known, seeded = (~unknown).to_numpy(), found["seeded"].fill_null(value=False).to_numpy()
    masks = {"exploit": seeded & known, "discovery": ~seeded & known, NONE: ~known}
    notes = [f"exploit: the artist of the held-out track is that {what}; discovery: it is not. Artists are compared as "
             "they are written."]  # fmt: skip
    notes += [f"{NONE}: the artist of the held-out track is unknown."] if not known.all() else []
    groups = tuple(Group(name, mask) for name, mask in masks.items() if mask.any())
    return Grouping("discovery", groups, tuple(notes))


def _seeds(dataset: Dataset, answers: Answers) -> Grouping:
    """Group by the number of the playlist's seeds."""
    numbers = answers.playlists["n_seeds"].to_numpy()[answers.of_playlist]
    masks = {each.label: (numbers >= each.least) & (numbers <= each.most) for each in _SEEDS}
    groups = tuple(Group(label, mask) for label, mask in masks.items() if mask.any())
    return Grouping("seeds", groups, ("seeds: the number of seed tracks of the playlist.",))


def _profile(dataset: Dataset, answers: Answers) -> Grouping:
    """Group by the terciles of the length of the listener's profile."""
    lengths = answers.playlists["n_seeds"].to_numpy()
    groups = _terciles(lengths, lengths[answers.of_playlist], "track")
    return Grouping("profile", groups, ("profile: terciles, over the listeners, of the number of their train tracks.",))


_BUILT_IN: dict[str, Callable[[Dataset, Answers], Grouping]] = {"popularity": _popularity, "discovery": _discovery}


def built_in(dataset: Dataset) -> dict[str, Callable[[Dataset, Answers], Grouping]]:
    """Return name -> what makes slices, of those that need no column of the data set's own."""
    return _BUILT_IN | ({"profile": _profile} if dataset.manifest.kind == LISTENERS else {"seeds": _seeds})
