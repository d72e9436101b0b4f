"""A split as a question: this is known of each playlist or listener, those are the tracks to be found.

What is known and what is left out of the ranking are separate things. Of a playlist that nobody has seen, its seeds are
both. Of a listener, all train tracks are known, and every tested track is ranked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from larpbench.datasets.schema import Interactions, Split
from larpbench.errors import DataError, ProtocolError


@dataclass(frozen=True)
class Queries:
    """The playlists of a split that are counted: something is known of them, and something is to be found (rule 8).

    Attributes:
        track_ids: (n,) str, the tracks of the split.
        artists: (n,) int64, a number for each artist; a track whose artist is unknown is its own artist.
        seeds: What is known of each counted playlist: its seeds, or a listener's profile.
        heldout: Tracks to be found, for the same playlists in the same order.
        left_out: Reason -> number of playlists that are not counted.
        masked: Tracks of the split that are not ranked for each of them.
        seed_artists: (m,) int64, the artist's number of the tracks that `seeds` are rows of.
    """

    track_ids: np.ndarray
    artists: np.ndarray
    seeds: Interactions
    heldout: Interactions
    left_out: dict[str, int]
    masked: Interactions
    seed_artists: np.ndarray

    @property
    def candidates(self) -> np.ndarray:
        """(p,) int64, how many tracks are ranked for each playlist: all of the split less the masked ones (rule 5)."""
        return len(self.track_ids) - self.masked.lengths

    @cached_property
    def known_artists(self) -> Interactions:
        """The artists of what is known of each playlist: numbers as in `artists`."""
        return self.seeds.renumbered(self.seed_artists)


def queries_of(split: Split) -> Queries:
    """Return the playlist continuation task of a valid or test split: the seeds are known, and masked.

    Raises:
        DataError: If no playlist has both a seed and a held-out track.
    """
    seeds, heldout = split.interactions("seed"), split.interactions("heldout")
    has_seed, has_heldout = seeds.lengths > 0, heldout.lengths > 0
    counted = has_seed & has_heldout
    if not counted.any():
        raise no_query(split.name)
    left_out = {"no seed": int((~has_seed).sum()), "no held-out track": int((has_seed & ~has_heldout).sum())}
    known, artists = seeds.select(counted), split.artist_codes
    return Queries(split.track_ids, artists, known, heldout.select(counted), left_out, known, artists)


def no_query(split: str) -> DataError:
    """Return the error for a split of which no playlist can be scored."""
    return DataError(
        f"no playlist of the {split} split has both a seed and a held-out track",
        allowed="playlists of at least two tracks of their own split",
        next_step="build the data set with playlists in this split (--train-fraction 0 puts all of them in test)",
    )


def listener_queries(train: Split, split: Split) -> Queries:
    """Return the question of cold tracks for known listeners: all train tracks are known, and nothing is masked.

    Args:
        train: The train split, whose tracks are the profiles.
        split: The valid or test split, whose tracks are ranked.

    Raises:
        ProtocolError: If no listener has both a profile and a held-out track.
    """
    profiles, heldout = train.interactions("member"), split.interactions("heldout")
    place = np.searchsorted(profiles.playlist_ids, heldout.playlist_ids)
    there = place < len(profiles)
    there[there] = profiles.playlist_ids[place[there]] == heldout.playlist_ids[there]
    counted = there & (heldout.lengths > 0)
    counted[there] &= profiles.lengths[place[there]] > 0
    if not counted.any():
        raise ProtocolError(
            f"no listener of the {split.name} split has both a track of train and a held-out track",
            allowed="listeners with tracks in train and in this split",
            next_step="build the data set with more cold tracks (--cold-fraction), or other boundaries",
        )
    known, found = profiles.select(place[counted]), heldout.select(counted)
    artists, seed_artists = _shared_numbers(split, train)
    left_out = {"no profile": int((~counted).sum())}
    return Queries(split.track_ids, artists, known, found, left_out, found.emptied(), seed_artists)


def _shared_numbers(*splits: Split) -> list[np.ndarray]:
    """Return a number for each artist, the same in all splits; a track whose artist is unknown is its own artist."""
    names = [split.tracks["artist"].fill_null("").to_numpy().astype(str) for split in splits]
    whole = np.concatenate(names)
    numbers = np.unique(whole, return_inverse=True)[1].astype(np.int64)
    unknown = whole == ""
    numbers[unknown] = len(whole) + np.arange(int(unknown.sum()))
    return np.split(numbers, np.cumsum([len(each) for each in names])[:-1])
