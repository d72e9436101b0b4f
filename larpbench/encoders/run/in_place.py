"""Vectors that lie in a file already: looked up there, and checked as all others are.

Those of a large split are too many for memory. They are read in parts, once, into rows in the order of the split, which
the system keeps on the disk (`larpbench.mapped`): the file may be in any order, of any type, compressed, or replaced
while a run goes on.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from larpbench import progress, streams
from larpbench.datasets.schema import Dataset, Split
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.run.keys import Keys
from larpbench.encoders.run.passes import require_usable
from larpbench.encoders.run.scaling import require_tracks
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError
from larpbench.runtime import Cost, measured

CHECKED_ROWS = 4_096
"""Rows that are looked at together: what is wrong is counted in so many."""


@runtime_checkable
class Lookup(Encoder, Protocol):
    """An encoder whose vectors are there already: what a spec that is `in_place` builds."""

    def lookup(self, track_ids: np.ndarray) -> np.ndarray:
        """Return the vectors of (n,) tracks, (n, dim) float32."""
        ...


class LookedUp:
    """Vectors out of files: read once for all cells of an encoder, and kept until another one takes its turn.

    Args:
        keys: Those of the store.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._identity = ""
        self._found: dict[str, tuple[np.ndarray, Cost]] = {}

    def keep_only(self, spec: EncoderSpec) -> None:
        """Forget the vectors of all other encoders."""
        if self._identity != spec.identity:
            self._identity, self._found = spec.identity, {}

    def vectors(
        self, spec: EncoderSpec, context: EncodeContext, dataset: Dataset, split: Split
    ) -> tuple[np.ndarray, Cost]:
        """Return what `look_up` does, at once if it is known.

        Raises:
            DataError: If the file is another one than it was when its key was computed; and what `look_up` raises.
        """
        key = self._keys.embedding(spec, dataset, split, context.seed)
        if key not in self._found:
            require_tracks(dataset, split, len(split.track_ids))
            found = look_up(spec, context, dataset, split)
            if spec.weights_digest(context) != self._keys.weights(spec, dataset, context.seed):
                raise DataError(
                    f"the vectors of {spec.identity!r} changed while they were read, or since the run was planned",
                    next_step="run the same command again when the file is complete",
                )
            self._found[key] = found
        return self._found[key]


def look_up(spec: EncoderSpec, context: EncodeContext, dataset: Dataset, split: Split) -> tuple[np.ndarray, Cost]:
    """Return the vectors of a split, (n, dim) float32, and what it took to read them.

    Raises:
        DataError: If there are no vectors for some tracks, or they cannot be read.
        EmbeddingError: If some are NaN, infinite or all zero; ids are named.
        StorageError: If there is no room for them in the home folder.
    """
    if spec.check:
        spec.check(spec.argument, dataset, [split.name])
    total = len(split.track_ids)
    with progress.stage(f"read {spec.identity} ({split.name})", total, "tracks") as advance, measured() as cost:
        with streams.aside():
            encoder = spec.build(context)
        if not isinstance(encoder, Lookup):
            raise EmbeddingError(f"the spec of {spec.identity!r} says that its vectors are there, but it has no lookup")
        vectors = encoder.lookup(split.track_ids)
        for start in range(0, total, CHECKED_ROWS):
            part = slice(start, start + CHECKED_ROWS)
            require_usable(spec.identity, vectors[part], split.track_ids[part])
            advance(len(vectors[part]))
    return vectors, Cost(cost.wall_s, cost.cpu_s)
