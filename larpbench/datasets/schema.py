"""What a data set is: its manifest, its tables, and the arrays that the rest of larpbench works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.audio_table import DatasetAudio, SplitAudio
from larpbench.errors import DataError
from larpbench.fingerprint import digest, digest_columns

if TYPE_CHECKING:
    from larpbench.datasets.artists.graph import ArtistGraph

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
ROLES = ("member", "seed", "heldout")
TEXT_COLUMNS = ("title", "artist", "album")
"""The texts of a track, of which its caption is made."""

TRACK_COLUMNS: dict[str, type[pl.DataType]] = {
    "track_id": pl.String,
    "title": pl.String,
    "artist": pl.String,
    "album": pl.String,
    "caption": pl.String,
    "audio": pl.String,
    "clip_start_s": pl.Float64,
    "duration_s": pl.Float64,
    "split": pl.String,
}
PLAYLIST_COLUMNS: dict[str, type[pl.DataType]] = {
    "playlist_id": pl.String,
    "track_id": pl.String,
    "split": pl.String,
    "role": pl.String,
}


class SplitRule(BaseModel):
    """How the split came about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Literal["tracks", "playlists", "date", "given", "paper", "cold-tracks"]
    """``tracks``: tracks and playlists are drawn; ``playlists``: playlists are drawn, and test takes its tracks first
    (protocol rule 2, both); ``date``: tracks are split by a column, playlists are drawn; ``given``: taken from the
    user's own columns; ``paper``: drawn as the papers describe it, train takes its tracks first. Of the kind
    ``listeners`` only tracks are split: ``cold-tracks`` draws them, ``date`` and ``given`` are as above."""
    roles: Literal["drawn", "given"]
    """Whether seeds and held-out tracks were drawn (rule 3) or given."""
    seed: int
    train_fraction: float | None = None
    """Share of the playlists, and by the rule ``tracks`` of the tracks, that are train; null where numbers of playlists
    were asked for."""
    min_length: int | None = None
    max_length: int | None = None
    """Valid and test playlists were cut to so many tracks."""
    train_tracks: int | None = None
    valid_playlists: int | None = None
    test_playlists: int | None = None
    """What was asked for; `Manifest.counts` says what came out."""
    artist_disjoint: bool = False
    """Whether no artist is in two splits."""
    column: str | None = Field(default=None, exclude_if=lambda column: column is None)
    """Column of the tracks by which the rule ``date`` splits."""
    boundaries: tuple[str, str] | None = Field(default=None, exclude_if=lambda boundaries: boundaries is None)
    """Its values at which valid and test begin."""
    cold_fraction: float | None = Field(default=None, exclude_if=lambda fraction: fraction is None)
    """Share of the tracks that the rule ``cold-tracks`` draws: two thirds of them are test, one third valid."""

    @field_validator("rule", mode="before")
    @classmethod
    def _of_earlier_versions(cls, rule: object) -> object:
        return "playlists" if rule == "cold-start" else rule

    @model_validator(mode="after")
    def _dates_have_a_column(self) -> Self:
        if (self.rule == "date") != (self.column is not None and self.boundaries is not None):
            raise ValueError("the rule date, and no other, has a column and boundaries")
        return self


class Manifest(BaseModel):
    """The content of ``dataset.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    kind: str = Field(default="playlists", pattern=r"^[a-z][a-z0-9-]*$")
    """``playlists``, ``listeners`` (they are known, and only their tracks are split), ``artist-graph`` (with a graph
    beside the tables), or what a plug-in's task reads."""
    name: str
    source: str
    """What it was built from, in words."""
    licence: str
    caption_template: str
    audio_root: str | None = None
    """Folder that the tracks' ``audio`` paths start from, absolute or relative to this folder; null: no audio."""
    audio_policy: AudioPolicy | None = None
    """How clips are cut out of the audio files."""
    split: SplitRule
    counts: dict[str, int]
    left_out: dict[str, int] = Field(default_factory=dict)
    """Reason -> number of rows, tracks or playlists that did not come in; the reason begins with what is counted."""
    left_out_entries: dict[str, int] | None = None
    """Reason -> number of playlist entries that did not come in, also those of playlists that left; duplicates are no
    loss. With those of `counts` they are all that there were. Null where an earlier version built the data set."""
    uncounted: dict[str, int] = Field(default_factory=dict)
    """Split -> number of its playlists without a seed or without a held-out track, which no score can count."""
    notes: tuple[str, ...] = ()
    """What every table made on this data set has to say."""
    digests: dict[str, str]
    """``tracks.text``, ``tracks.names``, ``tracks.audio``, ``playlists``, ``split``, ``listens``."""
    fingerprint: str
    files: dict[str, str] = Field(default_factory=dict)
    """Table file -> sha256, by which a table that was changed afterwards is found."""
    recipe: str | None = None
    """Digest of the source files and options of a long build, by which the same command finds that it is done."""


_COMPARED = ("split", "playlists", "listens", "artists", "songs", "edges")


def tested_digest(digests: Mapping[str, str], fingerprint: str) -> str:
    """Return the digest of what two encoders must share to stand in one table: ids, split, and playlists or edges.

    Audio, captions and names are left out: what an encoder reads of them is in the key of its embeddings.

    Args:
        digests: Those of a manifest.
        fingerprint: Of the manifest; it stands for data whose digests say nothing of the above.
    """
    compared = {name: digests[name] for name in _COMPARED if name in digests}
    return digest(compared) if "split" in compared else fingerprint


@dataclass(frozen=True)
class Interactions:
    """Playlists as sets of tracks, in compressed rows.

    Attributes:
        playlist_ids: (p,) str, sorted.
        offsets: (p + 1,) int64; playlist i holds ``tracks[offsets[i]:offsets[i + 1]]``.
        tracks: (entries,) int64 rows of the split's tracks, ascending within a playlist.
        counts: (entries,) int64, how often a listener has played the track, 1 where that is not known; None where it
            is not known of any.
    """

    playlist_ids: np.ndarray
    offsets: np.ndarray
    tracks: np.ndarray
    counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.playlist_ids)

    @property
    def lengths(self) -> np.ndarray:
        """(p,) int64, the number of tracks of each playlist."""
        return np.diff(self.offsets)

    def select(self, rows: np.ndarray) -> Interactions:
        """Return the playlists in `rows` (a boolean mask or row numbers), in that order."""
        numbers = np.flatnonzero(rows) if rows.dtype == bool else rows
        lengths = self.lengths[numbers]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        entries = np.repeat(self.offsets[numbers], lengths) + within
        counts = None if self.counts is None else self.counts[entries]
        return Interactions(self.playlist_ids[numbers], offsets, self.tracks[entries], counts)

    def renumbered(self, numbers: np.ndarray) -> Interactions:
        """Return the same sets with another number, such as that of its artist, in the place of each track."""
        return replace(self, tracks=numbers[self.tracks])

    def emptied(self) -> Interactions:
        """Return as many playlists, all without a track."""
        return Interactions(self.playlist_ids, np.zeros_like(self.offsets), np.empty(0, dtype=np.int64))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Split:
    """One split of a data set: its tracks, and its playlists on these tracks.

    Attributes:
        name: Which split.
        tracks: One row a track, sorted by ``track_id``; the columns of `Dataset.tracks`.
        entries: Columns of ``playlists.parquet``, the rows of this split.
        audio: Where its clips are; None if the data set has no audio.
        listens: Those of the data set, see `Dataset`.
    """

    name: SplitName
    tracks: pl.DataFrame
    entries: pl.DataFrame
    audio: SplitAudio | None = None
    listens: pl.LazyFrame | None = None

    @cached_property
    def track_ids(self) -> np.ndarray:
        """(n,) str, sorted."""
        return self.tracks["track_id"].to_numpy().astype(str) if self.tracks.height else np.empty(0, dtype="<U1")

    def interactions(self, role: str | None = None) -> Interactions:
        """Return all playlists of the split with their tracks of one role (default: of any).

        Playlists without such a track stay, empty: the rows are the same for every role. The tables are joined once a
        role; the arrays are shared by all who ask, and read-only.
        """
        if role not in self._interactions:
            self._interactions[role] = self._joined(role)
        return self._interactions[role]

    @cached_property
    def _interactions(self) -> dict[str | None, Interactions]:
        return {}

    def _joined(self, role: str | None) -> Interactions:
        playlists = self.entries["playlist_id"].unique().sort()
        rows = self.entries if role is None else self.entries.filter(pl.col("role") == role)
        numbered = (
            rows.select("playlist_id", "track_id")
            .join(playlists.to_frame().with_row_index("p"), on="playlist_id")
            .join(self.tracks.select("track_id").with_row_index("t"), on="track_id")
            .sort("p", "t")
        )
        lengths = np.bincount(numbered["p"].to_numpy(), minlength=len(playlists))
        return Interactions(
            _read_only(playlists.to_numpy().astype(str) if len(playlists) else np.empty(0, dtype="<U1")),
            _read_only(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)),
            _read_only(numbered["t"].to_numpy().astype(np.int64)),
            self._counts(numbered),
        )

    def _counts(self, entries: pl.DataFrame) -> np.ndarray | None:
        """Return how often each entry's track was played, in their order; None if that is known of none."""
        if self.listens is None:
            return None
        keys = ["playlist_id", "track_id"]
        played = self.listens.select(*keys, "count").drop_nulls().collect()
        found = entries.join(played, on=keys, how="left", maintain_order="left")["count"]
        return _read_only(found.fill_null(1).cast(pl.Int64).to_numpy().copy()) if found.count() else None

    @cached_property
    def artist_codes(self) -> np.ndarray:
        """(n,) int64, a number for each artist; a track whose artist is unknown is its own artist. Read-only."""
        artists = self.tracks["artist"].fill_null("").to_numpy().astype(str)
        codes = np.unique(artists, return_inverse=True)[1].astype(np.int64)
        unknown = artists == ""
        codes[unknown] = len(artists) + np.arange(int(unknown.sum()))
        return _read_only(codes)

    @cached_property
    def ids_digest(self) -> str:
        """The digest of this split's ids: all that an encoder without modalities sees of it."""
        return digest_columns(self.track_ids)

    @cached_property
    def playlists_digest(self) -> str:
        """The digest of this split's playlists: who holds which track in which role."""
        return digest_columns(*(self.entries[name] for name in ("playlist_id", "track_id", "role")))

    @cached_property
    def text_digest(self) -> str:
        """The digest of this split's ids and captions: all that a text encoder sees of it."""
        return digest_columns(self.tracks["track_id"], self.tracks["caption"])


@dataclass(frozen=True, repr=False)
class Dataset:
    """A data set folder, read and checked against its schema.

    Attributes:
        folder: Where it lies.
        manifest: Its ``dataset.json``.
        tracks: Columns `TRACK_COLUMNS`, sorted by ``track_id``; then those that the table brought of its own, such as
            ``genre``: see `larpbench.datasets.columns`.
        playlists: Columns `PLAYLIST_COLUMNS`, sorted by ``playlist_id`` and ``track_id``; then those of the playlists'
            own, with one value in each playlist.
        audio: Its audio; None if it has none.
        graph: Its artists and their relations; None where it holds playlists instead.
        listens: Columns `larpbench.datasets.listeners.table.LISTEN_COLUMNS`, one row an entry of its listeners; None
            where nothing is known of counts and times.
    """

    folder: Path
    manifest: Manifest
    tracks: pl.DataFrame
    playlists: pl.DataFrame
    audio: DatasetAudio | None = None
    graph: ArtistGraph | None = None
    listens: pl.LazyFrame | None = None

    def __repr__(self) -> str:
        holds = "artists" if self.graph else f"{self.playlists['playlist_id'].n_unique()} playlists"
        audio = ", audio" if self.audio else ""
        return f"<Dataset {self.name}: {self.tracks.height} tracks, {holds}{audio}>"

    @property
    def name(self) -> str:
        """The name in the manifest."""
        return self.manifest.name

    def split(self, name: SplitName) -> Split:
        """Return one split.

        Raises:
            DataError: If `name` is no split.
        """
        if name not in SPLITS:
            raise DataError(f"no split {name!r}", where=str(self.folder), allowed=", ".join(SPLITS))
        return self._splits[name]

    @cached_property
    def scored_digest(self) -> str:
        """The digest of what all scores depend on, whatever the encoder: `tested_digest`, and the artists."""
        stated = tested_digest(self.manifest.digests, self.manifest.fingerprint)
        return digest([stated, digest_columns(self.tracks["artist"])])

    def without(self, track_ids: pl.Series) -> Dataset:
        """Return the data set without some tracks and their playlist entries; the manifest stays as it was built."""
        tracks, playlists = (
            frame.join(track_ids.to_frame("track_id"), on="track_id", how="anti", maintain_order="left")
            for frame in (self.tracks, self.playlists)
        )
        return replace(self, tracks=tracks, playlists=playlists)

    @cached_property
    def _splits(self) -> dict[str, Split]:
        return {name: self._split(name) for name in SPLITS}

    def _split(self, name: SplitName) -> Split:
        tracks, entries = (frame.filter(pl.col("split") == name) for frame in (self.tracks, self.playlists))
        if self.audio is None:
            return Split(name, tracks, entries, listens=self.listens)
        files = tracks.select("track_id", "audio", "clip_start_s").join(
            self.audio.files, on="track_id", how="left", maintain_order="left"
        )
        audio = SplitAudio(self.folder / self.audio.root, self.audio.policy, files)
        return Split(name, tracks, entries, audio, self.listens)
