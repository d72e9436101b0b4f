"""Controls that know the artist of a track and nothing of its content: they take numbers of artists for vectors.

`larpbench.tasks.cold_tracks.artists.NO_ENCODER` makes these: one number a track, 1 where the artist is unknown, since
vectors are never all zero.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from larpbench.datasets.schema import Dataset, Interactions
from larpbench.recommenders.base import LearnedRecommender, SearchSpace, TrainData, ValidData, fitted
from larpbench.recommenders.listeners.data import KnownListeners
from larpbench.recommenders.wmf import WMF_SPACE, factor_seconds, train_factors

UNKNOWN = 1


class ArtistControl(LearnedRecommender):
    """What reads numbers of artists."""

    fits_in_threads = True

    def lacks(self, dataset: Dataset) -> str | None:
        """Return why it cannot run: no artist is known."""
        known = (dataset.tracks["artist"].fill_null("") != "").any()
        return None if known else f"no artist of {dataset.name!r} is known"


class ArtistMean(ArtistControl):
    """score = x_u . the mean factor of the artist's train tracks; of artists without any, the mean of all tracks."""

    name = "artist-mean"
    version = 1
    citation = ("hu2008implicit",)
    summary = "control: the listener's WMF factor, and the mean factor of the artist's known tracks"
    search_space: ClassVar[SearchSpace] = WMF_SPACE
    shares_factors = True
    _listeners: KnownListeners | None = None
    _means: np.ndarray | None = None

    def fit_seconds(self, entries: int, rows: int, dim: int) -> float:
        """Return the time of the factorisation, by entries and rows."""
        return factor_seconds(entries, rows)

    def fit(self, train: TrainData, valid: ValidData) -> None:
        """Factorise train and average the factors of each artist; valid is not looked at."""
        factors = train_factors(train, self.params, self.seed)
        numbers = _numbers(train.embeddings)
        known = numbers != UNKNOWN
        sums = np.zeros((int(numbers.max(initial=UNKNOWN)) + 1, factors.tracks.shape[1]))
        np.add.at(sums, numbers[known], factors.tracks[known])
        counts = np.bincount(numbers[known], minlength=len(sums))
        self._means = np.where(
            counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], factors.tracks.mean(axis=0, dtype=np.float64)
        ).astype(np.float32)
        self._listeners = KnownListeners(train.interactions, factors.playlists)

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return the (p, 64) float32 factors of the listeners."""
        return fitted(self._listeners, self.name).of(seeds)

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the (n, 64) float32 mean factors of the tracks' artists."""
        return _looked_up(fitted(self._means, self.name), embeddings)


class PopularArtist(ArtistControl):
    """One list for everybody: the tracks of the artists with the most plays in train first."""

    name = "popular-artist"
    version = 1
    summary = "control: tracks of the artists who are played most in train, the same for everybody"
    seconds_per_entry = 1e-7
    _ranks: np.ndarray | None = None

    @property
    def stochastic(self) -> bool:
        """Nothing is random."""
        return False

    def fit(self, train: TrainData, valid: ValidData) -> None:
        """Count the plays of each artist: as often as each entry was played, once where that is not known."""
        playlists = train.interactions
        numbers = _numbers(train.embeddings)
        plays = np.bincount(numbers[playlists.tracks], playlists.counts, minlength=UNKNOWN + 1)
        plays[UNKNOWN] = 0
        # Places among the different numbers of plays are small integers, which float32 holds exactly.
        self._ranks = np.unique(plays, return_inverse=True)[1].astype(np.float32)[:, None]

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return (p, 1) float32 ones."""
        return np.ones((len(seeds), 1), dtype=np.float32)

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (n, 1) float32, higher for artists who are played more."""
        return _looked_up(fitted(self._ranks, self.name), embeddings)


def _numbers(embeddings: np.ndarray) -> np.ndarray:
    return embeddings[:, 0].astype(np.int64)


def _looked_up(table: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Return the rows of a table by artist; an artist without a train track has the row of an unknown one."""
    numbers = _numbers(embeddings)
    return table[np.where(numbers < len(table), numbers, UNKNOWN)]


ARTIST_MEAN = ArtistMean()
POPULAR_ARTIST = PopularArtist()
