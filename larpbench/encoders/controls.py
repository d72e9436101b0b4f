"""Controls: random vectors, a code per artist, and on the demo the vectors from which playlists were generated."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.demo import ORACLE_FILE
from larpbench.datasets.files import TRACKS
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.precomputed import VectorTable
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError
from larpbench.fingerprint import digest_columns, digest_file_once
from larpbench.table_files import read_parquet

NAMES = ("oracle", "random", "same-artist")
RANDOM_DIM = 128
ARTIST_DIM = 256


class RandomEncoder:
    """Gaussian vectors keyed by (seed, track id): the same whatever else is encoded."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 128) float32 of independent standard normal numbers (Box-Muller of SHAKE-256 digests)."""
        n_bytes = 4 * RANDOM_DIM
        raw = b"".join(
            hashlib.shake_256(f"{self._seed}\x1f{name}".encode()).digest(n_bytes) for name in batch.track_ids
        )
        uniform = (np.frombuffer(raw, dtype="<u4").reshape(len(batch), 2, -1) + 0.5) / 2**32
        radius, angle = np.sqrt(-2 * np.log(uniform[:, 0])), 2 * np.pi * uniform[:, 1]
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)


def build_random(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the random encoder of the run's seed."""
    return RandomEncoder(context.seed)


class SameArtistEncoder:
    """A fixed code of 256 signs for each artist: a playlist is continued with the artists that it has.

    The codes of two artists are drawn apart, so that their inner product is 0 give or take 1/16 of that of an artist
    with itself. Names are compared without case and spaces around them; a track whose artist is unknown has a code of
    its own.

    Args:
        artists: Track id -> artist, empty if unknown.
    """

    def __init__(self, artists: dict[str, str]) -> None:
        self._artists = artists

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 256) float32 of -1 and 1, the bits of a SHA-256 digest of the artist."""
        bits = np.frombuffer(b"".join(map(self._code, batch.track_ids)), dtype=np.uint8)
        return np.unpackbits(bits).reshape(len(batch), ARTIST_DIM).astype(np.float32) * 2 - 1

    def _code(self, track_id: str) -> bytes:
        artist = " ".join(self._artists[str(track_id)].casefold().split())
        return hashlib.sha256((f"artist\x1f{artist}" if artist else f"track\x1f{track_id}").encode()).digest()


def build_same_artist(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of the data set's own artists."""
    tracks = _artists(context)
    return SameArtistEncoder(dict(zip(tracks["track_id"].to_list(), tracks["artist"].to_list(), strict=True)))


def same_artist_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the data set's track ids and artists."""
    tracks = _artists(context)
    return digest_columns(tracks["track_id"], tracks["artist"])


def _artists(context: EncodeContext) -> pl.DataFrame:
    tracks = read_parquet(context.dataset_folder / TRACKS, columns=["track_id", "artist"])
    return tracks.with_columns(pl.col("artist").fill_null(""))


def build_oracle(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the demo's own vectors.

    Raises:
        MissingPartError: If the data set has none.
    """
    return VectorTable.of_file(_oracle_path(context))


def oracle_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the demo's own vectors."""
    return digest_file_once(_oracle_path(context))


def _oracle_path(context: EncodeContext) -> Path:
    path = context.dataset_folder / ORACLE_FILE
    if not path.is_file():
        raise MissingPartError(
            "this data set has no oracle: the vectors that generated its playlists are unknown",
            where=str(path),
            next_step="leave oracle out of --encoders",
        )
    return path


RANDOM = EncoderSpec(
    EncoderCard(
        name="random",
        version=1,
        summary="control: random vectors, chance level",
        modalities=(),
        dim=RANDOM_DIM,
        weights="none",
        licence="Apache-2.0",
        parameters=0,
        stochastic=True,
        control=True,
        tracks_per_second=100_000,
    ),
    factory=build_random,
)
SAME_ARTIST = EncoderSpec(
    EncoderCard(
        name="same-artist",
        version=1,
        summary="control: the artist alone, as a code",
        modalities=(),
        dim=ARTIST_DIM,
        weights="none",
        licence="Apache-2.0",
        parameters=0,
        control=True,
        tracks_per_second=200_000,
    ),
    factory=build_same_artist,
    digest=same_artist_digest,
)
ORACLE = EncoderSpec(
    EncoderCard(
        name="oracle",
        version=1,
        summary="control: the demo's true track vectors",
        modalities=(),
        dim=None,
        weights="none",
        licence="CC0-1.0",
        parameters=0,
        control=True,
        tracks_per_second=1_000_000,
    ),
    factory=build_oracle,
    digest=oracle_digest,
)
