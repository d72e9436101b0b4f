"""Triplets: anchors and positives are the ends of edges, negatives are drawn from all other artists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

_SMALLEST = 1e-12
_MOST_DRAWS = 100


@dataclass(frozen=True)
class Triplets:
    """Both ends of each edge are anchors, the other end the positive.

    Attributes:
        ends: (2, e) int64.
        negatives: (2, e) int64; of each end, one that is neither it nor a neighbour of it.
    """

    ends: torch.Tensor
    negatives: torch.Tensor

    def to(self, device: str) -> Triplets:
        """Return the same triplets on a device."""
        return Triplets(self.ends.to(device), self.negatives.to(device))


class TripletSampler:
    """Draws triplets from the edges among some artists.

    Args:
        pairs: (e, 2) int64 undirected edges, each once.
        n_artists: Artists that negatives are drawn from: 0 .. n - 1.
    """

    def __init__(self, pairs: np.ndarray, n_artists: int) -> None:
        self._pairs, self._n = pairs, n_artists
        both = np.concatenate([pairs, pairs[:, ::-1]])
        own = np.arange(n_artists)
        self._taken = np.unique(np.concatenate([both[:, 0] * n_artists + both[:, 1], own * n_artists + own]))
        # An artist who is similar to all others has no negative; such ends are left out.
        free = n_artists - 1 - np.bincount(both[:, 0], minlength=n_artists)
        self._usable = np.flatnonzero((free[pairs] > 0).all(axis=1))

    def edges_drawn(self, triplets: int | None) -> int:
        """Return how many edges as many triplets take."""
        return len(self._usable) if triplets is None else min(max(triplets // 2, 1), len(self._usable))

    def draw(self, generator: np.random.Generator, triplets: int | None) -> Triplets:
        """Return as many triplets, two an edge; None for all.

        Args:
            generator: Where randomness comes from.
            triplets: How many; edges are drawn without replacement.
        """
        chosen = self._usable
        if (wanted := self.edges_drawn(triplets)) < len(chosen):
            chosen = generator.choice(chosen, size=wanted, replace=False)
        ends = np.ascontiguousarray(self._pairs[chosen].T)
        return Triplets(torch.from_numpy(ends), torch.from_numpy(self._negatives(ends, generator)))

    def _negatives(self, anchors: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        negatives = generator.integers(self._n, size=anchors.shape)
        for _ in range(_MOST_DRAWS):
            again = self._is_taken(anchors, negatives)
            if not again.any():
                return negatives
            negatives[again] = generator.integers(self._n, size=int(again.sum()))
        for place in np.argwhere(self._is_taken(anchors, negatives)):  # almost everybody is a neighbour: look it up
            row = anchors[tuple(place)] * self._n
            free = np.setdiff1d(np.arange(self._n), self._taken[np.searchsorted(self._taken, [row])[0] :] - row)
            negatives[tuple(place)] = generator.choice(free)
        return negatives

    def _is_taken(self, anchors: np.ndarray, others: np.ndarray) -> np.ndarray:
        keys = anchors * self._n + others
        places = np.searchsorted(self._taken, keys).clip(max=len(self._taken) - 1)
        return self._taken[places] == keys


def triplet_loss(vectors: torch.Tensor, triplets: Triplets, margin: float) -> torch.Tensor:
    """Return the mean of max(0, d(anchor, positive) - d(anchor, negative) + margin), d the Euclidean distance.

    For vectors of length 1, d(u, v)^2 = 2 - 2 u.v; and the positive distance of an edge is that of both its ends.

    Args:
        vectors: (n, k) float32 of length 1.
        triplets: Rows of `vectors`.
        margin: Of the loss.
    """
    sides = [vectors.index_select(0, ends) for ends in triplets.ends]
    positive = _distance(*sides)
    losses = [
        torch.relu(positive - _distance(side, vectors.index_select(0, negatives)) + margin)
        for side, negatives in zip(sides, triplets.negatives, strict=True)
    ]
    return torch.stack(losses).mean()


def _distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (2 - 2 * (one * other).sum(dim=1)).clamp(min=_SMALLEST).sqrt()
