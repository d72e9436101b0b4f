"""Tested tracks that a trained encoder has seen: they leave, for every encoder of the table (protocol rule 13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from larpbench.datasets.schema import Dataset, Split
from larpbench.datasets.songs import song_keys
from larpbench.errors import ProtocolError
from larpbench.fingerprint import digest, digest_columns


@dataclass(frozen=True)
class Seen:
    """What the training on one data set has seen of the tested tracks.

    Attributes:
        dataset: Name of the data set that was trained on.
        fingerprint: Its fingerprint.
        by_id: Tested tracks whose id was among its train or valid tracks.
        by_song: Other tested tracks whose artist and title were.
    """

    dataset: str
    fingerprint: str
    by_id: int
    by_song: int


@dataclass(frozen=True)
class Removal:
    """The tracks that leave the test split, and what leaves with them.

    Attributes:
        kept: (n,) bool over the test split's tracks, in their order.
        sources: Whose training has seen the others; only data sets that have seen any.
        ids_digest: Digest of the ids that leave.
        seeds: Seeds that leave, over all playlists.
        heldout: Held-out tracks that leave, over all playlists.
        playlists: Playlists that had a seed and a held-out track and now lack one.
        emptied: Playlists that have no track left at all.
    """

    kept: np.ndarray
    sources: tuple[Seen, ...]
    ids_digest: str
    seeds: int
    heldout: int
    playlists: int
    emptied: int

    @cached_property
    def key(self) -> str:
        """The digest of what leaves and of why: part of the key of every cell."""
        return digest([self.ids_digest, [[each.dataset, each.fingerprint] for each in self.sources]])

    @property
    def tracks(self) -> int:
        """How many tracks leave."""
        return int((~self.kept).sum())

    def applied_to(self, dataset: Dataset) -> Dataset:
        """Return the data set without these tracks and their playlist entries."""
        return dataset.without(dataset.split("test").tracks["track_id"].filter(~self.kept))


def find_removal(dataset: Dataset, sources: Iterable[Dataset]) -> Removal | None:
    """Return what has to leave a data set before encoders that were trained elsewhere are tested on it.

    Args:
        dataset: What is tested.
        sources: What the encoders were trained on: their train tracks, and their valid tracks, which select the epoch,
            must not be tested. Where that is the tested data set itself, its split has kept them apart.

    Returns:
        None if nothing has to leave.

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
    found: list[Seen] = []
    for fingerprint, source in sorted(foreign.items(), key=lambda pair: (pair[1].name, pair[0])):
        trained_on = source.tracks.filter(pl.col("split") != "test")
        seen = trained_on.select("track_id", song=song_keys(trained_on))
        same_id = tested["track_id"].is_in(seen["track_id"].implode())
        same_song = tested["song"].is_in(seen["song"].drop_nulls().implode()).fill_null(False) & ~same_id
        if same_id.any() or same_song.any():
            found.append(Seen(source.name, fingerprint, int(same_id.sum()), int(same_song.sum())))
            gone = gone | same_id | same_song
    if not found:
        return None
    removal = _counted(split, gone, tuple(found))
    if removal is None:
        names = ", ".join(repr(each.dataset) for each in found)
        raise ProtocolError(
            f"all playlists of {dataset.name!r} that could be tested lose their seeds or their held-out tracks: "
            f"{int(gone.sum())} of {len(gone)} test tracks were in the training on {names}",
            allowed="tested tracks that no training has seen (protocol rule 13)",
            next_step="leave the encoders with that @ out, or test on another data set",
        )
    return removal


def _counted(split: Split, gone: pl.Series, sources: tuple[Seen, ...]) -> Removal | None:
    """Count what leaves; None if nothing is left to be tested."""
    ids = split.tracks["track_id"].filter(gone)
    seed, heldout, left = pl.col("role") == "seed", pl.col("role") == "heldout", pl.col("left")
    playlists = (
        split.entries.with_columns(left=~pl.col("track_id").is_in(ids.implode()))
        .group_by("playlist_id")
        .agg(
            before=seed.any() & heldout.any(),
            after=(seed & left).any() & (heldout & left).any(),
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
