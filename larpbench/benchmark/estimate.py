"""How many CPU seconds the parts of a run take, from the sizes of its data; the constants were measured.

They were measured on one core of a 2-core AMD EPYC (benchmarks/README.md in the source). The matrix product, which is
most of a large run, is timed on the machine at hand if it takes more than a second.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping

from larpbench.encoders.precomputed.opening import size_and_dim
from larpbench.encoders.spec import EncoderSpec

USUAL_DIM = 256
START_SECONDS = 3.5
"""Loading the libraries, and printing the table."""
_PER_ENTRY = 3e-7
_PER_BYTE_OF_FILE = 6e-9
_PER_NUMBER_TAKEN = 2.4e-8
_PER_CELL = 0.3
_PER_QUERY = 1.2e-4
_PER_PAIR = 1.6e-9
_USUAL_SPEED = 8e10
_SHARE_OF_SPEED = 0.7
"""What a product with as many columns as there are tracks reaches of the speed of one that fits the cache."""
_WORTH_TIMING = 1e11


def dataset_seconds(counts: Mapping[str, int]) -> float:
    """Return what reading a data set takes, by the counts of its manifest."""
    return sum(count for name, count in counts.items() if name.endswith(".entries")) * _PER_ENTRY


def lies_in_file(spec: EncoderSpec) -> bool:
    """Return whether an encoder's vectors are looked up in a file or folder."""
    return _place(spec) is not None


def dim_of(spec: EncoderSpec) -> int:
    """Return the length of an encoder's vectors, a usual one where its card does not say it."""
    place = _place(spec)
    return size_and_dim(place)[1] if place else spec.card.dim or USUAL_DIM


def file_seconds(spec: EncoderSpec, tracks: int) -> float:
    """Return what looking up the vectors of so many tracks takes, in a file or folder that is read whole."""
    size, dim = size_and_dim(_place(spec) or "")
    return size * _PER_BYTE_OF_FILE + dim * tracks * _PER_NUMBER_TAKEN


def _place(spec: EncoderSpec) -> str | None:
    """Return the file or folder in which an encoder's vectors lie, None if they are computed."""
    return (spec.place or spec.argument or None) if spec.in_place else None


def cell_seconds(queries: int, items: int, dim: int, draws: int) -> float:
    """Return what ranking all items for every query takes, and the metrics of the lists.

    Args:
        queries: Number of queries.
        items: Number of candidates.
        dim: Length of the vectors that are multiplied.
        draws: How many times everything is ranked.
    """
    pairs = queries * items
    operations = 2 * dim * pairs
    speed = product_speed() if operations > _WORTH_TIMING else _USUAL_SPEED
    return _PER_CELL + draws * (operations / speed + pairs * _PER_PAIR + queries * _PER_QUERY)


@functools.cache
def product_speed() -> float:
    """Return how many operations a CPU second of this machine carries out in the matrix product of a ranking."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    rows, columns = np.ones((256, 512), dtype=np.float32), np.ones((512, 4096), dtype=np.float32)
    seconds = []
    with threadpool_limits(1, "blas"):
        for _ in range(5):
            began = time.process_time()
            rows @ columns
            seconds.append(time.process_time() - began)
    median = sorted(seconds[1:])[1]  # the first one loads what the others find
    return _SHARE_OF_SPEED * 2 * rows.size * columns.shape[1] / max(median, 1e-4)
