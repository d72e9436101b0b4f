"""Weighted matrix factorisation: what playlists and tracks are like by the company they keep (WMF, iALS).

Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets":

    sum over all u, i of c_ui (r_ui - x_u . y_i)^2 + l2 (sum of |x_u|^2 + sum of |y_i|^2),   c_ui = 1 + alpha r_ui

solved by exact alternating least squares. It says nothing of cold tracks: it is what other recommenders map content to.
LARP's own code descends a gradient instead, on one sampled negative an entry; the closed form needs no step size.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field

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
_REMEMBERED, _REMEMBERED_LARGE = 8, 2  # at a million playlists and two million tracks one takes 0.8 GB
_ONE_THREAD_ENTRIES = 2**18
_SMALL_ROWS = 2**18
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

    They do not depend on the encoder, so the last few are remembered.

    Args:
        train: The train data; its embeddings are not looked at.
        params: With ``wmf_l2`` and ``wmf_alpha``.
        seed: Drives the start.
    """
    playlists = train.interactions
    digest = hashlib.sha256(playlists.offsets.tobytes() + playlists.tracks.tobytes()).hexdigest()
    shape = (len(playlists), len(train.embeddings))
    problem = _Factorisation(digest, shape, params["wmf_l2"], params["wmf_alpha"], seed, playlists)
    return (_small if sum(shape) <= _SMALL_ROWS else _large)(problem)


def factor_seconds(entries: int, rows: int) -> float:
    """Return roughly how many CPU seconds `train_factors` takes, see `LearnedRecommender.fit_seconds`."""
    return entries * _PER_ENTRY + rows * _PER_ROW


@dataclass(frozen=True)
class _Factorisation:
    digest: str
    shape: tuple[int, int]
    l2: float
    alpha: float
    seed: int
    playlists: Interactions = field(compare=False, repr=False)


def _factors(problem: _Factorisation) -> Factors:
    playlists = problem.playlists
    values = np.full(len(playlists.tracks), 1.0 + problem.alpha, dtype=np.float32)
    confidence = sparse.csr_matrix((values, playlists.tracks, playlists.offsets), shape=problem.shape)
    generator = np.random.default_rng(problem.seed)
    start = generator.random((problem.shape[1], FACTORS), dtype=np.float32) * _START_SCALE
    threads = 1 if len(values) <= _ONE_THREAD_ENTRIES else 0  # it is done before others have started
    return alternating_least_squares(confidence, start, problem.l2, threads=threads)


_small = functools.lru_cache(maxsize=_REMEMBERED)(_factors)
_large = functools.lru_cache(maxsize=_REMEMBERED_LARGE)(_factors)
