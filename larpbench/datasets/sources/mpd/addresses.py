"""Whole numbers in the place of tracks' addresses: one look-up for each entry of all playlists."""

from __future__ import annotations

import numpy as np
import polars as pl

from larpbench.datasets.track_ids import PUBLISHED, ids_of_uris

NO_TRACK = -1
_UNKNOWN = -2
_SPOTIFY_ID = r"^[0-9A-Za-z]{22}$"


class Addresses:
    """Which number each address has; two spellings of an address have that of one of them.

    The look-up is that of polars' categories: a dictionary of text takes three times as long, and more memory.
    """

    def __init__(self) -> None:
        self._kind = pl.Categorical(pl.Categories.random())
        self._kept = pl.Series([], dtype=self._kind)  # polars forgets categories when no column has them
        self._meant = np.empty(0, dtype=np.int32)  # by the number of a spelling

    def numbers(self, uris: pl.Series) -> np.ndarray:
        """Return (n,) int32: the same for the same track, `NO_TRACK` for what is no address. They start at 0.

        Args:
            uris: (n,) String, as a collection has them.
        """
        spellings = self._spellings(uris)
        numbers: np.ndarray = self._meant[spellings]
        if len(new := np.flatnonzero(numbers == _UNKNOWN)):
            new = new[first_places(spellings[new])]
            self._meant[spellings[new]] = self._resolved(uris.gather(new), spellings[new])
            numbers = self._meant[spellings]
        return numbers

    def _spellings(self, texts: pl.Series) -> np.ndarray:
        numbers = texts.fill_null("").cast(self._kind).to_physical().to_numpy()
        if (count := int(numbers.max(initial=0)) + 1) > len(self._meant):
            more = np.full(max(count, 2 * len(self._meant)) - len(self._meant), _UNKNOWN, dtype=np.int32)
            self._meant = np.concatenate([self._meant, more])
        return numbers

    def _resolved(self, uris: pl.Series, spellings: np.ndarray) -> np.ndarray:
        numbers = spellings.astype(np.int32)
        odd = ~uris.str.contains(PUBLISHED).fill_null(value=False)
        if odd.any():
            addresses = addresses_of(ids_of_uris(uris.filter(odd)))
            numbers[odd] = np.where(addresses.is_null(), NO_TRACK, self._spellings(addresses).astype(np.int32))
        return numbers


def addresses_of(ids: pl.Series) -> pl.Series:
    """Return what a collection has of tracks with these ids: Spotify's address, or the id itself."""
    return pl.select(pl.when(ids.str.contains(_SPOTIFY_ID)).then("spotify:track:" + ids).otherwise(ids)).to_series()


def first_places(values: np.ndarray) -> np.ndarray:
    """Return the places, in order, at which a value stands for the first time."""
    return pl.Series(values).is_first_distinct().arg_true().to_numpy()
