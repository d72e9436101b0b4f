"""Playlists of `demo-large`: each is about something, and stays with its artists as far as its loyalty goes.

Utilities are whole numbers held by float32, below 2 ** 24: sums and products of these are exact in any order, so that
BLAS may make them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import numpy as np

from larpbench.datasets.demo.fixed_point import (
    FRACTION_BITS,
    ONE,
    exact_product,
    exp,
    interpolated,
    normal,
    table,
    times,
    unit,
)
from larpbench.datasets.demo.latents import stream
from larpbench.datasets.demo_large.tracks import Purpose, Themes, Tracks, directions, fixed, log_levels, pick_one

_LENGTHS = {"0": "2.5", "0.05": "6", "0.25": "15", "0.5": "34", "0.75": "68", "0.95": "127", "1": "215"}
_LOYALTY = {
    "0": "0", "0.1": "0.0048", "0.2": "0.0202", "0.3": "0.0474", "0.4": "0.0872", "0.5": "0.1407", "0.6": "0.2096",
    "0.7": "0.2963", "0.8": "0.4052", "0.9": "0.5455", "0.95": "0.6356", "0.98": "0.7032", "1": "0.77",
}  # fmt: skip
"""Quantiles: those of 0.77 times a Beta(0.48, 1.27)."""
_TWO_NICHES, _THREE_NICHES = ONE * 6 // 10, ONE * 9 // 10
_SPREAD = ONE * 35 // 100
_SHARPNESS = ONE * 17 // 2
_SHARPNESS_SPREAD = ONE * 35 // 100
_ANY_ENTRY = ONE * 8 // 10
_SAME_ALBUM = ONE * 75 // 100

_TRACK_BITS, _TASTE_BITS = 10, 7
_UTILITY = 1 << (_TRACK_BITS + _TASTE_BITS)
"""What stands for 1 in a utility; none is above 2 ** 24, which is 128."""
_QUANTILES = 1 << 14
_HALF_STEP = Decimal("0.000030517578125")  # 2 ** -15
_AT_A_TIME = 100


@dataclass(frozen=True)
class Tastes:
    """What playlists want; all arrays have one row a playlist.

    Attributes:
        lengths: int64, (p,), tracks.
        wants: int64, (p, THEME_DIM), its theme times how sharply it keeps to it.
        loyalty: int64, (p,), the probability of a further track by an artist who is there already.
    """

    lengths: np.ndarray
    wants: np.ndarray
    loyalty: np.ndarray


def draw_tastes(seed: int, n: int, themes: Themes) -> Tastes:
    """Draw what playlists want.

    Args:
        seed: The world's seed.
        n: How many playlists.
        themes: What there is to want.

    Returns:
        Their tastes.
    """
    rng = stream(seed, Purpose.PLAYLIST)
    places = (2 * np.arange(n) + 1) * ONE // (2 * n)
    # Rounded to the nearest; the logarithm goes through the table of exp, in steps of 1/256.
    lengths = rng.permutation(exp(interpolated(places, *log_levels(_LENGTHS))) + ONE // 2 >> FRACTION_BITS)
    how_many = rng.integers(0, ONE, size=n)
    chosen = themes.niches[pick_one(rng, themes.weights, 3 * n).reshape(n, 3)]
    chosen[how_many < _TWO_NICHES, 1] = 0
    chosen[how_many < _THREE_NICHES, 2] = 0
    theme = unit(unit(chosen.sum(axis=1)) + times(_SPREAD, directions(rng, n)))
    sharpness = times(_SHARPNESS, exp(times(_SHARPNESS_SPREAD, normal(rng, n))))
    at = np.array([fixed(each) for each in _LOYALTY], dtype=np.int64)
    levels = np.array([fixed(each) for each in _LOYALTY.values()], dtype=np.int64)
    loyalty = interpolated(rng.integers(0, ONE, size=n), at, levels)
    return Tastes(lengths, times(sharpness[:, None], theme), loyalty)


def fill_playlists(seed: int, tastes: Tastes, tracks: Tracks) -> list[list[int]]:
    """Draw the tracks of all playlists.

    Args:
        seed: The world's seed.
        tastes: What they want.
        tracks: What there is.

    Returns:
        Rows of tracks of each playlist, in the order in which they were taken; none twice.
    """
    rng = stream(seed, Purpose.FILLING)
    of_tracks = (tracks.theme >> FRACTION_BITS - _TRACK_BITS).T
    popularity = (tracks.popularity * _UTILITY >> FRACTION_BITS).astype(np.float32)
    noise = _noise().astype(np.float32)
    found = []
    for start in range(0, len(tastes.lengths), _AT_A_TIME):
        rows = range(start, min(start + _AT_A_TIME, len(tastes.lengths)))
        wants = tastes.wants[rows.start : rows.stop] >> FRACTION_BITS - _TASTE_BITS
        utilities = exact_product(wants, of_tracks, np.float32)
        utilities += popularity
        utilities += noise[rng.integers(0, _QUANTILES, size=utilities.shape, dtype=np.uint16)]
        for row, of_playlist in zip(rows, utilities, strict=True):
            length = min(int(tastes.lengths[row]), len(tracks.artist))
            found.append(_fill(of_playlist, length, int(tastes.loyalty[row]), tracks, rng))
    return found


def _fill(utility: np.ndarray, length: int, loyalty: int, tracks: Tracks, rng: np.random.Generator) -> list[int]:
    best = iter(_best(utility, length))
    loyal, kind, which, album = rng.integers(0, ONE, size=(4, length)).tolist()
    entries: list[int] = []
    first_of: dict[int, int] = {}
    taken: set[int] = set()
    ranked: dict[int, list[int]] = {}
    for step in range(length):
        row = None
        if step and loyal[step] < loyalty:
            earlier = entries if kind[step] < _ANY_ENTRY else list(first_of.values())
            beside = earlier[which[step] * len(earlier) >> FRACTION_BITS]
            artist = int(tracks.artist[beside])
            if artist not in ranked:
                ranked[artist] = _by_utility(utility, int(tracks.first[artist]), int(tracks.first[artist + 1]))
            left = [each for each in ranked[artist] if each not in taken]
            if album[step] < _SAME_ALBUM:
                left = [each for each in left if tracks.album[each] == tracks.album[beside]] or left
            row = left[0] if left else None
        if row is None:
            row = next(each for each in best if each not in taken)
        entries.append(row)
        taken.add(row)
        first_of.setdefault(int(tracks.artist[row]), row)
    return entries


def _best(utility: np.ndarray, n: int) -> list[int]:
    """Return the n rows of the largest utilities by falling utility; of equal ones the first."""
    least = np.partition(utility, len(utility) - n)[len(utility) - n]
    rows = np.flatnonzero(utility >= least)
    best: list[int] = rows[np.argsort(-utility[rows], kind="stable")][:n].tolist()
    return best


def _by_utility(utility: np.ndarray, start: int, stop: int) -> list[int]:
    values = utility[start:stop].tolist()
    return sorted(range(start, stop), key=lambda row: -values[row - start])


@cache
def _noise() -> np.ndarray:
    """Return quantiles of the Gumbel distribution, in the unit of utilities."""
    return table(lambda i: -(-((2 * i + 1) * _HALF_STEP).ln()).ln(), range(_QUANTILES), unit=_UTILITY)
