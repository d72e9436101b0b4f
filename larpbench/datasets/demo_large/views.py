"""The two views of the tracks of `demo-large`: vectors such as an encoder of text or of audio gives.

A view mixes a track's theme, its artist and what is its own, by a fixed random network of one layer. All vectors share
a constant, as those of real encoders do, so that centring them gains something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from larpbench.datasets.demo.fixed_point import FRACTION_BITS, ONE, exact_product, normal, root, tanh, times, unit
from larpbench.datasets.demo.latents import stream
from larpbench.datasets.demo_large.tracks import THEME_DIM, Purpose

OWN_DIM = 160
HIDDEN_DIM = 1024
_GAIN = ONE * 16 // 10
_OFFSET = ONE // 2
_STEP_BITS = FRACTION_BITS - 10  # vectors are rounded to multiples of 2 ** -10, which float16 holds exactly
_AT_A_TIME = 2000


@dataclass(frozen=True)
class ViewSpec:
    """How a view mixes its causes.

    Attributes:
        dim: Numbers a track.
        theme: Weight of the track's theme.
        artist: Weight of the artist.
        own: Weight of what belongs to the track alone.
        constant: Length of what all vectors share; their mean length without it is 1.
    """

    dim: int
    theme: int
    artist: int
    own: int
    constant: int


VIEW_SPECS = {
    "text-like": ViewSpec(384, ONE * 6 // 10, ONE * 9 // 10, ONE * 11 // 10, ONE * 11 // 10),
    "audio-like": ViewSpec(512, ONE * 6 // 10, ONE * 4 // 10, ONE * 14 // 10, ONE * 8 // 10),
}


def draw_view(
    seed: int, name: str, theme: np.ndarray, artist: np.ndarray, specs: Mapping[str, ViewSpec] = VIEW_SPECS
) -> np.ndarray:
    """Return what one view sees of the tracks.

    Args:
        seed: The world's seed.
        name: Which view, of `specs`.
        theme: int64, (n, THEME_DIM), rows of length ONE.
        artist: int64, (n,), numbers of artists from 0.
        specs: All views of the world.

    Returns:
        float16, (n, dim), multiples of 2 ** -10.
    """
    spec, place = specs[name], list(specs).index(name)
    rng, own_rng = (stream(seed, Purpose.VIEW, place, part) for part in range(2))
    into = times(_GAIN, normal(rng, THEME_DIM + 2 * OWN_DIM, HIDDEN_DIM))
    shift = times(_OFFSET, normal(rng, HIDDEN_DIM))
    out = normal(rng, HIDDEN_DIM, spec.dim)
    constant = times(spec.constant, unit(normal(rng, 1, spec.dim)))
    artists = unit(normal(rng, int(artist.max()) + 1, OWN_DIM))
    weights = np.array([spec.theme, spec.artist, spec.own], dtype=np.int64)
    weights = weights * ONE // root(int(times(weights, weights).sum()))
    parts = []
    for start in range(0, len(theme), _AT_A_TIME):
        rows = slice(start, start + _AT_A_TIME)
        own = unit(normal(own_rng, len(theme[rows]), OWN_DIM))
        causes = [theme[rows], artists[artist[rows]], own]
        mixed = np.hstack([times(weight, cause) for weight, cause in zip(weights.tolist(), causes, strict=True)])
        hidden = tanh(_product(mixed, into) + shift) - tanh(shift)
        parts.append(_product(hidden, out))
    vectors = np.concatenate(parts)
    return _rounded(vectors * ONE // _mean_length(vectors) + constant)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return exact_product(a, b).astype(np.int64) >> FRACTION_BITS


def _mean_length(vectors: np.ndarray) -> int:
    squares = (vectors * vectors).sum(axis=1).tolist()
    return sum(root(square >> FRACTION_BITS) for square in squares) // max(1, len(squares))


def _rounded(vectors: np.ndarray) -> np.ndarray:
    steps = vectors + (1 << _STEP_BITS - 1) >> _STEP_BITS
    floats: np.ndarray = np.ldexp(steps.astype(np.float16), _STEP_BITS - FRACTION_BITS)
    return floats
