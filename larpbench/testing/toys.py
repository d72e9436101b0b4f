"""Small made-up tracks: clips and captions of every kind that an encoder meets."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import polars as pl

from larpbench.datasets.schema import PLAYLIST_COLUMNS, Split
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.reference import CAPTIONS, clips
from larpbench.encoders.spec import EncoderSpec

SECONDS = 4.0
_INPUT_DIM = 8


def toy_batch(spec: EncoderSpec, rows: Sequence[int] = (0, 1, 2, 3), seconds: float = SECONDS) -> TrackBatch:
    """Return tracks as an encoder sees them: the same row is always the same track.

    Args:
        spec: The encoder: decides on sample rate, and on made-up vectors of what it builds upon.
        rows: Which of four tracks, in which order.
        seconds: Length of the clips.
    """
    audio = None
    if spec.reads_audio and spec.card.sample_rate:
        audio = _clips(seconds, spec.card.sample_rate)[list(rows)]
    return TrackBatch(
        np.array([f"t{row}" for row in rows]),
        np.array([CAPTIONS[row] for row in rows], dtype=object),
        audio,
        tuple(toy_vectors(each, len(CAPTIONS))[list(rows)] for each in spec.inputs),
    )


@functools.lru_cache(maxsize=4)
def _clips(seconds: float, sample_rate: int) -> np.ndarray:
    return clips(len(CAPTIONS), seconds, sample_rate)


def toy_vectors(spec: EncoderSpec, n: int) -> np.ndarray:
    """Return (n, dim) float32, made up; as long as an encoder's, or as it makes of noise if nothing else tells."""
    draw = np.random.default_rng(n)
    if spec.card.dim is None and spec.reads_audio and spec.card.sample_rate:
        noise = draw.normal(scale=0.1, size=(n, 2 * spec.card.sample_rate)).astype(np.float32)
        encoder = spec.build(EncodeContext(3, None))  # type: ignore[arg-type]
        return encoder.encode(TrackBatch(np.arange(n), np.full(n, ""), noise))
    return draw.normal(size=(n, spec.card.dim or _INPUT_DIM)).astype(np.float32)


def toy_split() -> Split:
    """Return a train split of four tracks without playlists or audio, for encoders that count something on it."""
    texts = pl.DataFrame({"track_id": [f"t{row}" for row in range(len(CAPTIONS))], "caption": list(CAPTIONS)})
    tracks = texts.with_columns(
        title=pl.col("caption"), artist=pl.lit("Alpha"), album=pl.lit(""), split=pl.lit("train")
    )
    return Split("train", tracks, pl.DataFrame(schema=dict.fromkeys(PLAYLIST_COLUMNS, pl.String)))
