"""A listening log, read once: of all users only those that were drawn are kept, so memory does not grow with the log.

Users come in the order of a hash of the seed and their id: first those for test, then for valid, then train users until
they have played enough tracks, then some spare ones for users that turn out to have too few tracks. Who they are is
known only when the whole log has been read, but a user beyond the last one needed so far can never come back: every
further user, and every further track of one, only moves that limit down.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from larpbench.datasets.raw_dataset import RawPlaylists
from larpbench.datasets.splits import rules

_ROWS_BEFORE_PRUNING = 4_000_000


class UserSample:
    """The users that are needed, and their listening events.

    Args:
        seed: Drives the order of the users.
        evaluated: How many users valid and test need.
        train_tracks: How many tracks train users have played together.
        timed: Whether the log says when a track was played.
    """

    def __init__(self, seed: int, evaluated: int, train_tracks: int, *, timed: bool) -> None:
        self._seed, self._evaluated, self._train_tracks, self._timed = seed, evaluated, train_tracks, timed
        self._spare = evaluated // 10 + 20
        self._keys: dict[int, float] = {}
        self._codes: dict[int, int] = {}  # of all users that were ever wanted, as they came
        self._limit = 2.0
        self._columns: list[list[np.ndarray]] = [[], [], []]  # user codes, tracks, times
        self._rows = self._rows_after_pruning = 0

    def wanted(self, users: pl.Series) -> list[int]:
        """Return those of these users that may still be needed."""
        found = []
        for user in users.unique():
            if user not in self._keys:
                self._keys[user] = rules.uniform(self._seed, str(user))
            if self._keys[user] <= self._limit:
                found.append(user)
        return found

    def add(self, users: np.ndarray, tracks: np.ndarray, times: np.ndarray) -> None:
        """Keep listening events of wanted users.

        Args:
            users: (n,) int64.
            tracks: (n,) uint32.
            times: (n,) uint32 seconds; none where they are not known.
        """
        begins = np.flatnonzero(np.diff(users, prepend=users[:1] - 1))  # of runs: most logs are in the order of users
        found, place = np.unique(users[begins], return_inverse=True)
        codes = np.array([self._codes.setdefault(user, len(self._codes)) for user in found.tolist()], dtype=np.int32)
        repeated = np.repeat(codes[place], np.diff(begins, append=len(users)))
        for column, part in zip(self._columns, (repeated, tracks, times), strict=True):
            column.append(part)
        self._rows += len(users)
        if self._rows > 1.25 * self._rows_after_pruning + _ROWS_BEFORE_PRUNING:
            self._prune()

    def playlists(self) -> RawPlaylists:
        """Return the users in their order, each with the tracks in the order of time, or once where it is unknown.

        Only the users that may be needed are in it; there are more of them than needed.
        """
        if not self._rows:
            nobody = pl.Series(dtype=pl.String)
            return RawPlaylists(nobody, np.zeros(1, np.int64), np.empty(0, np.uint32), "unknown")
        self._prune()
        ids, rank = self._ranked()
        order = np.argsort(rank, kind="stable")
        ends = np.cumsum(np.bincount(rank, minlength=len(ids)))
        tracks, times = (np.concatenate(column)[order] for column in self._columns[1:])
        offsets = [0]
        for start, stop in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            mine = tracks[start:stop]
            if self._timed:  # by time, and tracks of one second by their numbers
                mine = np.sort(times[start:stop].astype(np.uint64) << 32 | mine).astype(np.uint32)
            else:
                mine = np.unique(mine)
            offsets.append(offsets[-1] + len(mine))
            tracks[offsets[-2] : offsets[-1]] = mine  # what was there has been read
        names = pl.Series(ids).cast(pl.String)
        kept = tracks[: offsets[-1]]
        return RawPlaylists(names, np.array(offsets, dtype=np.int64), kept, "timed" if self._timed else "unknown")

    def _ranked(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (u,) int64 the users with rows, in their order, and (n,) int32 the place of each row's user there."""
        codes = np.concatenate(self._columns[0])
        users = np.fromiter(self._codes, np.int64)
        present = np.flatnonzero(np.bincount(codes, minlength=len(users)))
        order = present[np.argsort([self._keys[user] for user in users[present].tolist()], kind="stable")]
        place = np.empty(len(users), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        return users[order], place[codes]

    def _prune(self) -> None:
        """Drop the rows of users that cannot be needed any more."""
        ids, rank = self._ranked()
        late = rank >= self._evaluated
        train = train_users(rank[late] - self._evaluated, np.concatenate(self._columns[1])[late], self._train_tracks)
        needed = self._evaluated + train + self._spare
        if needed < len(ids):
            self._limit = self._keys[int(ids[needed - 1])]
            kept = rank < needed
            for number, column in enumerate(self._columns):
                self._columns[number] = [np.concatenate(column)[kept]]
        self._rows = self._rows_after_pruning = sum(map(len, self._columns[0]))


def train_users(places: np.ndarray, tracks: np.ndarray, count: int) -> int:
    """Return how many of the first users have played `count` different tracks together; all if they have played fewer.

    Args:
        places: (n,) the place of each row's user, from 0 on.
        tracks: (n,) what was played.
        count: How many tracks.
    """
    if not len(places):
        return 0
    both = np.sort(tracks.astype(np.uint64) << 32 | places.astype(np.uint64))  # both are below 2**32
    tracks = (both >> 32).astype(np.uint32)
    first = np.ones(len(tracks), dtype=bool)
    first[1:] = tracks[1:] != tracks[:-1]
    new = np.bincount(both[first].astype(np.uint32), minlength=int(places.max()) + 1)  # what no user before has played
    return min(int(np.searchsorted(np.cumsum(new), count)) + 1, len(new))
