"""The encoder ``none`` of this task: numbers of artists in the place of vectors, for controls that read no content."""

from __future__ import annotations

import numpy as np
import polars as pl

from larpbench.datasets.files import TRACKS
from larpbench.datasets.schema import Dataset
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec
from larpbench.fingerprint import digest_columns
from larpbench.recommenders.listeners.controls import UNKNOWN
from larpbench.table_files import read_parquet


class ArtistNumbers:
    """One number for each artist, which float32 holds exactly up to 2^24 artists.

    Args:
        tracks: Columns ``track_id``, ``artist``, of all splits.
    """

    def __init__(self, tracks: pl.DataFrame) -> None:
        artists = tracks["artist"].fill_null("")
        places = artists.filter(artists != "").unique().sort()
        numbers = pl.DataFrame({"artist": places, "number": np.arange(len(places)) + UNKNOWN + 1})
        found = tracks.with_columns(artists).join(numbers, on="artist", how="left", maintain_order="left")
        self._numbers = dict(zip(tracks["track_id"], found["number"].fill_null(UNKNOWN), strict=True))

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 1) float32."""
        return np.array([[self._numbers[str(name)]] for name in batch.track_ids], dtype=np.float32)


def artists_known(dataset: Dataset) -> bool:
    """Return whether any track of a data set has an artist."""
    return bool((dataset.tracks["artist"].fill_null("") != "").any())


def _tracks(context: EncodeContext) -> pl.DataFrame:
    return read_parquet(context.dataset_folder / TRACKS, ["track_id", "artist"])


def _build(context: EncodeContext, argument: str | None) -> Encoder:
    return ArtistNumbers(_tracks(context))


def _digest(context: EncodeContext, argument: str | None) -> str:
    tracks = _tracks(context)
    return digest_columns(tracks["track_id"], tracks["artist"].fill_null(""))


NO_ENCODER = EncoderSpec(
    EncoderCard(
        name="none",
        version=1,
        summary="control: no content at all, for recommenders that know the artist only",
        modalities=(),
        dim=1,
        weights="none",
        licence="Apache-2.0",
        control=True,
        tracks_per_second=200_000,
    ),
    factory=_build,
    digest=_digest,
)
