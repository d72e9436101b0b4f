"""Weighted matrix factorisation: what playlists and tracks are like by the company they keep (WMF, iALS).

Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets":

    sum over all u, i of c_ui (r_ui - x_u . y_i)^2 + l2 (sum of |x_u|^2 + sum of |y_i|^2),   c_ui = 1 + alpha r_ui

solved by exact alternating least squares. It says nothing of cold tracks: it is what other recommenders map content to.
LARP's own code descends a gradient instead, on one sampled negative an entry; the closed form needs no step size.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import SearchSpace, TrainData

FACTORS = 64
ITERATIONS = 15
WMF_SPACE: SearchSpace = {"wmf_l2": (0.1, 1.0, 10.0), "wmf_alpha": (40.0, 10.0)}
"""Trial 0: the L2 of LARP (appendix B.2.2), which names no alpha, and the alpha of Hu et al."""
_START_SCALE = 0.01
_REMEMBERED_BYTES, _LEAST_REMEMBERED = 2**29, 2  # at a million playlists and two million tracks one takes 0.8 GB
_ONE_THREAD_ENTRIES = 2**18
_PER_ENTRY, _PER_ROW = 1.8e-5, 1.1e-4


@dataclass(frozen=True)
class Factors:
    """A factorisation.

    Attributes:
        playlists: (p, k), the x_u.
        tracks: (n, k), the y_i.
    """

    playlists: np.ndarray
    tracks: np.ndarray

    @property
    def nbytes(self) -> int:
        """What both take in memory."""
        return self.playlists.nbytes + self.tracks.nbytes


def alternating_least_squares(
    confidence: sparse.csr_matrix, start: np.ndarray, l2: float, iterations: int = ITERATIONS, threads: int = 0
) -> Factors:
    """Factorise; each iteration solves for the playlists, then for the tracks.

    Args:
        confidence: (p, n), 1 + alpha r at the observed entries. The library would take a bare alpha r as the whole
            confidence, so the 1 is added here and its own alpha is 1.
        start: (n, k) track factors to begin with; their dtype is that of the solution.
        l2: Weight of the squared lengths, plain: not scaled by counts.
        iterations: How many.
        threads: How many; 0 for all cores.

    Returns:
        Factors of the dtype of `start`; the same to the bit for any number of threads.
    """
    from implicit.cpu.als import AlternatingLeastSquares

    # One BLAS thread: the library runs threads of its own, and both together are many times slower.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=start.shape[1],
            regularization=l2,
            alpha=1.0,
            dtype=start.dtype,
            use_cg=False,
            iterations=iterations,
            num_threads=threads,
            random_state=0,
        )
        model.item_factors = start.copy()
        model.fit(confidence, show_progress=False)
    return Factors(np.asarray(model.user_factors), np.asarray(model.item_factors))


def train_factors(train: TrainData, params: dict[str, float], seed: int) -> Factors:
    """Return the factors of the train playlists, (p, 64) and (n, 64) float32.

    They do not depend on the encoder, so those used last are remembered: as many as take half a GB, and at least two.

    Args:
        train: The train data; its embeddings are not looked at.
        params: With ``wmf_l2`` and ``wmf_alpha``.
        seed: Drives the start.
    """
    problem = Problem(
        train.once(_digest), len(train.interactions), len(train.embeddings), params["wmf_l2"], params["wmf_alpha"], seed
    )
    return _remembered.of(problem, lambda: _factors(problem, train.interactions))


def kept_factors(rows: int) -> int:
    """Return how many factorisations of so many playlists and tracks are remembered."""
    return max(_LEAST_REMEMBERED, _REMEMBERED_BYTES // (rows * FACTORS * 4))


def different_factors(fits: int) -> float:
    """Return how many factorisations so many fits of one seed need, as their parameters are drawn from `WMF_SPACE`."""
    pairs = math.prod(len(values) for values in WMF_SPACE.values())
    return pairs * (1 - (1 - 1 / pairs) ** fits)


def factor_seconds(entries: int, rows: int) -> float:
    """Return roughly how many CPU seconds `train_factors` takes, see `LearnedRecommender.fit_seconds`."""
    return entries * _PER_ENTRY + rows * _PER_ROW


@dataclass(frozen=True)
class Problem:
    """What a factorisation depends on.

    Attributes:
        digest: Of the train playlists.
        playlists: Their number.
        tracks: Number of train tracks.
        l2: Weight of the squared lengths.
        alpha: Weight of the observed entries.
        seed: Drives the start.
    """

    digest: str
    playlists: int
    tracks: int
    l2: float
    alpha: float
    seed: int


class Remembered:
    """Factorisations that may be asked for again. Fits run side by side: each is computed by one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Problem, Factors] = OrderedDict()
        self._making: dict[Problem, threading.Lock] = {}

    def of(self, problem: Problem, make: Callable[[], Factors]) -> Factors:
        """Return the factors of a problem, by `make` if they are not remembered."""
        with self._lock:
            making = self._making.setdefault(problem, threading.Lock())
        try:
            with making:
                if (found := self._found(problem)) is None:
                    found = make()
                    self._keep(problem, found)
        finally:
            with self._lock:
                self._making.pop(problem, None)
        return found

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()

    def _found(self, problem: Problem) -> Factors | None:
        with self._lock:
            if problem in self._kept:
                self._kept.move_to_end(problem)
            return self._kept.get(problem)

    def _keep(self, problem: Problem, factors: Factors) -> None:
        with self._lock:
            self._kept[problem] = factors
            while (
                len(self._kept) > _LEAST_REMEMBERED and sum(e.nbytes for e in self._kept.values()) > _REMEMBERED_BYTES
            ):
                self._kept.popitem(last=False)


_remembered = Remembered()


def _digest(train: TrainData) -> str:
    playlists = train.interactions
    return hashlib.sha256(playlists.offsets.tobytes() + playlists.tracks.tobytes()).hexdigest()


def _factors(problem: Problem, playlists: Interactions) -> Factors:
    values = np.full(len(playlists.tracks), 1.0 + problem.alpha, dtype=np.float32)
    shape = (problem.playlists, problem.tracks)
    confidence = sparse.csr_matrix((values, playlists.tracks, playlists.offsets), shape=shape)
    generator = np.random.default_rng(problem.seed)
    start = generator.random((problem.tracks, FACTORS), dtype=np.float32) * _START_SCALE
    threads = 1 if len(values) <= _ONE_THREAD_ENTRIES else 0  # it is done before others have started
    return alternating_least_squares(confidence, start, problem.l2, threads=threads)
