"""Contrast with all train tracks: one softmax, and as many positives a row as there are (equations 19 and 25)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Entries:
    """Places in a matrix.

    Attributes:
        rows: (k,) int64.
        columns: (k,) int64.
    """

    rows: Tensor
    columns: Tensor


def multi_positive(
    logits: Tensor,
    positives: Entries,
    excluded: Entries | None = None,
    log_probability: Tensor | None = None,
) -> Tensor:
    """Return the cross entropy of the softmax of each row with a target spread evenly over its positives; the mean.

    Args:
        logits: (n, m) float32, similarity by temperature.
        positives: At least one in each row.
        excluded: Places that are no candidates; none of them a positive.
        log_probability: (m,) float32, of the candidates that were drawn, the logarithm of the probability to be so. The
            sum over them, each divided by that probability, is an unbiased estimate of the sum over all (Bengio &
            Senecal 2008, Adaptive importance sampling to accelerate training of a neural probabilistic language model).
    """
    n = len(logits)
    shares = 1.0 / torch.bincount(positives.rows, minlength=n).to(logits.dtype)
    attraction = (logits[positives.rows, positives.columns] * shares[positives.rows]).sum() / n
    if log_probability is not None:
        logits = logits - log_probability
    if excluded is not None:
        nothing = torch.full((), -torch.inf, dtype=logits.dtype, device=logits.device)
        logits = logits.index_put((excluded.rows, excluded.columns), nothing)
    return torch.logsumexp(logits, dim=1).mean() - attraction


def draw_candidates(
    n_tracks: int, required: np.ndarray, most: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the tracks to contrast with, and the logarithms of the probabilities with which they were drawn.

    Args:
        n_tracks: How many there are; all are returned if they are no more than `most`.
        required: (k,) int64, tracks that must be there; they have probability 1.
        most: Candidates; more where the required ones leave no quarter of them for others.
        draw: Source of the draws.

    Returns:
        (m,) int64, ascending; and (m,) float32, None where nothing was drawn.
    """
    if n_tracks <= most:
        return np.arange(n_tracks), None
    needed = np.zeros(n_tracks, dtype=bool)
    needed[required] = True
    others = np.flatnonzero(~needed)
    count = min(max(most - (n_tracks - len(others)), most // 4), len(others))
    drawn = draw.choice(others, count, replace=False, shuffle=False)
    logs = np.zeros(n_tracks, dtype=np.float32)
    logs[drawn] = np.log(count / len(others)) if count else 0.0
    needed[drawn] = True
    tracks = np.flatnonzero(needed)
    return tracks, logs[tracks]


def thin(rows: np.ndarray, most: int, draw: np.random.Generator) -> np.ndarray:
    """Return which entries to keep, (k,) bool: at most so many of each row, drawn evenly.

    Args:
        rows: (k,) int64.
        most: Entries a row.
        draw: Source of the draws.
    """
    order = np.lexsort((draw.random(len(rows)), rows))
    sizes = np.bincount(rows)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = np.zeros(len(rows), dtype=bool)
    kept[order[within < most]] = True
    return kept
