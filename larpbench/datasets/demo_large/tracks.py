"""Artists, albums and tracks of `demo-large`: what they are about, and how popular they are.

All numbers are integers on the grid of `larpbench.datasets.demo.fixed_point`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

import numpy as np

from larpbench.datasets.demo.fixed_point import ONE, interpolated, normal, pick, table, times, unit
from larpbench.datasets.demo.latents import stream

THEME_DIM = 32
GENRES = 24
NICHES = 320
MOST_TRACKS = 105
"""Of one artist."""

_SIZE_POWER = Decimal("1.42")  # the share of artists with n tracks or more is n ** -1.42
_GENRE_POWER = Decimal("0.7")
_NICHE_OF_GENRE = (75 * ONE // 100, 66 * ONE // 100)  # of the genre's direction, and of one of its own
_ARTIST_SPREAD = ONE // 2
_TRACK_SPREAD = ONE * 35 // 100
_POPULARITY_OF_ARTIST = ONE * 95 // 100
_POPULARITY_OF_SIZE = ONE * 33 // 100
_POPULARITY_OF_TRACK = ONE * 18 // 10
_POPULARITY = {"0": "0.001", "0.25": "0.01", "0.5": "0.2", "0.75": "3.2", "0.9": "42", "0.99": "600", "1": "2500"}
_NEW_ALBUM = ONE * 385 // 1000


class Purpose(IntEnum):
    """What a random stream is for. The numbers are part of the data set: never renumber."""

    GENRE = 101
    NICHE = 102
    ARTIST = 103
    TRACK = 104
    POPULARITY = 105
    ALBUM = 106
    PLAYLIST = 107
    FILLING = 108
    LEXICON = 109
    TITLE = 110
    ALBUM_NAME = 111
    ARTIST_NAME = 112
    TRACK_ID = 113
    PLAYLIST_ID = 114
    VIEW = 115


def fixed(number: str) -> int:
    """Return a decimal number on the grid."""
    return int(table(lambda _: Decimal(number), [0])[0])


def log_levels(levels: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a function that is linear between the logarithms of some levels.

    Args:
        levels: Argument -> level, both as decimal text; the arguments rise.

    Returns:
        Arguments and logarithms, int64.
    """
    at = np.array([fixed(each) for each in levels], dtype=np.int64)
    values = [Decimal(each) for each in levels.values()]
    return at, table(lambda i: values[int(i)].ln(), range(len(values)))


@dataclass(frozen=True)
class Themes:
    """What music is about.

    Attributes:
        genres: int64, (GENRES, THEME_DIM), rows of length ONE.
        niches: int64, (NICHES, THEME_DIM), rows of length ONE.
        genre_of: int64, (NICHES,), the genre of each niche.
        weights: int64, (NICHES,), how common each niche is.
    """

    genres: np.ndarray
    niches: np.ndarray
    genre_of: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Tracks:
    """All tracks that there might be; the arrays have one row a track unless they say otherwise.

    Attributes:
        artist: int64, (n,), numbers of artists, ascending.
        first: int64, (artists + 1,), artist a has the tracks ``first[a]`` to ``first[a + 1]``.
        album: int64, (n,), the row of the first track of the same album.
        theme: int64, (n, THEME_DIM), rows of length ONE.
        popularity: int64, (n,), natural logarithm of how often a track is taken whatever the playlist is about.
        niche: int64, (artists,), the niche of each artist.
    """

    artist: np.ndarray
    first: np.ndarray
    album: np.ndarray
    theme: np.ndarray
    popularity: np.ndarray
    niche: np.ndarray


def directions(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return (n, THEME_DIM) int64 of uniform directions, rows of length ONE."""
    return unit(normal(rng, n, THEME_DIM))


def draw_themes(seed: int) -> Themes:
    """Draw genres and niches.

    Args:
        seed: The world's seed.

    Returns:
        The themes.
    """
    genres = directions(stream(seed, Purpose.GENRE), GENRES)
    rng = stream(seed, Purpose.NICHE)
    genre_of = pick(rng, np.repeat(genre_weights()[None, :], NICHES, axis=0))
    of_genre, own = _NICHE_OF_GENRE
    niches = unit(times(of_genre, genres[genre_of]) + times(own, directions(rng, NICHES)))
    # In proportion to a draw from Dirichlet(2): each the sum of two exponential numbers.
    quantiles = table(lambda i: Decimal(2048).ln() - (2 * i + 1).ln(), range(1024))
    weights: np.ndarray = quantiles[rng.integers(0, 1024, size=(2, NICHES))].sum(axis=0)
    return Themes(genres, niches, genre_of, weights)


def genre_weights() -> np.ndarray:
    """Return (GENRES,) int64, how common each genre is."""
    return table(lambda rank: (-_GENRE_POWER * (rank + 2).ln()).exp(), range(GENRES))


def draw_tracks(seed: int, n_artists: int, themes: Themes) -> Tracks:
    """Draw artists and their tracks.

    Args:
        seed: The world's seed.
        n_artists: How many artists.
        themes: What they are about.

    Returns:
        The tracks, of which many will be in no playlist.
    """
    rng = stream(seed, Purpose.ARTIST)
    as_many = table(lambda n: (-_SIZE_POWER * n.ln()).exp(), range(1, MOST_TRACKS + 1), unit=n_artists)
    sizes = rng.permutation((as_many[:, None] > np.arange(n_artists)).sum(axis=0))
    niche = pick_one(rng, themes.weights, n_artists)
    about = unit(themes.niches[niche] + times(_ARTIST_SPREAD, directions(rng, n_artists)))
    artist = np.repeat(np.arange(n_artists), sizes)
    first = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    track_rng = stream(seed, Purpose.TRACK)
    theme = unit(about[artist] + times(_TRACK_SPREAD, directions(track_rng, len(artist))))
    popularity = _popularity(stream(seed, Purpose.POPULARITY), artist, sizes)
    return Tracks(artist, first, _albums(stream(seed, Purpose.ALBUM), first), theme, popularity, niche)


def pick_one(rng: np.random.Generator, weights: np.ndarray, n: int) -> np.ndarray:
    """Draw n numbers of things in proportion to their (k,) int64 weights; returns (n,) int64."""
    ends = np.cumsum(weights)
    found: np.ndarray = np.searchsorted(ends, rng.integers(0, ends[-1], size=n), side="right")
    return found


def _popularity(rng: np.random.Generator, artist: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Only the order of the scores counts: the popularity is a function of the rank."""
    log_size = table(lambda n: n.ln(), range(1, MOST_TRACKS + 1))[sizes - 1]
    of_artist = times(_POPULARITY_OF_ARTIST, normal(rng, len(sizes))) + times(_POPULARITY_OF_SIZE, log_size)
    scores = of_artist[artist] + times(_POPULARITY_OF_TRACK, normal(rng, len(artist)))
    rank = np.empty(len(artist), dtype=np.int64)
    rank[np.argsort(scores, kind="stable")] = np.arange(len(artist))
    return interpolated(rank * ONE // max(1, len(artist) - 1), *log_levels(_POPULARITY))


def _albums(rng: np.random.Generator, first: np.ndarray) -> np.ndarray:
    """A track opens an album, or is on that of an earlier track of its artist."""
    n = int(first[-1])
    opens = rng.integers(0, ONE, size=n) < _NEW_ALBUM
    earlier = rng.integers(0, ONE, size=n)
    start = np.repeat(first[:-1], first[1:] - first[:-1])
    beside = start + times(earlier, np.arange(n) - start)
    opens[first[:-1]] = True
    album = list(range(n))
    for row in np.flatnonzero(~opens).tolist():
        album[row] = album[beside[row]]
    return np.array(album, dtype=np.int64)
