"""A text encoder: how often each word of the caption occurs, hashed into 256 buckets.

larpbench imports this module when a command names the encoder, so nothing here may be heavy: if your encoder needs
torch, put it into a module of its own and import that module inside `build`.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.spec import EncoderSpec

DIM = 256
NO_WORDS = ("",)  # an all-zero row would fail the run, so a caption without words gets a bucket too


class HashedWords:
    """One method, `encode`; larpbench cuts the batches and stores the vectors."""

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 256) float32 in the order of the batch: always of the dtype and dim that the card promises."""
        vectors = np.zeros((len(batch), DIM), dtype=np.float32)
        for vector, caption in zip(vectors, batch.captions, strict=True):
            for word in re.findall(r"\w+", caption.lower()) or NO_WORDS:
                vector[_bucket(word)] += 1
        return vectors


def _bucket(word: str) -> int:
    # Not the built-in hash(): that one changes with every process, and the same track must always get the same vector.
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % DIM


def build(context: EncodeContext, argument: str | None) -> Encoder:
    """Make the encoder. `context.seed` is there for what is random; `argument` is what follows a colon in the name."""
    return HashedWords()


HASHED_WORDS = EncoderSpec(
    EncoderCard(
        name="hashed-words",
        version=1,  # raise it whenever the vectors change: those of the old version are then computed anew
        summary="words of the caption, counted in 256 hashed buckets",
        modalities=("text",),  # what it reads of a track
        dim=DIM,
        weights="none",  # or which pretrained weights
        licence="Apache-2.0",
        tracks_per_second=50_000,  # roughly; the plan estimates time with it
    ),
    factory=build,
)
