"""librosa's inner loops, which the first use compiles: one test process at a time, as they share the cache."""

from __future__ import annotations

import functools

import numpy as np

from larpbench.compiled import first_use
from larpbench.encoders.encoder import TrackBatch


@functools.cache
def compile_librosa() -> None:
    """Compile all that the tests use, or wait for the process that does."""
    with first_use("handcrafted") as is_first:
        if is_first:
            from larpbench.encoders.adapters.handcrafted.encoder import HandcraftedEncoder

            HandcraftedEncoder().encode(TrackBatch(np.arange(1), np.arange(1), np.ones((1, 8_000), dtype=np.float32)))
