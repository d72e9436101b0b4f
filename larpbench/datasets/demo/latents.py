"""The hidden causes behind the demo's tracks, and the two views (audio, text) that encoders get to see.

A track has a *theme* (what playlists are about), an *identity* (who made it) and one private noise a
modality. Each view mixes them; each sees one coordinate of the theme only faintly, a different one, so that
neither modality alone can tell everything. All numbers are integers on the grid of `fixed_point`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from larpbench.datasets.demo.fixed_point import ONE, matrix_product, normal, root, table, tanh, times, unit

THEME_DIM = 4
IDENTITY_DIM = 8
PRIVATE_DIM = 6
MIXED_DIM = THEME_DIM + IDENTITY_DIM + PRIVATE_DIM

WEAKENED_GAIN = ONE * 3 // 10
"""Gain of the one theme coordinate that is weak in a view."""
IDENTITY_SPREAD = ONE * 3 // 10
"""Standard deviation of a track's identity around its artist's centre, whose own is 1."""
VIEW_NOISE = ONE // 10
"""Standard deviation of the noise added to a view; a view's values lie in about [-1, 1]."""

_SIZE_OFFSET = 3  # the numbers of tracks of artists fall as 1 / (rank + this)


class Purpose(IntEnum):
    """What a random stream is for. The numbers are part of the data set: never renumber."""

    THEME = 1
    ARTIST = 2
    IDENTITY = 3
    PRIVATE_AUDIO = 4
    PRIVATE_TEXT = 5
    MIX_AUDIO = 6
    MIX_TEXT = 7
    NOISE_AUDIO = 8
    NOISE_TEXT = 9
    LEXICON = 10
    ARTIST_NAME = 11
    ALBUM = 12
    TITLE = 13
    TRACK_ID = 14
    PLAYLIST = 15
    PLAYLIST_ID = 16


def stream(seed: int, purpose: IntEnum, *index: int) -> np.random.Generator:
    """Return the random stream of one purpose, so that no draw depends on the order of the calls.

    Args:
        seed: The world's seed.
        purpose: What the numbers are for.
        *index: What they are for within the purpose, such as a split and a row.

    Returns:
        A fresh generator.
    """
    return np.random.default_rng([seed, int(purpose), *index])


def on_sphere(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw directions uniformly from the sphere of themes.

    Args:
        rng: Source of randomness.
        n: How many.

    Returns:
        int64, (n, THEME_DIM), rows of length ONE.
    """
    return unit(normal(rng, n, THEME_DIM))


@dataclass(frozen=True)
class Latents:
    """The hidden causes of one split's tracks; all arrays have one row a track.

    Attributes:
        theme: int64, (n, THEME_DIM), on the sphere of radius ONE.
        artist: int64, (n,), the artist's number within the split.
        identity: int64, (n, IDENTITY_DIM), close to the artist's centre.
        private_audio: int64, (n, PRIVATE_DIM), in the audio only; zero if the world has no private noise.
        private_text: int64, (n, PRIVATE_DIM), in the text only; zero if the world has no private noise.
    """

    theme: np.ndarray
    artist: np.ndarray
    identity: np.ndarray
    private_audio: np.ndarray
    private_text: np.ndarray


def draw_latents(seed: int, split: int, n_tracks: int, n_artists: int, private_noise: bool) -> Latents:
    """Draw the hidden causes of one split's tracks.

    Args:
        seed: The world's seed.
        split: The split's number.
        n_tracks: Tracks in the split.
        n_artists: Artists in the split; most have one track, a few have many.
        private_noise: Whether each modality has causes of its own, which playlists ignore.

    Returns:
        The latents.
    """
    sizes = artist_sizes(n_tracks, n_artists)
    artist = stream(seed, Purpose.ARTIST, split).permutation(np.repeat(np.arange(n_artists), sizes))
    identity_rng = stream(seed, Purpose.IDENTITY, split)
    centres = normal(identity_rng, n_artists, IDENTITY_DIM)
    own = normal(identity_rng, n_tracks, IDENTITY_DIM)

    def private(purpose: Purpose) -> np.ndarray:
        return int(private_noise) * normal(stream(seed, purpose, split), n_tracks, PRIVATE_DIM)

    return Latents(
        theme=on_sphere(stream(seed, Purpose.THEME, split), n_tracks),
        artist=artist,
        identity=centres[artist] + times(IDENTITY_SPREAD, own),
        private_audio=private(Purpose.PRIVATE_AUDIO),
        private_text=private(Purpose.PRIVATE_TEXT),
    )


def artist_sizes(n_tracks: int, n_artists: int) -> np.ndarray:
    """Share tracks among artists as in real playlists: three in five have one, and a tenth has nearly half of all.

    Args:
        n_tracks: Tracks, at least as many as artists.
        n_artists: Artists.

    Returns:
        int64, (n_artists,), none 0.
    """
    large = -(-2 * n_artists // 5)
    weights = table(lambda rank: (-(rank + _SIZE_OFFSET).ln()).exp(), range(large))
    ends = np.cumsum(weights) * (n_tracks - n_artists) // int(weights.sum())
    sizes = np.full(n_artists, 1, dtype=np.int64)
    sizes[:large] += np.diff(ends, prepend=0)
    return sizes


def audio_view(seed: int, split: int, latents: Latents, dim: int) -> np.ndarray:
    """Return the audio view of the latents.

    Args:
        seed: The world's seed.
        split: The split's number.
        latents: The split's latents.
        dim: Values a track.

    Returns:
        int64, (n, dim), from about -ONE to ONE.
    """
    mixing = stream(seed, Purpose.MIX_AUDIO)
    return _view(latents, latents.private_audio, 0, dim, mixing, stream(seed, Purpose.NOISE_AUDIO, split))


def text_view(seed: int, split: int, latents: Latents, dim: int) -> np.ndarray:
    """Return the text view of the latents.

    Args:
        seed: The world's seed.
        split: The split's number.
        latents: The split's latents.
        dim: Values a track.

    Returns:
        int64, (n, dim), from about -ONE to ONE.
    """
    mixing = stream(seed, Purpose.MIX_TEXT)
    return _view(latents, latents.private_text, 1, dim, mixing, stream(seed, Purpose.NOISE_TEXT, split))


def _view(
    latents: Latents,
    private: np.ndarray,
    weakened: int,
    dim: int,
    mixing: np.random.Generator,
    noise: np.random.Generator,
) -> np.ndarray:
    gain = np.full(THEME_DIM, ONE)
    gain[weakened] = WEAKENED_GAIN
    # The three causes weigh the same: each block has an expected squared length of about 4.
    causes = np.hstack(
        [
            2 * times(gain, latents.theme),
            2 * ONE * latents.identity // root(IDENTITY_DIM * ONE),
            2 * ONE * private // root(PRIVATE_DIM * ONE),
        ]
    )
    mixture = ONE * normal(mixing, MIXED_DIM, dim) // root(MIXED_DIM * ONE)
    view: np.ndarray = tanh(matrix_product(causes, mixture)) + times(VIEW_NOISE, normal(noise, len(causes), dim))
    return view
