"""Splits of playlists by the million, drawn on whole numbers: the splits claim their tracks one after the other.

By the rule ``playlists`` test claims first, then valid, then train (protocol rule 2); the papers let train claim first.
By the rule ``tracks`` nobody claims: every track is drawn to a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.datasets.assemble import OTHER_SPLIT, TOO_SHORT
from larpbench.datasets.schema import SPLITS, SplitName, SplitRule
from larpbench.datasets.splits import rules as splits
from larpbench.errors import DataError

NOBODY = -1
SHORTEST_TRAIN = 2
"""Train playlists keep so many tracks where train tracks are drawn: one alone says nothing of what belongs together."""
_BLOCK = 1 << 16


@dataclass(frozen=True)
class PlaylistLog:
    """Playlists, or users, and their tracks as numbers.

    Attributes:
        ids: (p,) int64, unique; as text they are the playlist ids.
        offsets: (p + 1,) int64; playlist i holds ``tracks[offsets[i]:offsets[i + 1]]``.
        tracks: (entries,) uint32 rows of the track table.
        order: ``listed``: in the playlist's order, no track twice; ``heard``: in the order of time, each time that it
            was heard; ``unknown``: in no order, no track twice.
    """

    ids: np.ndarray
    offsets: np.ndarray
    tracks: np.ndarray
    order: Literal["listed", "heard", "unknown"]

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, row: int) -> np.ndarray:
        """Return the tracks of a playlist."""
        return self.tracks[self.offsets[row] : self.offsets[row + 1]]

    def blocks(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield all playlists in blocks: the first, the one after the last, and the tracks of all of them.

        Whole arrays are not used as indices: numpy would copy them to 8 bytes an entry.
        """
        for start in range(0, len(self), _BLOCK):
            stop = min(start + _BLOCK, len(self))
            yield start, stop, self.tracks[self.offsets[start] : self.offsets[stop]]

    def entries(self) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """Yield all playlists in blocks, each track of a playlist once.

        Yields:
            The first playlist, the one after the last, and for each entry the number of its playlist within the block
            and its track.
        """
        for start, stop, tracks in self.blocks():
            row_of = np.repeat(np.arange(stop - start, dtype=np.int32), np.diff(self.offsets[start : stop + 1]))
            if self.order == "heard":
                once = np.unique(row_of.astype(np.int64) << 32 | tracks)
                row_of, tracks = (once >> 32).astype(np.int32), once & 0xFFFFFFFF
            yield start, stop, row_of, tracks

    def sizes(self) -> np.ndarray:
        """Return (p,) int64, how many different tracks each playlist has."""
        if self.order != "heard":
            return np.diff(self.offsets)
        counts = [np.bincount(row_of, minlength=stop - start) for start, stop, row_of, _ in self.entries()]
        return np.concatenate([np.empty(0, dtype=np.int64), *counts])

    def renumber(self, numbers: np.ndarray) -> None:
        """Put another number in the place of each track, without a copy.

        Args:
            numbers: (n,) uint32, by the number so far.
        """
        for _, _, tracks in self.blocks():
            tracks[:] = numbers[tracks]

    def times_held(self, n_tracks: int) -> np.ndarray:
        """Return (n_tracks,) how often each track is in the log."""
        counts = np.zeros(n_tracks, dtype=np.int64)
        for _, _, tracks in self.blocks():
            counts += np.bincount(tracks, minlength=n_tracks)
        return counts

    def restricted(self, usable: np.ndarray) -> PlaylistLog:
        """Return the log without some tracks, with rows of a track table that lacks them too.

        Args:
            usable: (n,) bool, for each row of the track table.
        """
        row = (np.cumsum(usable) - 1).astype(np.uint32)
        lengths = np.empty(len(self), dtype=np.int64)
        parts = [np.empty(0, dtype=np.uint32)]
        for start, stop, tracks in self.blocks():
            kept = usable[tracks]
            before = np.concatenate([[0], np.cumsum(kept)])
            lengths[start:stop] = np.diff(before[self.offsets[start : stop + 1] - self.offsets[start]])
            parts.append(row[tracks[kept]])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return PlaylistLog(self.ids, offsets, np.concatenate(parts), self.order)


@dataclass(frozen=True)
class KeptPlaylists:
    """The playlists that are in the data set, each with the tracks of its split.

    Attributes:
        rows: (k,) int64 rows of the log.
        split: (k,) int8, place in `SPLITS`.
        offsets: (k + 1,) int64.
        tracks: (entries,) uint32.
    """

    rows: np.ndarray
    split: np.ndarray
    offsets: np.ndarray
    tracks: np.ndarray


class Claims:
    """Which split has which tracks and playlists, while they are drawn.

    Args:
        log: All playlists.
        rule: How they are drawn.
        names: What is claimed, by name: the track ids or, where no artist may be in two splits, the artists.
        of_track: (n,) int64, which of `names` a track belongs to; None if they are the tracks themselves.
    """

    def __init__(self, log: PlaylistLog, rule: SplitRule, names: pl.Series, of_track: np.ndarray | None = None) -> None:
        self.log, self.rule = log, rule
        self.left_out: dict[str, int] = {}
        self.left_out_entries: dict[str, int] = {}
        self._names, self._of_track = names, of_track
        n_tracks = len(names) if of_track is None else len(of_track)
        self.owner = np.full(n_tracks, NOBODY, dtype=np.int8)
        self._gone = np.zeros(len(names), dtype=bool)
        self._kept: list[tuple[np.ndarray, int, np.ndarray, np.ndarray]] = []
        self._tried = np.full(len(log), NOBODY, dtype=np.int8)  # the split a playlist is in, or was last tried for
        if rule.rule == "tracks":
            self._draw_all()

    @property
    def tried(self) -> np.ndarray:
        """(p,) bool: the playlists that are in a split, or would be if they were long enough."""
        return self._tried != NOBODY

    def free(self) -> np.ndarray:
        """Return (n,) bool: the tracks that a split may still claim."""
        return ~(self._gone if self._of_track is None else self._gone[self._of_track])

    def open_to(self, split: SplitName) -> np.ndarray:
        """Return (n,) bool: the tracks that a split may take: those drawn to it, or those that are free."""
        return self.owner == SPLITS.index(split) if self.rule.rule == "tracks" else self.free()

    def claim(self, split: SplitName, tracks: np.ndarray) -> None:
        """Give free tracks to a split; where artists are claimed, no other split gets any of theirs."""
        self.owner[tracks] = SPLITS.index(split)
        self._gone[tracks if self._of_track is None else self._of_track[tracks]] = True

    def _draw_all(self) -> None:
        """Draw every track, or whole artists, to a split (rule ``tracks``)."""
        kind = "track" if self._of_track is None else "artist"
        drawn = splits.draw_places(self._names, self.rule.seed, self.rule.train_fraction or 0.0, kind)
        self.owner = drawn if self._of_track is None else drawn[self._of_track]

    def draw_train(self, count: int) -> None:
        """Give train so many of the free tracks, drawn uniformly; whole artists, where artists are claimed."""
        free = self.free()
        keys = splits.uniforms(self.rule.seed, "train", names=self._names)
        belongs = np.arange(len(free)) if self._of_track is None else self._of_track
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(belongs[free], minlength=len(keys))[order]
        enough = int(np.searchsorted(np.cumsum(sizes), count)) + 1
        drawn = np.zeros(len(keys), dtype=bool)
        drawn[order[:enough]] = True
        tracks = np.flatnonzero(free & drawn[belongs])
        if len(tracks) < count:
            progress.say(f"warning: {count} train tracks were asked for, there are {len(tracks)}")
        self.claim("train", tracks)

    def take(self, split: SplitName, rows: Iterator[int], count: int | None) -> list[int]:
        """Take playlists into valid or test, with the tracks open to it that they hold, and claim these.

        Args:
            split: Which.
            rows: Rows of the log, in the order in which they are drawn; no further one is asked for when there are
                enough.
            count: How many to take; those with too few free tracks are passed over. None takes all, and those with
                too few leave after they have claimed (protocol rule 2).

        Returns:
            The rows that were taken.

        Raises:
            DataError: If a number was asked for and there is none.
        """
        shortest = self.rule.min_length or 1
        place, free, short = SPLITS.index(split), self.open_to(split), 0
        taken: list[int] = []
        members: list[np.ndarray] = []
        claimed: list[np.ndarray] = []
        while count is None or len(taken) < count:
            row = next(rows, None)
            if row is None:
                break
            self._tried[row] = place
            tracks = self.log.of(row)
            cut = self._cut(row, tracks[free[tracks]])
            if len(cut) >= shortest:
                taken.append(row)
                members.append(cut)
            else:
                short += 1
            if len(cut) >= shortest or count is None:
                claimed.append(cut)
        self._leave(f"{split} playlists with fewer than {shortest} tracks of their split", short)
        if count is not None and not taken:
            raise DataError(
                f"no playlist has {shortest} tracks left for {split}",
                where=f"{short} were drawn; other splits had claimed {int((~free).sum())} of {len(free)} tracks",
                next_step="lower --min-length, --train-tracks or the numbers of the other splits",
            )
        if count is not None and len(taken) < count:
            progress.say(f"warning: {count} {split} playlists were asked for, {len(taken)} have enough tracks")
        if claimed:
            self.claim(split, np.concatenate(claimed))
        if taken:
            lengths = np.array([len(each) for each in members])
            self._keep(np.array(taken), split, lengths, np.concatenate(members))
        return taken

    def keep_train(self, wanted: np.ndarray, shortest: int) -> None:
        """Keep playlists as train ones, with the tracks that train has claimed.

        Args:
            wanted: (p,) bool.
            shortest: Playlists with fewer tracks leave.
        """
        train, short = SPLITS.index("train"), 0
        self._tried[wanted] = train
        for start, stop, tracks in self.log.blocks():
            row_of = np.repeat(np.arange(stop - start, dtype=np.int32), np.diff(self.log.offsets[start : stop + 1]))
            mine = (self.owner[tracks] == train) & wanted[start:stop][row_of]
            row_of, tracks = row_of[mine], tracks[mine]
            if self.log.order == "heard":
                first = np.sort(np.unique(row_of.astype(np.int64) << 32 | tracks, return_index=True)[1])
                row_of, tracks = row_of[first], tracks[first]
            lengths = np.bincount(row_of, minlength=stop - start)
            enough = lengths >= shortest
            short += int((wanted[start:stop] & ~enough).sum())
            if enough.any():
                self._keep(start + np.flatnonzero(enough), "train", lengths[enough], tracks[enough[row_of]])
        self._leave(f"train playlists with fewer than {shortest} tracks of their split", short)

    def kept(self) -> KeptPlaylists:
        """Return all playlists that were taken, and count what is in no split.

        Raises:
            DataError: If there is none.
        """
        if not self._kept:
            raise DataError(
                f"no playlist has {self.rule.min_length} tracks of its own split", next_step="lower --min-length"
            )
        self._leave("tracks that no split holds", int((self.owner == NOBODY).sum()))
        self._count_entries()
        rows, split, lengths, tracks = (list(column) for column in zip(*self._kept, strict=True))
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        splits_of = np.repeat(np.array(split, dtype=np.int8), [len(each) for each in rows])
        return KeptPlaylists(np.concatenate(rows), splits_of, offsets, np.concatenate(tracks))

    def _keep(self, rows: np.ndarray, split: SplitName, lengths: np.ndarray, tracks: np.ndarray) -> None:
        self._kept.append((rows.astype(np.int64), SPLITS.index(split), lengths.astype(np.int64), tracks))

    def _leave(self, reason: str, count: int) -> None:
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def _count_entries(self) -> None:
        """Count the entries of the playlists that were tried and left, each track of a playlist once."""
        kept = np.zeros(len(self.log), dtype=np.int64)
        for rows, _, lengths, _ in self._kept:
            kept[rows] = lengths
        elsewhere = nowhere = short = cut = 0
        for start, stop, row_of, tracks in self.log.entries():
            owner, wanted = self.owner[tracks], self._tried[start:stop][row_of]
            asked = wanted != NOBODY
            nowhere += int((asked & (owner == NOBODY)).sum())
            elsewhere += int((asked & (owner != NOBODY) & (owner != wanted)).sum())
            own = np.bincount(row_of[asked & (owner == wanted)], minlength=stop - start)
            stayed = kept[start:stop]
            short += int(own[stayed == 0].sum())
            cut += int((own - stayed)[stayed > 0].sum())
        counted = {
            OTHER_SPLIT: elsewhere,
            "entries whose track is in no split": nowhere,
            TOO_SHORT: short,
            f"entries beyond {self.rule.max_length} of a valid or test playlist": cut,
        }
        self.left_out_entries = {reason: count for reason, count in counted.items() if count}

    def _cut(self, row: int, tracks: np.ndarray) -> np.ndarray:
        """Return the tracks of a valid or test playlist, each once, at most ``max_length``."""
        playlist = str(self.log.ids[row])
        if self.log.order == "heard":
            return contiguous(tracks, self.rule.max_length, splits.uniform(self.rule.seed, "run", playlist))
        if self.log.order == "unknown" and self.rule.max_length is not None:
            drawn = int(splits.uniform(self.rule.seed, "subset", playlist) * 2**53)
            tracks = np.random.Generator(np.random.PCG64(drawn)).permutation(np.sort(tracks))
        return tracks[: self.rule.max_length]


def contiguous(tracks: np.ndarray, most: int | None, place: float) -> np.ndarray:
    """Return the different tracks of one run of interactions without a gap.

    Args:
        tracks: Tracks in the order of time; some may come again.
        most: How many different tracks the run has; it has all if there are fewer.
        place: In [0, 1): where it starts, among all places from which so many can be reached.

    Returns:
        Each track once, in the order of their first time in the run.
    """
    last = np.sort(len(tracks) - 1 - np.unique(tracks[::-1], return_index=True)[1])  # where each is heard last
    wanted = len(last) if most is None else min(most, len(last))
    if not wanted:
        return tracks[:0]
    start = int(place * (last[len(last) - wanted] + 1))
    run = tracks[start:]
    return run[np.sort(np.unique(run, return_index=True)[1])[:wanted]]
