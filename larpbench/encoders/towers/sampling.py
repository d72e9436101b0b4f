"""Which tracks share a playlist: pairs and playlists, drawn from compressed rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from larpbench.datasets.schema import Interactions
from larpbench.errors import DataError


@dataclass(frozen=True)
class PairBatch:
    """Tracks, for each a playlist that holds it, and another track of that playlist.

    Attributes:
        tracks: (n,) int64.
        partners: (n,) int64.
        playlists: (n,) int64.
        neighbours: (n, J) int64, other tracks of the playlist, without the track itself; padded.
        present: (n, J) bool, false where padded.
    """

    tracks: np.ndarray
    partners: np.ndarray
    playlists: np.ndarray
    neighbours: np.ndarray
    present: np.ndarray


class PlaylistGraph:
    """The bipartite graph R of tracks and playlists (section 2), in memory proportional to its entries.

    Playlists of one track are left out: there is nothing to pair it with.

    Args:
        interactions: The train playlists.
        n_tracks: How many tracks there are.
    """

    def __init__(self, interactions: Interactions, n_tracks: int) -> None:
        self.n_tracks = n_tracks
        kept = interactions.select(interactions.lengths >= 2)
        self.n_playlists = len(kept)
        self._offsets, self._tracks = kept.offsets, kept.tracks
        playlist_of_entry = np.repeat(np.arange(self.n_playlists), kept.lengths)
        by_track = np.argsort(kept.tracks, kind="stable")
        self._entries = by_track  # entry numbers, those of one track together
        self._entry_offsets = np.concatenate([[0], np.cumsum(np.bincount(kept.tracks, minlength=n_tracks))])
        self._playlist_of_entry = playlist_of_entry
        ones = np.ones(len(kept.tracks), dtype=bool)
        playlists_by_track = sparse.csr_array(
            (ones, playlist_of_entry[by_track], self._entry_offsets), shape=(n_tracks, self.n_playlists)
        )
        self._membership = playlists_by_track
        self._held = sparse.csr_array((ones, kept.tracks, kept.offsets), shape=(self.n_playlists, n_tracks))

    @property
    def paired_tracks(self) -> np.ndarray:
        """(m,) int64, the tracks that share a playlist with another."""
        return np.flatnonzero(np.diff(self._entry_offsets) > 0)

    def sample(self, tracks: np.ndarray, neighbours: int, generator: np.random.Generator) -> PairBatch:
        """Draw for each track a playlist, a partner in it, and up to `neighbours` other tracks of it.

        Args:
            tracks: (n,) int64, each of `paired_tracks`.
            neighbours: J; 0 for none.
            generator: Source of the draws.
        """
        degree = self._entry_offsets[tracks + 1] - self._entry_offsets[tracks]
        entries = self._entries[self._entry_offsets[tracks] + generator.integers(degree)]
        playlists = self._playlist_of_entry[entries]
        start = self._offsets[playlists]
        others = self._offsets[playlists + 1] - start - 1
        own = entries - start
        drawn = generator.integers(others)
        partners = self._tracks[start + drawn + (drawn >= own)]
        chosen = np.zeros((len(tracks), neighbours), dtype=np.int64)
        present = np.arange(neighbours) < others[:, None]
        for row in range(len(tracks) if neighbours else 0):
            count = min(neighbours, int(others[row]))
            places = generator.choice(others[row], count, replace=False, shuffle=False)
            chosen[row, :count] = self._tracks[start[row] + places + (places >= own[row])]
        return PairBatch(tracks, partners, playlists, chosen, present)

    def share_playlist(self, tracks: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return whether tracks share a playlist: (n, k) bool for (n,) and (k,) int64."""
        return (self._membership[tracks] @ self._membership[others].T).toarray()

    def related(self, tracks: np.ndarray) -> sparse.csr_array:
        """Return the rows of O (section 2) of some tracks: which share a playlist with each of them, itself included.

        Args:
            tracks: (n,) int64.

        Returns:
            (n, n_tracks) bool.
        """
        return (self._membership[tracks] @ self._held).tocsr()

    def holding(self, playlists: np.ndarray) -> sparse.csr_array:
        """Return the rows of R of some playlists, (n, n_tracks) bool: which tracks they hold."""
        return self._held[playlists]

    def require_pairs(self) -> None:
        """Raise if there is nothing that relates one track to another.

        Raises:
            DataError: If no two tracks share a playlist.
        """
        if not len(self.paired_tracks):
            raise DataError(
                "no two train tracks share a playlist: there is nothing for stages ttc and tpc to learn",
                allowed="train playlists of at least two tracks",
            )

    def holds(self, playlists: np.ndarray, tracks: np.ndarray) -> np.ndarray:
        """Return whether playlists hold tracks: (n, k) bool for (n,) and (k,) int64."""
        return self._membership[tracks].T.tocsr()[playlists].toarray()
