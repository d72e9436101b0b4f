"""How alike the tracks of a playlist are to an encoder."""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.vectors import unit_rows


def homogeneity(vectors: np.ndarray, playlists: Interactions) -> np.ndarray:
    """Return the mean cosine of all pairs of different tracks of each playlist (LARP, table 1).

    Args:
        vectors: (n, d) float32, none of them all zero.
        playlists: Rows of `vectors`.

    Returns:
        One float64 for each playlist of two tracks or more.
    """
    unit = unit_rows(vectors, double=False)
    several = playlists.select(playlists.lengths >= 2)
    values = np.empty(len(several))
    for row, count in enumerate(several.lengths.tolist()):
        start = several.offsets[row]
        total = unit[several.tracks[start : start + count]].sum(axis=0, dtype=np.float64)
        # The square of the sum holds every pair twice, and each track with itself once.
        values[row] = (total @ total - count) / (count * (count - 1))
    return values
