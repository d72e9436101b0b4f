"""Are two encoders different, or is it chance? Paired tests over the same playlists (protocol rule 12).

All functions take means over seeds, one number a playlist: seeds of one encoder are no independent playlists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from larpbench.evaluation.statistics import difference_interval, difference_intervals

FLIPS = 10_000
ALPHA = 0.05
_LONG_RUN = 4
_FLIPPING_SEED = 20_240_826
_CHUNK_NUMBERS = 8_000_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparison:
    """The difference of two encoders on the same playlists.

    Attributes:
        difference: Mean of the first less mean of the second.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        p: Of the two-sided paired randomisation test.
        effect_size: Mean difference over the standard deviation of the differences (Cohen's d of paired values).
    """

    difference: float
    low: float
    high: float
    p: float
    effect_size: float


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two encoders.

    Args:
        first: (p,) float64, the first one's values on the playlists.
        second: (p,) float64, the second one's values on the same playlists.
    """
    differences = first - second
    low, high = difference_interval(differences)
    mean, effect = _effect(differences)
    return Comparison(mean, low, high, float(randomisation_test(differences[None])[0]), effect)


def compare_all(values: np.ndarray) -> tuple[np.ndarray, list[Comparison]]:
    """Compare all pairs of encoders; each comparison is what `compare` returns for it.

    Args:
        values: (encoders, p) float64, each row one encoder's values on the same playlists.

    Returns:
        (pairs, 2) int, which two rows, and one comparison a pair, its p-value not adjusted.
    """
    pairs = np.stack(np.triu_indices(len(values), k=1), axis=1)
    if not len(pairs):
        return pairs, []
    lows, highs = difference_intervals(values, pairs)
    p_values = randomisation_test(values, pairs)
    found = []
    for (one, other), low, high, p in zip(pairs, lows, highs, p_values, strict=True):
        mean, effect = _effect(values[one] - values[other])
        found.append(Comparison(mean, float(low), float(high), float(p), effect))
    return pairs, found


def _effect(differences: np.ndarray) -> tuple[float, float]:
    """Return the mean difference, and that over the standard deviation."""
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    mean = float(differences.mean())
    return mean, mean / spread if spread > _ROUNDING else 0.0


def randomisation_test(values: np.ndarray, pairs: np.ndarray | None = None) -> np.ndarray:
    """Return two-sided p-values of paired randomisation tests (Fisher 1935; Smucker, Allan & Carterette 2007).

    If two encoders are alike, each playlist's difference d might as well have the other sign. The p-value is the share
    of 10,000 seeded random sign patterns, the observed one counted in, whose mean is at least as far from 0:
    p = (1 + count) / (1 + 10,000), so never 0 (Phipson & Smyth 2010). The share of *all* sign patterns is never above
    2 exp(-(sum d)^2 / (2 sum d^2)) (Hoeffding 1963); where that is smaller than 10,000 patterns can tell, it is taken:
    corrected for the pairs of a table with many rows, 1 / 10,001 could never be significant.

    Args:
        values: (m, p) float64, each row the differences of two encoders; with `pairs`, the values of one.
        pairs: (comparisons, 2) int, which two rows of `values` differ; signs are then drawn once for all of them.

    Returns:
        (m,) or (comparisons,) float64 in (0, 1].
    """
    generator = np.random.default_rng(_FLIPPING_SEED)
    sizes = np.abs(values).sum(axis=1)
    observed, scale = values.sum(axis=1), np.maximum(sizes, 1e-300)
    if pairs is not None:
        observed, scale = observed[pairs[:, 0]] - observed[pairs[:, 1]], np.maximum(sizes[pairs].sum(axis=1), 1e-300)
    # Sums that differ by rounding only are equal: a flip of all signs must count.
    least = np.abs(observed) - _ROUNDING * scale
    count = np.zeros(len(least), dtype=np.int64)
    chunk = max(1, _CHUNK_NUMBERS // max(values.shape[1], len(least)))
    for start in range(0, FLIPS, chunk):
        rows = min(chunk, FLIPS - start)
        signs = generator.integers(2, size=(rows, values.shape[1])) * 2.0 - 1.0
        sums = signs @ values.T
        if pairs is not None:
            sums = sums[:, pairs[:, 0]] - sums[:, pairs[:, 1]]
        count += (np.abs(sums) >= least).sum(axis=0)
    z_squared = observed**2 / np.maximum(_squares(values, pairs), 1e-300)
    return np.minimum((1 + count) / (1 + FLIPS), 2 * np.exp(-z_squared / 2))


def _squares(values: np.ndarray, pairs: np.ndarray | None) -> np.ndarray:
    """Return the sum of the squared differences of each comparison."""
    if pairs is None:
        return np.square(values).sum(axis=1)
    found = np.empty(len(pairs))
    chunk = max(1, _CHUNK_NUMBERS // values.shape[1])
    for start in range(0, len(pairs), chunk):
        one, other = pairs[start : start + chunk].T
        found[start : start + chunk] = np.square(values[one] - values[other]).sum(axis=1)
    return found


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for their number (Holm 1979): those at most 0.05 keep the family-wise rate at 5 %.

    Sorted ascending, the i-th of m is multiplied by m - i + 1, made monotone, and cut at 1.

    Args:
        p_values: (m,) float64.

    Returns:
        (m,) float64, in the order given.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def adjusted_p_values(values: np.ndarray) -> np.ndarray:
    """Return Holm-adjusted p-values of all pairs of encoders.

    Args:
        values: (encoders, p) float64, each row one encoder's values on the same playlists.

    Returns:
        (encoders, encoders) float64, symmetric, with 1 on the diagonal.
    """
    one, other = np.triu_indices(len(values), k=1)
    table = np.ones((len(values), len(values)))
    if len(one):
        table[one, other] = table[other, one] = holm(randomisation_test(values, np.stack([one, other], axis=1)))
    return table


def indistinguishable_groups(values: np.ndarray, alpha: float = ALPHA) -> list[list[int]]:
    """Return the groups that each encoder is in: those that share one cannot be told apart.

    A compact letter display by insertion and absorption (Piepho 2004): two rows share a group if, and only if, their
    adjusted p-value is above alpha. 0 is the group of the best; `letters` writes them down.

    Args:
        values: (encoders, p) float64, each row one encoder's values on the same playlists.
        alpha: Family-wise error rate.
    """
    best_first = np.argsort(-values.mean(axis=1), kind="stable")
    apart = adjusted_p_values(values[best_first]) <= alpha
    groups = [frozenset(range(len(values)))]
    for one, other in zip(*np.nonzero(np.triu(apart)), strict=True):
        split = [part for group in groups for part in _without(group, int(one), int(other))]
        groups = [part for part in dict.fromkeys(split) if not any(part < larger for larger in split)]
    groups.sort(key=sorted)
    member_of: list[list[int]] = [[] for _ in values]
    for number, group in enumerate(groups):
        for row in group:
            member_of[best_first[row]].append(number)
    return member_of


def letters(groups: Sequence[int]) -> str:
    """Return groups as letters, such as ``abd``; four or more in a row as ``c-h``, then with spaces between the parts.

    Args:
        groups: Numbers of groups, ascending.
    """
    runs: list[list[int]] = []
    for number in groups:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [
        f"{_letter(run[0])}-{_letter(run[-1])}" if len(run) >= _LONG_RUN else "".join(map(_letter, run)) for run in runs
    ]
    return (" " if any("-" in part for part in parts) else "").join(parts)


def _without(group: frozenset[int], one: int, other: int) -> Sequence[frozenset[int]]:
    return (group - {other}, group - {one}) if {one, other} <= group else (group,)


def _letter(number: int) -> str:
    """Return a, b, .., z, a1, b1, ..: one name for each group."""
    round_, place = divmod(number, 26)
    return chr(ord("a") + place) + (str(round_) if round_ else "")
