"""The world of `demo-listeners`: tracks with a day of release, and who plays what from when on, and how often.

Artists, tracks, tastes and words are drawn as those of `larpbench.datasets.demo_large`. All is computed in integers, so
that it is the same on every CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import polars as pl

from larpbench.datasets.demo.fixed_point import FRACTION_BITS, ONE, exp, normal, times
from larpbench.datasets.demo.latents import stream
from larpbench.datasets.demo_large.playlists import draw_tastes, fill_playlists
from larpbench.datasets.demo_large.tracks import draw_themes, draw_tracks
from larpbench.datasets.demo_large.views import ViewSpec, draw_view
from larpbench.datasets.demo_large.world import name_tracks_of

GENERATOR_VERSION = 1
"""Goes up whenever the same spec would give another world."""
BEGIN = 1_704_067_200
"""2024-01-01, in seconds."""
SECONDS = 366 * 86_400
"""From the first day to the last: a year."""
VALID_FROM, TEST_FROM = "2024-09-15", "2024-11-01"
_NEW = ONE // 2  # of the tracks come out within the year
_PLAYS_SPREAD = ONE
VIEWS = {
    "strong": ViewSpec(64, ONE * 9 // 10, ONE * 5 // 10, ONE * 8 // 10, ONE * 8 // 10),
    "weak": ViewSpec(64, ONE * 4 // 10, ONE * 2 // 10, ONE * 14 // 10, ONE * 8 // 10),
}
"""Name of a set of vectors -> how it mixes what a track is about, its artist and what is its own."""


class Purpose(IntEnum):
    """What a random stream is for. The numbers are part of the data set: never renumber."""

    TRACK_ID = 201
    LISTENER_ID = 202
    RELEASE = 203
    TIME = 204
    PLAYS = 205


@dataclass(frozen=True)
class ListenerWorldSpec:
    """What determines a world.

    Attributes:
        seed: Of everything random.
        artists: Artists that there might be.
        listeners: How many.
    """

    seed: int = 2027
    artists: int = 1_600
    listeners: int = 700

    def __post_init__(self) -> None:
        """Reject a world that cannot be drawn."""
        if self.seed < 0 or self.artists < 1 or self.listeners < 1:
            raise ValueError(f"a world needs a seed that is not negative, artists and listeners, got {self}")


@dataclass(frozen=True)
class ListenerWorld:
    """A drawn world.

    Attributes:
        tracks: track_id, title, artist, album; sorted by track_id, which carries no information.
        listens: listener_id, track_id, count, first_time (seconds); one row for each track of a listener.
        views: Name of a set of vectors -> float16, (tracks, dim), in the order of `tracks`.
    """

    tracks: pl.DataFrame
    listens: pl.DataFrame
    views: Mapping[str, np.ndarray]


def draw_listener_world(spec: ListenerWorldSpec) -> ListenerWorld:
    """Draw the world of a spec.

    Args:
        spec: What to draw.

    Returns:
        The same world each time.
    """
    seed = spec.seed
    prefix = "dl" if seed == ListenerWorldSpec().seed else f"dl-{seed}"  # worlds share no id
    themes = draw_themes(seed)
    every = draw_tracks(seed, spec.artists, themes)
    filled = fill_playlists(seed, draw_tastes(seed, spec.listeners, themes), every)
    rows, members = np.unique(np.concatenate(filled), return_inverse=True)
    artists, artist = np.unique(every.artist[rows], return_inverse=True)
    album = np.unique(every.album[rows], return_inverse=True)[1]
    names = name_tracks_of(seed, themes, every.niche[artists], artist, album)
    numbers = stream(seed, Purpose.TRACK_ID).permutation(len(rows))
    order = np.argsort(numbers, kind="stable")
    ids = pl.Series("track_id", [f"{prefix}-{number:05d}" for number in numbers.tolist()])
    listeners = stream(seed, Purpose.LISTENER_ID).permutation(len(filled)).tolist()
    names_of = pl.Series("listener_id", [f"{prefix}-u{number:04d}" for number in listeners])
    lengths = np.array([len(each) for each in filled], dtype=np.int64)
    return ListenerWorld(
        tracks=pl.DataFrame({"track_id": ids, **names})[order],
        listens=pl.DataFrame(
            {
                "listener_id": names_of.gather(np.repeat(np.arange(len(filled)), lengths)),
                "track_id": ids.gather(members),
                "count": _plays(seed, len(members)),
                "first_time": BEGIN + _times(seed, len(rows), members),
            }
        ).sort("listener_id", "track_id"),
        views={name: draw_view(seed, name, every.theme[rows], artist, VIEWS)[order] for name in VIEWS},
    )


def _times(seed: int, tracks: int, members: np.ndarray) -> np.ndarray:
    """Return when each entry begins, in seconds of the year: never before its track comes out."""
    rng = stream(seed, Purpose.RELEASE)
    release = rng.integers(0, SECONDS, size=tracks)
    release[rng.integers(0, ONE, size=tracks) >= _NEW] = 0
    left = SECONDS - release[members]
    later: np.ndarray = stream(seed, Purpose.TIME).integers(0, ONE, size=len(members)) * left >> FRACTION_BITS
    return release[members] + later


def _plays(seed: int, entries: int) -> np.ndarray:
    """Return how often each entry was played: once or more, a few of them very often."""
    more = exp(times(_PLAYS_SPREAD, normal(stream(seed, Purpose.PLAYS), entries)) + ONE)
    plays: np.ndarray = 1 + (more >> FRACTION_BITS)
    return plays
