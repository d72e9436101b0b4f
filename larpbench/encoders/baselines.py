"""Yardsticks: random vectors, and on the demo the vector that draws the playlists."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from larpbench.encoders.base import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.precomputed import VectorTable
from larpbench.errors import MissingPartError
from larpbench.fingerprint import digest_file_once

RANDOM_DIM = 128
_ORACLE_FILE = "oracle.npz"


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


def build_oracle(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the demo's own vectors.

    Raises:
        MissingPartError: If the data set has none.
    """
    return VectorTable(_oracle_path(context))


def oracle_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the demo's own vectors."""
    return digest_file_once(_oracle_path(context))


def _oracle_path(context: EncodeContext) -> Path:
    path = context.dataset_folder / _ORACLE_FILE
    if not path.is_file():
        raise MissingPartError(
            "this data set has no oracle: nobody knows the vector that drew its playlists",
            where=str(path),
            next_step="leave oracle out of --encoders",
        )
    return path
