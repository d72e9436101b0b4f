"""A world of `demo-large`: its tracks with captions, its playlists, and what the two views see of the tracks.

It is computed in integers, as that of `larpbench.datasets.demo`, so that it is the same on every CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from larpbench.datasets.demo.latents import stream
from larpbench.datasets.demo_large.playlists import draw_tastes, fill_playlists
from larpbench.datasets.demo_large.tracks import Purpose, Themes, draw_themes, draw_tracks
from larpbench.datasets.demo_large.views import VIEW_SPECS, draw_view
from larpbench.datasets.demo_large.words import Lexicon, name_albums, name_artists, name_tracks

GENERATOR_VERSION = 1
"""Goes up whenever the same spec would give another world."""
FEWEST_ARTISTS = 500


@dataclass(frozen=True)
class LargeWorldSpec:
    """What determines a world.

    Attributes:
        seed: Of everything random.
        artists: Artists that there might be, of whom about a third have a track in a playlist.
        playlists: How many.
    """

    seed: int = 2026
    artists: int = 20_000
    playlists: int = 6_000

    def __post_init__(self) -> None:
        """Reject a world that cannot be drawn."""
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.artists < FEWEST_ARTISTS or self.playlists < 1:
            raise ValueError(f"a world needs at least {FEWEST_ARTISTS} artists and a playlist, got {self}")


@dataclass(frozen=True)
class LargeWorld:
    """A drawn world.

    Attributes:
        tracks: track_id, title, artist, album; sorted by track_id, which carries no information. Only tracks that are
            in a playlist.
        playlists: playlist_id, track_id; one row a member, sorted.
        seed: That of the spec.
        theme: int64, (tracks, THEME_DIM), what each track is about; in an order of its own, as is `artist`.
        artist: int64, (tracks,), numbers of artists.
        order: int64, (tracks,), where the rows of `tracks` are in that order.
    """

    tracks: pl.DataFrame
    playlists: pl.DataFrame
    seed: int
    theme: np.ndarray
    artist: np.ndarray
    order: np.ndarray

    @cached_property
    def views(self) -> Mapping[str, np.ndarray]:
        """Name of a view -> float16, (tracks, dim), in the order of `tracks`."""
        return {name: draw_view(self.seed, name, self.theme, self.artist)[self.order] for name in VIEW_SPECS}


def draw_large_world(spec: LargeWorldSpec) -> LargeWorld:
    """Draw the world of a spec.

    Args:
        spec: What to draw.

    Returns:
        The same world each time.
    """
    seed = spec.seed
    prefix = "demo-large" if seed == LargeWorldSpec().seed else f"demo-large-{seed}"  # worlds share no id
    themes = draw_themes(seed)
    every = draw_tracks(seed, spec.artists, themes)
    filled = fill_playlists(seed, draw_tastes(seed, spec.playlists, themes), every)
    rows, members = np.unique(np.concatenate(filled), return_inverse=True)
    numbers = stream(seed, Purpose.TRACK_ID).permutation(len(rows))
    artists, artist = np.unique(every.artist[rows], return_inverse=True)
    album = np.unique(every.album[rows], return_inverse=True)[1]
    names = name_tracks_of(seed, themes, every.niche[artists], artist, album)
    order = np.argsort(numbers, kind="stable")
    ids = pl.Series("track_id", [f"{prefix}-{number:06d}" for number in numbers.tolist()])
    playlist_numbers = stream(seed, Purpose.PLAYLIST_ID).permutation(len(filled))
    playlist_ids = pl.Series([f"{prefix}-p{number:05d}" for number in playlist_numbers.tolist()])
    lengths = np.array([len(each) for each in filled], dtype=np.int64)
    return LargeWorld(
        tracks=pl.DataFrame({"track_id": ids, **names})[order],
        playlists=pl.DataFrame(
            {
                "playlist_id": playlist_ids.gather(np.repeat(np.arange(len(filled)), lengths)),
                "track_id": ids.gather(members),
            }
        ).sort("playlist_id", "track_id"),
        seed=seed,
        theme=every.theme[rows],
        artist=artist,
        order=order,
    )


def name_tracks_of(
    seed: int, themes: Themes, niche: np.ndarray, artist: np.ndarray, album: np.ndarray
) -> dict[str, list[str]]:
    """Return titles, artists and albums of the tracks; an album is that of the artist of its tracks."""
    lexicon = Lexicon.draw(seed, themes)
    titles = name_tracks(seed, lexicon, themes, niche[artist], artist)
    on_album: list[list[str]] = [[] for _ in range(int(album.max()) + 1)]
    of_album = np.zeros(len(on_album), dtype=np.int64)
    of_album[album] = artist
    for title, place in zip(titles, album.tolist(), strict=True):
        on_album[place].append(title)
    albums = name_albums(seed, lexicon, themes, niche[of_album], on_album)
    artists = name_artists(seed, lexicon, themes, niche)
    return {
        "title": titles,
        "artist": [artists[each] for each in artist.tolist()],
        "album": [albums[each] for each in album.tolist()],
    }
