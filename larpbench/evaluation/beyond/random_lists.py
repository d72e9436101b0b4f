"""Random rankings, for the one chance value without a closed form: the Gini coefficient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.evaluation.beyond.lists import entry_counts, gini

PRECISION = 0.0005
"""Standard error at which the simulation stops."""
_ROUNDS = (8, 256)
_BLOCK_LISTS = 8_192
_SEED = 20_240_826


def expected_gini(
    groupings: Mapping[str, np.ndarray], masked: Interactions, cutoffs: Sequence[int]
) -> dict[tuple[str, int], float]:
    """Return the expected Gini coefficient of the entries of groups under a uniformly random ranking.

    The mean over 8 to 256 simulated sets of lists, as many as the standard error takes to be at most 0.0005. The
    simulation is seeded: the same playlists always have the same value.

    Args:
        groupings: Name -> (n,) int in 0 .. m - 1, the group of each item.
        masked: Items that are no candidates of each playlist.
        cutoffs: The Ks, ascending.

    Returns:
        Name and K -> mean.
    """
    n_items = len(next(iter(groupings.values())))
    generator = np.random.default_rng(_SEED)
    least, most = _ROUNDS
    at_once = max(1, min(least, _BLOCK_LISTS // len(masked)))
    found: list[list[float]] = []
    while len(found) < most:
        drawn = random_lists(masked, n_items, cutoffs[-1], generator, at_once)
        for lists in drawn:
            found.append([float(gini(entry_counts(lists[:, :k], of))) for of in groupings.values() for k in cutoffs])
        values = np.array(found)
        if len(found) >= least and (values.std(axis=0, ddof=1) / np.sqrt(len(found))).max() <= PRECISION:
            break
    names = [(name, k) for name in groupings for k in cutoffs]
    return dict(zip(names, np.array(found).mean(axis=0).tolist(), strict=True))


def random_lists(
    masked: Interactions, n_items: int, length: int, generator: np.random.Generator, rounds: int = 1
) -> np.ndarray:
    """Return the first places of uniformly random rankings of the candidates of each playlist.

    Args:
        masked: Items that are no candidates of each playlist.
        n_items: Number of items.
        length: Places.
        generator: Source of randomness.
        rounds: How many rankings of each playlist.

    Returns:
        (rounds, p, length) int64, -1 where there are fewer candidates.
    """
    candidates = np.tile(n_items - masked.lengths, rounds)
    chosen = np.full((len(candidates), length), -1)
    for place in range(length):  # Floyd's sampling without replacement (Bentley & Floyd 1987)
        top = candidates - length + place
        drawn = generator.integers(0, np.maximum(top, 0) + 1)
        taken = (chosen[:, :place] == drawn[:, None]).any(axis=1)
        chosen[:, place] = np.where(taken, top, np.where(top >= 0, drawn, -1))
    keys = generator.random(chosen.shape)
    keys[chosen < 0] = 2.0  # what is missing comes last
    chosen = np.take_along_axis(chosen, keys.argsort(axis=1), axis=1)
    # The r-th candidate is item r + the number of masked items before it.
    before = masked.tracks - (np.arange(len(masked.tracks)) - np.repeat(masked.offsets[:-1], masked.lengths))
    rows = np.repeat(np.arange(len(masked)), masked.lengths)
    ordered = rows * (n_items + 1) + before
    row = np.tile(np.arange(len(masked)), rounds)[:, None]
    skipped = np.searchsorted(ordered, row * (n_items + 1) + chosen, side="right") - masked.offsets[:-1][row]
    return np.where(chosen >= 0, chosen + skipped, -1).reshape(rounds, len(masked), length)
