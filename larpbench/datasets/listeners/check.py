"""What must hold of a ``listeners`` data set: tracks in one split each, roles by split, listens of its entries."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from larpbench.datasets.listeners.table import COUNT, without_profile
from larpbench.datasets.schema import SPLITS, Dataset

_KEYS = ["playlist_id", "track_id"]


def listener_faults(dataset: Dataset) -> dict[str, int]:
    """Return what must not be -> how often it is."""
    tracks, entries = dataset.tracks, dataset.playlists
    member, train = pl.col("role") == "member", pl.col("split") == "train"
    faults = {
        "track ids more than once (such as in two splits)": tracks["track_id"].is_duplicated().sum(),
        "entries more than once": entries.select(_KEYS).is_duplicated().sum(),
        "tracks in no split": (~tracks["split"].is_in(SPLITS).fill_null(value=False)).sum(),
        "entries whose split is not that of their track": entries.join(
            tracks.select("track_id", "split"), on=["track_id", "split"], how="anti"
        ).height,
        "entries with the role seed: the profile is all train tracks": entries.filter(pl.col("role") == "seed").height,
        "entries of train that are no members, or others that are not held out": entries.filter(
            ~((train & member) | (~train & (pl.col("role") == "heldout"))).fill_null(value=False)
        ).height,
    }
    if dataset.listens is not None:
        listens = dataset.listens.collect()
        faults |= {
            "listens more than once": listens.select(_KEYS).is_duplicated().sum(),
            "listens of no entry": listens.join(entries, on=_KEYS, how="anti").height,
            "listens with a count of 0": listens.filter(pl.col(COUNT) == 0).height,
        }
    return {what: int(count) for what, count in faults.items()}


def counted_listeners(dataset: Dataset) -> Iterator[tuple[str, bool, str]]:
    """Yield how many listeners of valid and test scores count: what was looked at, whether any is left, the numbers."""
    without = without_profile(dataset.playlists)
    for name in SPLITS[1:]:
        listeners = dataset.playlists.filter(pl.col("split") == name)["playlist_id"].n_unique()
        alone = without.filter(pl.col("split") == name).height
        detail = f"{listeners - alone} of {listeners}" + (f"; {alone} have no profile" if alone else "")
        yield f"{name} listeners that scores count", bool(listeners > alone or not listeners), detail
