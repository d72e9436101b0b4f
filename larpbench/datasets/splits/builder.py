"""The one split builder: tracks and playlists as whole numbers, by every rule, in bounded memory.

By the rule ``playlists`` test takes its tracks first, then valid, then train (protocol rule 2); by the rule ``paper``
train takes its tracks first. By the rule ``tracks`` every track is drawn to a split; by the rule ``date`` its date says
which. By the rule ``given`` the source states the splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.datasets.left_out import IN_NO_SPLIT, IN_OTHER_SPLIT, IN_SHORT_PLAYLIST, add_count
from larpbench.datasets.raw_dataset import RawPlaylists
from larpbench.datasets.schema import SPLITS, SplitName, SplitRule
from larpbench.datasets.splits import rules
from larpbench.errors import DataError

NO_SPLIT = -1
SHORTEST_TRAIN = 2
"""Train playlists keep so many tracks where train tracks are drawn: one alone says nothing of what belongs together."""
_TRAIN, _VALID, _TEST = range(len(SPLITS))


@dataclass(frozen=True)
class SplitPlaylists:
    """The playlists that are in the data set, each with the tracks of its split.

    Attributes:
        rows: (k,) int64 rows of the raw playlists.
        splits: (k,) int8 places in `SPLITS`.
        offsets: (k + 1,) int64.
        tracks: (entries,) uint32.
        roles: (entries,) int8 places in `ROLES` where the source states them; None where they are drawn.
    """

    rows: np.ndarray
    splits: np.ndarray
    offsets: np.ndarray
    tracks: np.ndarray
    roles: np.ndarray | None


class SplitBuilder:
    """Which split has which tracks and playlists, while they are assigned.

    Args:
        playlists: All playlists.
        rule: How they are assigned.
        names: What is assigned, by name: the track ids or, where no artist may be in two splits, the artists.
        of_track: (n,) int64, which of `names` a track belongs to; None if they are the tracks themselves.
    """

    def __init__(
        self, playlists: RawPlaylists, rule: SplitRule, names: pl.Series, of_track: np.ndarray | None = None
    ) -> None:
        self.playlists, self.rule = playlists, rule
        self.left_out: dict[str, int] = {}
        self.left_out_entries: dict[str, int] = {}
        self._names, self._of_track = names, of_track
        n_tracks = len(names) if of_track is None else len(of_track)
        self.owner = np.full(n_tracks, NO_SPLIT, dtype=np.int8)
        self._taken = np.zeros(len(names), dtype=bool)
        self._kept: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        # The split a playlist is in, or was last tried for.
        self._tried = np.full(len(playlists), NO_SPLIT, dtype=np.int8)
        self._tracks_first = rule.rule in ("tracks", "date")
        if rule.rule == "tracks":
            self._draw_tracks()

    @property
    def tried(self) -> np.ndarray:
        """(p,) bool: the playlists that are in a split, or would be if they were long enough."""
        return self._tried != NO_SPLIT

    def free(self) -> np.ndarray:
        """Return (n,) bool: the tracks that no split has taken."""
        return ~(self._taken if self._of_track is None else self._taken[self._of_track])

    def open_to(self, split: SplitName) -> np.ndarray:
        """Return (n,) bool: the tracks that a split may take: its own, if tracks come first, or those that are free."""
        return self.owner == SPLITS.index(split) if self._tracks_first else self.free()

    def assign(self, split: SplitName, tracks: np.ndarray) -> None:
        """Give free tracks to a split; where artists are assigned, no other split gets any of theirs."""
        self.owner[tracks] = SPLITS.index(split)
        self._taken[tracks if self._of_track is None else self._of_track[tracks]] = True

    def _draw_tracks(self) -> None:
        """Draw every track, or whole artists, to a split (rule ``tracks``)."""
        kind = "track" if self._of_track is None else "artist"
        places = rules.draw_places(self._names, self.rule.seed, self.rule.train_fraction or 0.0, kind)
        self.owner = places if self._of_track is None else places[self._of_track]

    def take_periods(self, places: np.ndarray, left_out: Mapping[str, int]) -> None:
        """Give every track to the split of its period (rule ``date``).

        Where artists are assigned, each belongs to the last period in which there is a track of theirs.

        Args:
            places: (n,) int8 places in `SPLITS`, `NO_SPLIT` for tracks without one.
            left_out: Reason -> number of the tracks without one.

        Raises:
            DataError: If a split has no track.
        """
        for split in reversed(SPLITS):
            self.assign(split, np.flatnonzero((places == SPLITS.index(split)) & self.free()))
            if not (self.owner == SPLITS.index(split)).any():
                raise DataError(
                    f"no track is left for {split}: every artist of its period has tracks of a later one",
                    next_step="choose other boundaries, or leave out --artist-disjoint",
                )
        self.left_out |= left_out
        later = int(((places != NO_SPLIT) & (self.owner == NO_SPLIT)).sum())
        add_count(self.left_out, "tracks whose artist has tracks of a later split", later)

    def take_stated(self, splits: np.ndarray, of_tracks: pl.Series) -> None:
        """Take the splits that the source states, which agree with each other (rule ``given``).

        Args:
            splits: (p,) int8 places in `SPLITS` of the playlists.
            of_tracks: (n,) the names of the tracks' splits.
        """
        places = {name: place for place, name in enumerate(SPLITS)}
        self.owner = of_tracks.replace_strict(places, return_dtype=pl.Int8).to_numpy()
        self._tried[:] = splits
        rows = np.arange(len(self.playlists))
        self._kept.append((rows, splits, np.diff(self.playlists.offsets), self.playlists.tracks))

    def draw_shares(self, apart: int = 0) -> None:
        """Draw shares of all playlists to the splits by their hashes; test takes its tracks first, then valid.

        Args:
            apart: So many of the last playlists are the test playlists, and no others: the share of test is train.
        """
        own = len(self.playlists) - apart
        places = np.full(len(self.playlists), _TEST, dtype=np.int8)
        places[:own] = rules.draw_places(self.playlists.ids[:own], self.rule.seed, self.rule.train_fraction or 0.0)
        if apart:
            places[:own][places[:own] == _TEST] = _TRAIN
        self.take("test", iter(np.flatnonzero(places == _TEST).tolist()), None)
        self.take("valid", iter(np.flatnonzero(places == _VALID).tolist()), None)
        if self.rule.train_tracks is not None:
            self.draw_train(self.rule.train_tracks)
            self.keep_train(places == _TRAIN, SHORTEST_TRAIN)
            return
        if not self._tracks_first and len(np.unique(places)) == 1:
            # A track that nobody has put into a playlist is a candidate like any other: it follows the playlists.
            unlisted = self.playlists.times_held(len(self.owner)) == 0
            self.assign(SPLITS[places[0]], np.flatnonzero(unlisted & self.free()))
        self.assign("train", np.flatnonzero(self.open_to("train")))
        self.keep_train(places == _TRAIN, self.rule.min_length or 1)

    def draw_train(self, count: int) -> None:
        """Give train so many of the free tracks, drawn uniformly; whole artists, where artists are assigned."""
        free = self.free()
        keys = rules.uniforms(self.rule.seed, "train", names=self._names)
        belongs = np.arange(len(free)) if self._of_track is None else self._of_track
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(belongs[free], minlength=len(keys))[order]
        enough = int(np.searchsorted(np.cumsum(sizes), count)) + 1
        chosen = np.zeros(len(keys), dtype=bool)
        chosen[order[:enough]] = True
        tracks = np.flatnonzero(free & chosen[belongs])
        if len(tracks) < count:
            progress.say(f"warning: {count} train tracks were asked for, there are {len(tracks)}")
        self.assign("train", tracks)

    def take(self, split: SplitName, rows: Iterator[int], count: int | None) -> list[int]:
        """Take playlists into valid or test, with the tracks open to it that they hold, and assign these.

        Args:
            split: Which.
            rows: Rows of the playlists, in the order in which they are drawn; no further one is read when there are
                enough.
            count: How many to take; those with too few free tracks are passed over. None takes all; those with
                too few are dropped after they have taken their tracks (protocol rule 2).

        Returns:
            The rows that were taken.

        Raises:
            DataError: If a number was asked for and there is none.
        """
        shortest = self.rule.min_length or 1
        place, free, short = SPLITS.index(split), self.open_to(split), 0
        taken: list[int] = []
        members: list[np.ndarray] = []
        assigned: list[np.ndarray] = []
        while count is None or len(taken) < count:
            row = next(rows, None)
            if row is None:
                break
            self._tried[row] = place
            tracks = self.playlists.of(row)
            cut = self._cut(row, tracks[free[tracks]])
            if len(cut) >= shortest:
                taken.append(row)
                members.append(cut)
            else:
                short += 1
            if len(cut) >= shortest or count is None:
                assigned.append(cut)
        add_count(self.left_out, f"{split} playlists with fewer than {shortest} tracks of their split", short)
        if count is not None and not taken:
            raise DataError(
                f"no playlist has {shortest} tracks left for {split}",
                where=f"{short} were drawn; other splits had taken {int((~free).sum())} of {len(free)} tracks",
                next_step="lower --min-length, --train-tracks or the numbers of the other splits",
            )
        if count is not None and len(taken) < count:
            progress.say(f"warning: {count} {split} playlists were asked for, {len(taken)} have enough tracks")
        if assigned:
            self.assign(split, np.concatenate(assigned))
        if taken:
            lengths = np.array([len(each) for each in members])
            self._keep(np.array(taken), split, lengths, np.concatenate(members))
        return taken

    def keep_train(self, wanted: np.ndarray, shortest: int) -> None:
        """Keep playlists as train ones, with the tracks that are assigned to train.

        Args:
            wanted: (p,) bool.
            shortest: Playlists with fewer tracks are dropped.
        """
        short = 0
        self._tried[wanted] = _TRAIN
        for start, stop, row_of, tracks in self.playlists.entries(wanted):
            mine = self.owner[tracks] == _TRAIN
            row_of, tracks = row_of[mine], tracks[mine]
            lengths = np.bincount(row_of, minlength=stop - start)
            enough = lengths >= shortest
            short += int((wanted[start:stop] & ~enough).sum())
            if enough.any():
                self._keep(start + np.flatnonzero(enough), "train", lengths[enough], tracks[enough[row_of]])
        add_count(self.left_out, f"train playlists with fewer than {shortest} tracks of their split", short)

    def result(self) -> SplitPlaylists:
        """Return all playlists that were taken, and count what is in no split.

        Raises:
            DataError: If there is none, or none of test where its tracks are those of a period.
        """
        kept = np.concatenate([np.empty(0, dtype=np.int8), *(splits for _, splits, *_ in self._kept)])
        of_what = "its own split" if not len(kept) else "test" if self.rule.rule == "date" and _TEST not in kept else ""
        if of_what:
            all_test = ", or use --train-fraction 0 to put every playlist in test"
            raise DataError(
                f"no playlist has {self.rule.min_length} tracks of {of_what}",
                where="playlists",
                next_step="lower --min-length" + (all_test if self.rule.train_fraction else ""),
            )
        if not self._tracks_first:
            add_count(self.left_out, "tracks that no split holds", int((self.owner == NO_SPLIT).sum()))
        self._count_entries()
        rows, splits, lengths, tracks = map(np.concatenate, zip(*self._kept, strict=True))
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return SplitPlaylists(rows, splits, offsets, tracks, self.playlists.roles)

    def _keep(self, rows: np.ndarray, split: SplitName, lengths: np.ndarray, tracks: np.ndarray) -> None:
        places = np.full(len(rows), SPLITS.index(split), dtype=np.int8)
        self._kept.append((rows.astype(np.int64), places, lengths.astype(np.int64), tracks))

    def _count_entries(self) -> None:
        """Count the dropped entries of the playlists that were tried, each track of a playlist once."""
        kept = np.zeros(len(self.playlists), dtype=np.int64)
        for rows, _, lengths, _ in self._kept:
            kept[rows] = lengths
        elsewhere = nowhere = short = cut = 0
        for start, stop, row_of, tracks in self.playlists.entries(self.tried):
            owner, wanted = self.owner[tracks], self._tried[start:stop][row_of]
            nowhere += int((owner == NO_SPLIT).sum())
            elsewhere += int(((owner != NO_SPLIT) & (owner != wanted)).sum())
            own = np.bincount(row_of[owner == wanted], minlength=stop - start)
            stayed = kept[start:stop]
            short += int(own[stayed == 0].sum())
            cut += int((own - stayed)[stayed > 0].sum())
        counted = {
            IN_OTHER_SPLIT: elsewhere,
            IN_NO_SPLIT: nowhere,
            IN_SHORT_PLAYLIST: short,
            f"entries beyond {self.rule.max_length} of a valid or test playlist": cut,
        }
        self.left_out_entries = {reason: count for reason, count in counted.items() if count}

    def _cut(self, row: int, tracks: np.ndarray) -> np.ndarray:
        """Return the tracks of a valid or test playlist, each once, at most ``max_length``."""
        if self.playlists.order == "timed":
            place = rules.uniform(self.rule.seed, "run", self.playlists.ids[row])
            return contiguous(tracks, self.rule.max_length, place)
        if self.playlists.order == "unknown" and self.rule.max_length is not None:
            seed = int(rules.uniform(self.rule.seed, "subset", self.playlists.ids[row]) * 2**53)
            tracks = np.random.Generator(np.random.PCG64(seed)).permutation(np.sort(tracks))
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
    back = _first_places(tracks[::-1], most)  # where the last ones come last, from the end on
    if not len(back):
        return tracks[:0]
    start = int(place * (len(tracks) - back[-1]))
    run = tracks[start:]
    return run[_first_places(run, len(back))]


def _first_places(tracks: np.ndarray, most: int | None) -> np.ndarray:
    """Return where different tracks come first, ascending: of `most` of them, or of all if there are fewer."""
    size = len(tracks) if most is None else 2 * most
    while True:
        found = np.sort(np.unique(tracks[:size], return_index=True)[1])[:most]
        if len(found) == most or size >= len(tracks):
            return found
        size *= 4
