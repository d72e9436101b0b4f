"""Listening histories of a sample of LFM's users, and the texts of their tracks, out of the files of a copy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.datasets.audio_files.named import NamedAudio
from larpbench.datasets.raw_dataset import RawPlaylists
from larpbench.datasets.reading.log_times import OUTSIDE, Clock
from larpbench.datasets.reading.packed_tables import Table, find_table
from larpbench.datasets.schema import SplitRule
from larpbench.datasets.sources.lfm.log import UserSample
from larpbench.datasets.sources.lfm.tables import (
    ARTISTS_1B,
    COUNTS,
    EVENTS,
    EVENTS_1B,
    TRACKS,
    TRACKS_1B,
    URIS,
)
from larpbench.datasets.track_ids import ids_of_uris
from larpbench.errors import DataError
from larpbench.storage import atomic_file, storage_errors, write_text
from larpbench.table_files import read_parquet

_LARGEST = 2**32 - 1
_SPARSE = 6  # times as many numbers as tracks: too many for an array of all
UNREADABLE = "rows of the log that cannot be read"
WRONG_TIME = f"rows of the log whose time is {OUTSIDE}"


@dataclass(frozen=True)
class LfmFiles:
    """The tables of a copy.

    Attributes:
        log: Events or counts.
        uris: Spotify ids; None in copies that lack them, where LFM's own ids count.
        tracks: Titles, and artists by name or number.
        artists: Names of artists, where `tracks` has numbers.
    """

    log: Table
    uris: Table | None
    tracks: Table
    artists: Table | None

    def stamps(self) -> list[object]:
        """Return what changes when one of them does: names, sizes, times."""
        paths = [each.path for each in (self.log, self.uris, self.tracks, self.artists) if each is not None]
        return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


@dataclass(frozen=True)
class ListeningHistory:
    """What users have listened to.

    Attributes:
        playlists: Users in the order in which they are drawn, with rows of `tracks`.
        tracks: Columns ``track`` (LFM's number) and ``track_id``.
        left_out: Reason -> number of rows of the log that do not count.
    """

    playlists: RawPlaylists
    tracks: pl.DataFrame
    left_out: dict[str, int]


class KnownTracks:
    """The tracks that count.

    Args:
        numbers: (n,) LFM's numbers, ascending.
        ids: (n,) String; several numbers may mean the same track.
    """

    def __init__(self, numbers: pl.Series, ids: pl.Series) -> None:
        self.numbers, self.ids = numbers.to_numpy().astype(np.uint32), ids
        same = pl.DataFrame([ids.alias("id")]).with_row_index("row")
        self._first = same.select(pl.col("row").min().over("id")).to_series().to_numpy()
        self._after: np.ndarray | None = None  # by number, the row after its own; 0 where it is not known
        last = int(self.numbers[-1])
        if last < _SPARSE * len(self.numbers):
            self._after = np.zeros(last + 1, dtype=np.uint32)
            self._after[self.numbers] = self._first + np.uint32(1)

    def rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of LFM's numbers are known, (m,) bool, and their rows: of several for one track the first.

        Args:
            numbers: (m,) uint32.
        """
        if self._after is None:
            place = np.searchsorted(self.numbers, numbers).clip(max=len(self.numbers) - 1)
            known = self.numbers[place] == numbers
            return known, self._first[place[known]]
        after = self._after.take(numbers, mode="clip")
        known = (after > 0) & (numbers < len(self._after))
        return known, after[known] - np.uint32(1)


def find_files(source: Path) -> LfmFiles:
    """Find the files of LFM-2b or LFM-1b.

    Raises:
        DataError: If one that is needed is missing or has other columns.
    """
    if not source.is_dir():
        raise DataError(f"there is no folder {source}", allowed="a folder with the files of LFM-2b or LFM-1b")
    log, tracks = find_table(source, EVENTS, EVENTS_1B, COUNTS), find_table(source, TRACKS, TRACKS_1B)
    if log is None or tracks is None:
        names = "tracks.tsv.bz2" if log else "listening-events.tsv.bz2 or listening-counts.tsv.bz2"
        found = ", ".join(sorted(path.name for path in source.iterdir())[:8])
        raise DataError(
            f"there is no {names}",
            where=f"{source} (has {found or 'nothing'})",
            allowed="the files of LFM-2b, or LFM-1b_LEs.txt, LFM-1b_tracks.txt and LFM-1b_artists.txt",
        )
    artists = find_table(source, ARTISTS_1B) if "artist_id" in tracks.places else None
    if "artist_id" in tracks.places and artists is None:
        raise DataError(
            f"there is no LFM-1b_artists.txt, and {tracks.path.name} names artists by number", where=str(source)
        )
    uris = find_table(source, URIS)
    if uris is None:
        progress.say("there is no spotify-uris.tsv.bz2: all tracks count, and their ids are LFM's numbers")
    return LfmFiles(log, uris, tracks, artists)


def read_history(files: LfmFiles, rule: SplitRule, audio: NamedAudio | None, work: Path) -> ListeningHistory:
    """Return the histories of the users that the rule draws; read from `work` if they are there.

    Raises:
        DataError: If the log is damaged, or no row of it can be used.
    """
    marker, arrays, names = (work / f"history.{suffix}" for suffix in ("json", "npz", "parquet"))
    if not marker.is_file():
        history = _read_log(files, rule, audio)
        users = history.playlists
        with atomic_file(arrays) as temporary:
            np.savez(temporary, ids=users.ids.to_numpy().astype(str), offsets=users.offsets, tracks=users.tracks)
        with atomic_file(names) as temporary:
            history.tracks.write_parquet(temporary)
        write_text(marker, json.dumps({"order": users.order, "left_out": history.left_out}))
        return history
    state = json.loads(marker.read_text(encoding="utf-8"))
    with storage_errors(arrays, "read"), np.load(arrays) as stored:
        users = RawPlaylists(pl.Series(stored["ids"]), stored["offsets"], stored["tracks"], state["order"])
    return ListeningHistory(users, read_parquet(names), state["left_out"])


def read_texts(files: LfmFiles, history: ListeningHistory, work: Path) -> pl.DataFrame:
    """Return ``track``, ``title``, ``artist`` of the tracks of a history; read from `work` if it is there."""
    path = work / "texts.parquet"
    if path.is_file():
        return read_parquet(path)
    texts = _rows_of(files.tracks, "track_id", history.tracks["track"])
    if files.artists is not None:
        names = _rows_of(files.artists, "artist_id", texts["artist_id"].drop_nulls().unique())
        texts = texts.join(names, on="artist_id", how="left", maintain_order="left")
    texts = texts.select(pl.col("track_id").cast(pl.UInt32).alias("track"), "title", "artist")
    with atomic_file(path) as temporary:
        texts.write_parquet(temporary)
    return texts


def _read_log(files: LfmFiles, rule: SplitRule, audio: NamedAudio | None) -> ListeningHistory:
    known = _known_tracks(files.uris, audio)
    timed = "timestamp" in files.log.places
    evaluated = (rule.test_playlists or 0) + (rule.valid_playlists or 0)
    users = UserSample(rule.seed, evaluated, rule.train_tracks or 0, timed=timed)
    clock = Clock(files.log.path.name) if timed else None
    rows = readable = 0
    for chunk in files.log.chunks():
        whole = chunk.drop_nulls().filter(pl.col("track_id").is_between(0, _LARGEST))
        rows, readable = rows + chunk.height, readable + whole.height
        if clock is not None:
            whole = whole.with_columns(timestamp=clock.seconds(whole["timestamp"])).drop_nulls()
        mine = whole.filter(pl.col("user_id").is_in(users.wanted(whole["user_id"])))
        who, tracks = mine["user_id"].to_numpy(), mine["track_id"].to_numpy().astype(np.uint32)
        times = (mine["timestamp"].to_numpy() if timed else np.zeros(len(tracks))).astype(np.uint32)
        if known is not None:
            usable, tracks = known.rows(tracks)
            who, times = who[usable], times[usable]
        users.add(who, tracks, times)
    left_out = {UNREADABLE: rows - readable}
    if clock is not None:
        clock.close(readable)
        left_out = {UNREADABLE: rows - readable + clock.unreadable, WRONG_TIME: clock.outside}
    playlists = users.playlists()
    lost = sum(left_out.values())
    if not len(playlists) or 2 * lost > rows:
        because = f"{left_out[UNREADABLE]} cannot be read" + (
            f", {left_out[WRONG_TIME]} are {OUTSIDE}" if left_out.get(WRONG_TIME) else ""
        )
        raise DataError(
            f"most of {rows} rows cannot be used: {because}"
            if len(playlists)
            else f"none of {rows} rows can be used: {because}, the rest name tracks that are not known",
            where=str(files.log.path),
            allowed="numbers of users and tracks"
            + (" that spotify-uris.tsv.bz2 has" if known is not None else "")
            + ("; dates, or seconds since 1970 or thousandths, millionths, billionths of them" if timed else ""),
        )
    return _numbered(playlists, known, left_out)


def _numbered(playlists: RawPlaylists, known: KnownTracks | None, left_out: dict[str, int]) -> ListeningHistory:
    """Put rows of a table of just those tracks that occur in place of LFM's numbers, or of rows of all tracks."""
    last = int(playlists.tracks.max())
    if last < _SPARSE * len(playlists.tracks):
        present = np.zeros(last + 1, dtype=bool)
        for _, _, block in playlists.blocks():
            present[block] = True
        rows = np.flatnonzero(present).astype(np.uint32)
        playlists.renumber(np.cumsum(present, dtype=np.uint32) - np.uint32(1))
    else:
        rows = np.unique(playlists.tracks)
        for _, _, block in playlists.blocks():
            block[:] = np.searchsorted(rows, block)
    if known is None:
        tracks = pl.DataFrame({"track": rows}).with_columns(track_id=pl.col("track").cast(pl.String))
    else:
        tracks = pl.DataFrame({"track": known.numbers[rows], "track_id": known.ids.gather(rows)})
    return ListeningHistory(playlists, tracks, left_out)


def _known_tracks(uris: Table | None, audio: NamedAudio | None) -> KnownTracks | None:
    """Return the tracks that have a Spotify id, if the copy has those, and a file, if there is audio; None for all."""
    if uris is None:
        if audio is None:
            return None
        numbers = np.array(sorted(int(name) for name in audio.files if name.isdecimal() and int(name) <= _LARGEST))
        names = pl.DataFrame({"track_id": numbers, "id": numbers.astype(str)})
    else:
        parts, listed = [], 0
        for chunk in uris.chunks():
            ids = chunk.select("track_id", ids_of_uris(chunk["uri"]).alias("id")).drop_nulls()
            listed += ids.height
            parts.append(ids if audio is None else ids.filter(pl.col("id").is_in(list(audio.files))))
        names = pl.concat(parts).filter(pl.col("track_id").is_between(0, _LARGEST))
        if audio is not None:
            share = names.height / max(listed, 1)
            progress.say(f"audio: {names.height} of {listed} tracks with a Spotify id have a file ({share:.1%})")
    if names.is_empty():
        raise DataError(
            "no track has both a Spotify id and an audio file" if audio is not None else "no track has a Spotify id",
            where=str(audio.source if audio is not None else uris and uris.path),
            allowed="files named by the ids that spotify-uris.tsv.bz2 has" if audio is not None else "track_id, uri",
        )
    names = _first_of_each(names, "track_id")
    return KnownTracks(names["track_id"], names["id"])


def _rows_of(table: Table, column: str, wanted: pl.Series) -> pl.DataFrame:
    """Return the rows of a table whose `column` is wanted, the first of each."""
    numbers = wanted.to_numpy().astype(np.int64)
    is_wanted = np.zeros(int(numbers.max(initial=0)) + 2, dtype=bool)
    is_wanted[numbers] = True
    parts = []
    for chunk in table.chunks():
        place = chunk[column].fill_null(-1).to_numpy().clip(-1, len(is_wanted) - 1)
        parts.append(chunk.filter(pl.Series(is_wanted[place])))
    return _first_of_each(pl.concat(parts), column)


def _first_of_each(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the first row of each number in a column, in the order of the numbers."""
    if (table[column].diff() > 0).all():  # as such tables are published: nothing to copy
        return table
    return table.unique(column, keep="first", maintain_order=True).sort(column)
