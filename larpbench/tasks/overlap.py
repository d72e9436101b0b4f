"""Test tracks that an encoder was trained on: removed, for every encoder of the table (protocol rule 13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import Dataset
from larpbench.datasets.songs import song_keys
from larpbench.errors import ProtocolError
from larpbench.fingerprint import digest, digest_columns


@dataclass(frozen=True)
class TrainingOverlap:
    """The test tracks that are also train or valid tracks of one other data set.

    Attributes:
        dataset: Name of the data set that was trained on.
        fingerprint: Its fingerprint.
        by_id: Test tracks whose id is among its train or valid tracks.
        by_song: Other test tracks whose artist and title are.
    """

    dataset: str
    fingerprint: str
    by_id: int
    by_song: int


@dataclass(frozen=True)
class Removal:
    """The tracks that are removed from the test split, and what is removed with them.

    Attributes:
        kept: (n,) bool over the test split's tracks, in their order.
        sources: Data sets whose training included the others.
        ids_digest: Digest of the removed ids.
        seeds: Removed seed tracks, over all playlists.
        heldout: Removed held-out tracks, over all playlists.
        playlists: Playlists that had a seed and a held-out track and now lack one; listeners without a held-out track.
        emptied: Playlists that have no track left at all.
    """

    kept: np.ndarray
    sources: tuple[TrainingOverlap, ...]
    ids_digest: str
    seeds: int
    heldout: int
    playlists: int
    emptied: int

    @cached_property
    def key(self) -> str:
        """The digest of what is removed, and why: part of the key of every cell."""
        return digest([self.ids_digest, [[each.dataset, each.fingerprint] for each in self.sources]])

    @property
    def tracks(self) -> int:
        """Number of removed tracks."""
        return int((~self.kept).sum())

    def applied_to(self, dataset: Dataset) -> Dataset:
        """Return the data set without these tracks and their playlist entries."""
        return dataset.without(dataset.split("test").tracks["track_id"].filter(~self.kept))


def find_removal(dataset: Dataset, sources: Iterable[Dataset]) -> Removal | None:
    """Return what must be removed from a data set before encoders that were trained elsewhere are tested on it.

    Args:
        dataset: What is tested.
        sources: What the encoders were trained on: their train tracks, and their valid tracks, which select the epoch,
            must not be tested. Where that is the tested data set itself, its split has kept them apart.

    Returns:
        None if nothing is removed.

    Raises:
        ProtocolError: If no playlist is left that could be tested.
    """
    foreign = {
        each.manifest.fingerprint: each for each in sources if each.manifest.fingerprint != dataset.manifest.fingerprint
    }
    if not foreign:
        return None
    split = dataset.split("test")
    tested = split.tracks.select("track_id", song=song_keys(split.tracks))
    gone = pl.repeat(False, tested.height, dtype=pl.Boolean, eager=True)
    overlaps: list[TrainingOverlap] = []
    for fingerprint, source in sorted(foreign.items(), key=lambda pair: (pair[1].name, pair[0])):
        trained_on = source.tracks.filter(pl.col("split") != "test")
        seen = trained_on.select("track_id", song=song_keys(trained_on))
        same_id = tested["track_id"].is_in(seen["track_id"].implode())
        same_song = tested["song"].is_in(seen["song"].drop_nulls().implode()).fill_null(False) & ~same_id
        if same_id.any() or same_song.any():
            overlaps.append(TrainingOverlap(source.name, fingerprint, int(same_id.sum()), int(same_song.sum())))
            gone = gone | same_id | same_song
    if not overlaps:
        return None
    removal = _counted(dataset, gone, tuple(overlaps))
    if removal is None:
        names = ", ".join(repr(each.dataset) for each in overlaps)
        raise ProtocolError(
            f"all playlists of {dataset.name!r} that could be tested lose their seeds or their held-out tracks: "
            f"{int(gone.sum())} of {len(gone)} test tracks were in the training on {names}",
            allowed="test tracks that no encoder was trained on (protocol rule 13)",
            next_step="leave the encoders with that @ out, or test on another data set",
        )
    return removal


def _counted(dataset: Dataset, gone: pl.Series, sources: tuple[TrainingOverlap, ...]) -> Removal | None:
    """Count what is removed; None if nothing is left to be tested.

    Of listeners only held-out tracks are: their profiles are train tracks, which nobody is tested on.
    """
    split = dataset.split("test")
    ids = split.tracks["track_id"].filter(gone)
    seed, heldout, left = pl.col("role") == "seed", pl.col("role") == "heldout", pl.col("left")
    known, still = seed.any(), (seed & left).any()
    if dataset.manifest.kind == LISTENERS:
        profiles = dataset.split("train").entries["playlist_id"].unique()
        known = still = pl.col("playlist_id").first().is_in(profiles.implode())
    playlists = (
        split.entries.with_columns(left=~pl.col("track_id").is_in(ids.implode()))
        .group_by("playlist_id")
        .agg(
            before=known & heldout.any(),
            after=still & (heldout & left).any(),
            emptied=~left.any(),
            seeds=(seed & ~left).sum(),
            heldout=(heldout & ~left).sum(),
        )
    )
    if playlists["before"].any() and not playlists["after"].any():
        return None
    return Removal(
        kept=(~gone).to_numpy(),
        sources=sources,
        ids_digest=digest_columns(ids),
        seeds=int(playlists["seeds"].sum()),
        heldout=int(playlists["heldout"].sum()),
        playlists=int((playlists["before"] & ~playlists["after"]).sum()),
        emptied=int(playlists["emptied"].sum()),
    )
