"""The hidden causes behind the demo's tracks, and the two views (audio, text) that encoders get to see.

A track has a *theme* (what playlists are about), an *identity* (who made it) and one private noise a
modality. Each view mixes them; each sees one coordinate of the theme only faintly, a different one, so that
neither modality alone can tell everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

THEME_DIM = 4
IDENTITY_DIM = 8
PRIVATE_DIM = 6
MIXED_DIM = THEME_DIM + IDENTITY_DIM + PRIVATE_DIM

WEAKENED_GAIN = 0.3
"""What is left of the one theme coordinate that a view hears badly."""
IDENTITY_SPREAD = 0.3
"""Standard deviation of a track's identity around its artist's centre, whose own is 1."""
VIEW_NOISE = 0.1
"""Standard deviation of the noise added to a view; a view's values lie in about [-1, 1]."""


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


def stream(seed: int, purpose: Purpose, *index: int) -> np.random.Generator:
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
        float64, (n, THEME_DIM), rows of length 1.
    """
    points = rng.standard_normal((n, THEME_DIM))
    directions: np.ndarray = points / np.linalg.norm(points, axis=1, keepdims=True)
    return directions


@dataclass(frozen=True)
class Latents:
    """The hidden causes of one split's tracks; all arrays have one row a track.

    Attributes:
        theme: float64, (n, THEME_DIM), on the unit sphere.
        artist: int64, (n,), the artist's number within the split.
        identity: float64, (n, IDENTITY_DIM), close to the artist's centre.
        private_audio: float64, (n, PRIVATE_DIM), heard only; zero if the world has no private noise.
        private_text: float64, (n, PRIVATE_DIM), read only; zero if the world has no private noise.
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
        n_artists: Artists in the split; each gets about the same number of tracks.
        private_noise: Whether each modality has causes of its own, which playlists ignore.

    Returns:
        The latents.
    """
    artist = stream(seed, Purpose.ARTIST, split).permutation(np.arange(n_tracks) % n_artists)
    identity_rng = stream(seed, Purpose.IDENTITY, split)
    centres = identity_rng.standard_normal((n_artists, IDENTITY_DIM))
    own = identity_rng.standard_normal((n_tracks, IDENTITY_DIM))

    def private(purpose: Purpose) -> np.ndarray:
        return float(private_noise) * stream(seed, purpose, split).standard_normal((n_tracks, PRIVATE_DIM))

    return Latents(
        theme=on_sphere(stream(seed, Purpose.THEME, split), n_tracks),
        artist=artist,
        identity=centres[artist] + IDENTITY_SPREAD * own,
        private_audio=private(Purpose.PRIVATE_AUDIO),
        private_text=private(Purpose.PRIVATE_TEXT),
    )


def audio_view(seed: int, split: int, latents: Latents, dim: int) -> np.ndarray:
    """Return what can be heard of the latents.

    Args:
        seed: The world's seed.
        split: The split's number.
        latents: The split's latents.
        dim: Values a track.

    Returns:
        float64, (n, dim), in about [-1, 1].
    """
    mixing = stream(seed, Purpose.MIX_AUDIO)
    return _view(latents, latents.private_audio, 0, dim, mixing, stream(seed, Purpose.NOISE_AUDIO, split))


def text_view(seed: int, split: int, latents: Latents, dim: int) -> np.ndarray:
    """Return what can be read of the latents.

    Args:
        seed: The world's seed.
        split: The split's number.
        latents: The split's latents.
        dim: Values a track.

    Returns:
        float64, (n, dim), in about [-1, 1].
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
    gain = np.ones(THEME_DIM)
    gain[weakened] = WEAKENED_GAIN
    # The three causes weigh the same: each block has an expected squared length of about 4.
    causes = np.hstack(
        [
            2 * gain * latents.theme,
            2 * latents.identity / np.sqrt(IDENTITY_DIM),
            2 * private / np.sqrt(PRIVATE_DIM),
        ]
    )
    mixture = mixing.standard_normal((MIXED_DIM, dim)) / np.sqrt(MIXED_DIM)
    view: np.ndarray = np.tanh(causes @ mixture)
    return view + VIEW_NOISE * noise.standard_normal((len(causes), dim))
