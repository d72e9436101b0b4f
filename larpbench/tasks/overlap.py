"""Tracks that a trained encoder has seen, and that must therefore not be tested (protocol rule 13)."""

from __future__ import annotations

import polars as pl

from larpbench.datasets.schema import Dataset
from larpbench.errors import ProtocolError, named


def require_unseen(dataset: Dataset, source: Dataset) -> None:
    """Check that no tested track, by id or by artist and title, was in the training of an encoder.

    Args:
        dataset: What is tested.
        source: What the encoder was trained on: its train tracks, and its valid tracks, which select the epoch.

    Raises:
        ProtocolError: Naming the tracks.
    """
    if dataset.manifest.fingerprint == source.manifest.fingerprint:
        return  # the cold-start split keeps them apart
    tested = _keyed(dataset.tracks.filter(pl.col("split") == "test"))
    seen = _keyed(source.tracks.filter(pl.col("split") != "test"))
    same_id = tested.join(seen, on="track_id", how="semi")
    same_song = tested.filter(pl.col("song") != "").join(seen, on="song", how="semi")
    found = pl.concat([same_id, same_song])["track_id"].unique().sort()
    if len(found):
        raise ProtocolError(
            f"{len(found)} tested tracks, or others of the same artist and title, were in the training on "
            f"{source.name!r}: {named(found.to_list())}",
            allowed="a data set that shares no track with the one after the @ (protocol rule 13)",
            next_step="build the data set without these tracks",
        )


def _keyed(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return ids and a key of artist and title without case, punctuation and spaces; empty where either is unknown."""
    plain = [pl.col(name).str.to_lowercase().str.replace_all(r"[^\pL\pN]+", "") for name in ("artist", "title")]
    known = (plain[0] != "") & (plain[1] != "")
    return tracks.select(
        "track_id", song=pl.when(known).then(pl.concat_str(plain, separator="\t")).otherwise(pl.lit(""))
    )
