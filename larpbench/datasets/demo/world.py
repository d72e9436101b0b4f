"""The demo's world: tracks with words and sound controls, playlists, and the vectors that drew them.

It is computed in integers, on the grid of `larpbench.datasets.demo.fixed_point`, so that it is the same on every CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench.datasets.demo.fixed_point import (
    FRACTION_BITS,
    ONE,
    as_float32,
    gumbel,
    largest_first,
    matrix_product,
    normal,
    pick,
    root,
    times,
)
from larpbench.datasets.demo.latents import (
    THEME_DIM,
    Latents,
    Purpose,
    audio_view,
    draw_latents,
    on_sphere,
    stream,
    text_view,
)
from larpbench.datasets.demo.sound_tables import TOP
from larpbench.datasets.demo.synthesis import SOUND_PARAMETERS
from larpbench.datasets.demo.words import Lexicon, artist_names
from larpbench.datasets.schema import SPLITS

GENERATOR_VERSION = 3
"""Goes up whenever the same spec would give another world or other sounds."""

TEXT_VIEW_DIM = 12
TRACKS_AN_ALBUM = 2

THEME_WEIGHT = 6 * ONE
"""Utility of a track whose theme is exactly the playlist's."""
FAVOURITE_WEIGHT = ONE * 39 // 10
"""Utility that a track of one of the playlist's favourite artists gains."""
FAVOURITES = (40, 30, 20, 10)
"""Weights of 0, 1, .. favourite artists of a playlist."""
STRAY_SHARE = ONE // 10
"""Share of a playlist that was picked without any reason."""
PLAYLIST_LENGTHS = (8, 16)


@dataclass(frozen=True)
class WorldSpec:
    """What determines a world; the triples are for train, valid and test.

    Attributes:
        seed: Of everything random.
        private_noise: Whether audio and text each have causes of their own, which playlists ignore.
        tracks: Tracks a split.
        playlists: Playlists a split.
        artists: Artists a split.
    """

    seed: int = 2024
    private_noise: bool = True
    tracks: tuple[int, int, int] = (600, 150, 400)
    playlists: tuple[int, int, int] = (600, 100, 1000)
    artists: tuple[int, int, int] = (188, 47, 125)

    def __post_init__(self) -> None:
        """Reject a world that cannot be drawn."""
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if min(self.artists) < 1 or min(self.playlists) < 0:
            raise ValueError("each split needs an artist, and no negative number of playlists")
        if min(self.tracks) < PLAYLIST_LENGTHS[1]:
            raise ValueError(f"each split needs at least {PLAYLIST_LENGTHS[1]} tracks, got {self.tracks}")


@dataclass(frozen=True)
class World:
    """A drawn world.

    Attributes:
        tracks: track_id, title, artist, album, split; sorted by track_id, which carries no information.
        playlists: playlist_id, track_id, split; one row a member, sorted.
        oracle: float32, (tracks, THEME_DIM + artists of the largest split), in the order of `tracks`: the
            inner product with a playlist's taste vector is the utility that drew it.
        sound: int64, (tracks, len(SOUND_PARAMETERS)), in the order of `tracks`: controls from 0 to TOP.
    """

    tracks: pl.DataFrame
    playlists: pl.DataFrame
    oracle: np.ndarray
    sound: np.ndarray


def draw_world(spec: WorldSpec) -> World:
    """Draw the world of a spec.

    Args:
        spec: What to draw.

    Returns:
        The same world each time.
    """
    n_tracks, n_playlists = sum(spec.tracks), sum(spec.playlists)
    prefix = "demo" if spec.seed == WorldSpec().seed else f"demo-{spec.seed}"  # worlds share no id
    numbers = np.split(stream(spec.seed, Purpose.TRACK_ID).permutation(n_tracks), np.cumsum(spec.tracks)[:-1])
    playlist_numbers = iter(stream(spec.seed, Purpose.PLAYLIST_ID).permutation(n_playlists).tolist())
    names = artist_names(sum(spec.artists), stream(spec.seed, Purpose.ARTIST_NAME))
    ends = np.cumsum(spec.artists).tolist()
    names_of = [names[end - count : end] for end, count in zip(ends, spec.artists, strict=True)]
    lexicon = Lexicon.draw(TEXT_VIEW_DIM, stream(spec.seed, Purpose.LEXICON))
    tracks, members, oracle, sound = [], [], [], []
    for split, split_name in enumerate(SPLITS):
        latents = draw_latents(spec.seed, split, spec.tracks[split], spec.artists[split], spec.private_noise)
        titles, albums = _name_tracks(spec.seed, split, latents, lexicon)
        ids = [f"{prefix}-{number:06d}" for number in numbers[split]]
        tracks.append(
            pl.DataFrame(
                {
                    "track_id": ids,
                    "title": titles,
                    "artist": [names_of[split][artist] for artist in latents.artist],
                    "album": albums,
                    "split": [split_name] * len(ids),
                }
            )
        )
        rows = oracle_vectors(latents, max(spec.artists))
        oracle.append(rows)
        view = audio_view(spec.seed, split, latents, len(SOUND_PARAMETERS))
        sound.append(np.clip((view + ONE) * TOP + ONE >> FRACTION_BITS + 1, 0, TOP))
        for index in range(spec.playlists[split]):
            rng = stream(spec.seed, Purpose.PLAYLIST, split, index)
            chosen = draw_playlist(rows, latents.artist, rng)
            playlist_id = f"{prefix}-p{next(playlist_numbers):05d}"
            members += [(playlist_id, ids[row], split_name) for row in chosen.tolist()]
    order = np.argsort(np.concatenate(numbers), kind="stable")
    columns = ["playlist_id", "track_id", "split"]
    return World(
        tracks=pl.concat(tracks)[order],
        playlists=pl.DataFrame(members, schema=dict.fromkeys(columns, pl.String), orient="row").sort(columns),
        oracle=as_float32(np.concatenate(oracle)[order]),
        sound=np.concatenate(sound)[order],
    )


def oracle_vectors(latents: Latents, n_artists: int) -> np.ndarray:
    """Return the vectors that draw playlists, and nothing that playlists ignore.

    Args:
        latents: A split's latents.
        n_artists: Room for artists, at least the split's own.

    Returns:
        int64, (n, THEME_DIM + n_artists), rows of one length.
    """
    favourites = np.eye(n_artists, dtype=np.int64)[latents.artist] * root(FAVOURITE_WEIGHT)
    return np.hstack([times(root(THEME_WEIGHT), latents.theme), favourites])


def taste_vector(theme: np.ndarray, favourites: np.ndarray, n_artists: int) -> np.ndarray:
    """Return what a playlist wants: its inner product with a track's oracle vector is the utility.

    Args:
        theme: int64, (THEME_DIM,), on the sphere of radius ONE.
        favourites: int64, (k,), different numbers of the favourite artists within the split.
        n_artists: Room for artists, as in the tracks' vectors.

    Returns:
        int64, (THEME_DIM + n_artists,).
    """
    wanted = np.zeros(n_artists, dtype=np.int64)
    wanted[favourites] = root(FAVOURITE_WEIGHT)
    return np.concatenate([times(root(THEME_WEIGHT), theme), wanted])


def draw_playlist(vectors: np.ndarray, artist: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one playlist from a split's tracks.

    Args:
        vectors: int64, (n, k), the tracks' oracle vectors.
        artist: int64, (n,), the tracks' artists; those of a few random tracks are the playlist's favourites.
        rng: Source of randomness.

    Returns:
        int64, (length,), different rows of `vectors`.
    """
    length = int(rng.integers(PLAYLIST_LENGTHS[0], PLAYLIST_LENGTHS[1], endpoint=True))
    how_many = int(pick(rng, np.array([FAVOURITES], dtype=np.int64))[0])
    favourites = np.unique(artist[rng.integers(0, len(artist), size=how_many)])
    taste = taste_vector(on_sphere(rng, 1)[0], favourites, vectors.shape[1] - THEME_DIM)
    ranked = largest_first(matrix_product(vectors, taste) + gumbel(rng, len(vectors)))
    n_meant = (ONE - STRAY_SHARE) * length + ONE // 2 >> FRACTION_BITS
    strays = rng.permutation(ranked[n_meant:])[: length - n_meant]
    return np.concatenate([ranked[:n_meant], strays])


def _name_tracks(seed: int, split: int, latents: Latents, lexicon: Lexicon) -> tuple[list[str], list[str]]:
    """Return the tracks' titles and albums."""
    view = text_view(seed, split, latents, TEXT_VIEW_DIM)
    titles, albums = [""] * len(view), [""] * len(view)
    for artist in np.unique(latents.artist).tolist():
        rows = np.flatnonzero(latents.artist == artist)
        album_rng = stream(seed, Purpose.ALBUM, split, artist)
        discography: set[str] = set()
        # An album gathers tracks of a kind: neighbours along some direction of what can be read.
        sorted_rows = rows[largest_first(matrix_product(view[rows], normal(album_rng, TEXT_VIEW_DIM)))]
        for of_album in np.array_split(sorted_rows, max(1, len(rows) // TRACKS_AN_ALBUM)):
            album = lexicon.album(view[of_album].sum(axis=0) // len(of_album), discography, album_rng)
            discography.add(album)
            for row in of_album.tolist():
                albums[row] = album
        for row in rows.tolist():
            used = {titles[other] for other in rows.tolist()}
            titles[row] = lexicon.title(view[row], used, stream(seed, Purpose.TITLE, split, row))
    return titles, albums
