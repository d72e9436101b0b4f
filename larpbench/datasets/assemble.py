"""From raw tables of tracks and playlists to a data set folder: the one way that every builder takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from larpbench.datasets import splits
from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.files import read_dataset, write_dataset
from larpbench.datasets.schema import ROLES, SPLITS, Dataset, DatasetAudio, SplitRule
from larpbench.errors import DataError, clipped, named

_CONTROL_CHARACTERS = r"[\x00-\x1f\x7f]+"


@dataclass(frozen=True)
class BuildOptions:
    """How a data set is made out of raw tables.

    Attributes:
        name: Name of the data set.
        source: What it is built from, in words.
        licence: Licence of the data, in words.
        caption_template: See `larpbench.datasets.captions`.
        split_seed: Seed of all draws.
        train_fraction: Share of the playlists that are train, if the split is drawn.
        min_length: Playlists with fewer tracks of their own split leave, if the split is drawn.
        notes: What every table made on the data set has to say.
    """

    name: str
    source: str
    licence: str
    caption_template: str = DEFAULT_TEMPLATE
    split_seed: int = 0
    train_fraction: float = 0.7
    min_length: int = 5
    notes: tuple[str, ...] = ()


@dataclass
class _LeftOut:
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, count: int) -> None:
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + count


def assemble(
    tracks: pl.DataFrame,
    playlists: pl.DataFrame,
    options: BuildOptions,
    output: Path,
    *,
    audio: DatasetAudio | None = None,
    left_out: Mapping[str, int] | None = None,
    attachments: Mapping[str, Path] | None = None,
) -> Dataset:
    """Clean, split, caption and write a data set.

    Args:
        tracks: ``track_id``, ``title``, ``artist``, ``album``, and maybe ``split``, ``audio``, ``clip_start_s``,
            ``duration_s``.
        playlists: ``playlist_id``, ``track_id``, and maybe ``split`` and ``role``. A split or roles that are there are
            taken as they are; what is not there is drawn (protocol rules 2 and 3).
        options: How.
        output: Folder to write.
        audio: The tracks' audio, if the data set has any.
        left_out: What has left before, by reason.
        attachments: Name -> file or folder on the same disk that is moved into the data set folder.

    Raises:
        DataError: If the tables contradict themselves, naming the ids.
        StorageError: If the folder cannot be written.
    """
    gone = _LeftOut(dict(left_out or {}))
    clean = clean_texts(sorted_tracks(tracks))
    entries = _clean_playlists(playlists, clean, gone)
    given = "split" in clean.columns or "split" in entries.columns
    if "role" in entries.columns and not given:
        raise DataError("the playlists have a role column but nothing says their split", allowed="a split column too")
    if given:
        clean, entries = _take_split(clean, entries)
        rule = SplitRule(rule="given", roles="given" if "role" in entries.columns else "drawn", seed=options.split_seed)
    else:
        clean, entries = _draw_split(clean, entries, options, gone)
        rule = SplitRule(
            rule="cold-start",
            roles="drawn",
            seed=options.split_seed,
            train_fraction=options.train_fraction,
            min_length=options.min_length,
        )
    if "role" in entries.columns:
        entries = _take_roles(entries, gone)
    else:
        entries = splits.draw_roles(entries, options.split_seed)
    clean = clean.with_columns(caption_column(options.caption_template))
    write_dataset(
        output,
        clean,
        [entries.sort("playlist_id", "track_id")],
        name=options.name,
        source=options.source,
        licence=options.licence,
        caption_template=options.caption_template,
        split=rule,
        left_out=gone.counts,
        notes=options.notes,
        audio=audio,
        attachments=attachments,
    )
    return read_dataset(output)


def sorted_tracks(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return the tracks sorted by id.

    Raises:
        DataError: If an id is missing, unprintable, or there twice.
    """
    _require_ids(tracks, "track_id", "tracks")
    repeated = tracks.filter(pl.col("track_id").is_duplicated())["track_id"].unique().sort()
    if len(repeated):
        raise DataError(
            f"{len(repeated)} track ids occur more than once: {named(repeated)}",
            where="tracks",
            allowed="one row a track",
        )
    return tracks.sort("track_id")


def clean_texts(tracks: pl.DataFrame) -> pl.DataFrame:
    """Return the tracks with titles, artists and albums without control characters; unknown ones are empty."""
    text = [
        pl.col(name).fill_null("").str.replace_all(_CONTROL_CHARACTERS, " ").str.strip_chars()
        for name in ("title", "artist", "album")
    ]
    return tracks.with_columns(text)


def _clean_playlists(playlists: pl.DataFrame, tracks: pl.DataFrame, left_out: _LeftOut) -> pl.DataFrame:
    _require_ids(playlists, "playlist_id", "playlists")
    _require_ids(playlists, "track_id", "playlists")
    known = playlists.join(tracks.select("track_id"), on="track_id", how="semi")
    left_out.add("entries whose track is not in the tracks table", playlists.height - known.height)
    if known.is_empty():
        raise DataError(
            "no playlist holds a track of the tracks table",
            where=f"the playlists hold {_some(playlists['track_id'])}; the tracks are {_some(tracks['track_id'])}",
            allowed="track_id values that occur in both tables",
        )
    # With roles, the same track may stand in a playlist as seed and as heldout: that is settled with the roles.
    keys = [name for name in ("playlist_id", "track_id", "split", "role") if name in known.columns]
    entries = known.select(keys).unique(maintain_order=True)
    left_out.add("duplicate entries", known.height - entries.height)
    return entries


def _some(ids: pl.Series) -> str:
    """Return the first three ids, for messages."""
    return named([clipped(each, 60) for each in ids.unique(maintain_order=True).head(3)]) or "none"


def _draw_split(
    tracks: pl.DataFrame, entries: pl.DataFrame, options: BuildOptions, left_out: _LeftOut
) -> tuple[pl.DataFrame, pl.DataFrame]:
    drawn = splits.draw_playlist_splits(
        entries["playlist_id"].unique().sort(), options.split_seed, options.train_fraction
    )
    entries = entries.join(drawn, on="playlist_id")
    owners = splits.claim_tracks(entries, tracks["track_id"])
    kept = entries.join(owners, on=["track_id", "split"], how="semi")
    left_out.add("entries whose track belongs to another split", entries.height - kept.height)
    long_enough = kept.filter(pl.len().over("playlist_id") >= options.min_length)
    gone = entries["playlist_id"].n_unique() - long_enough["playlist_id"].n_unique()
    left_out.add(f"playlists with fewer than {options.min_length} tracks of their split", gone)
    if long_enough.is_empty():
        raise DataError(
            f"no playlist has {options.min_length} tracks of its own split",
            where="playlists",
            next_step="lower --min-length, or use --train-fraction 0 to put every playlist in test",
        )
    return tracks.join(owners, on="track_id"), long_enough


def _take_split(tracks: pl.DataFrame, entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    for frame, where in ((tracks, "tracks"), (entries, "playlists")):
        if "split" in frame.columns:
            _require_values(frame, "split", SPLITS, where, null_allowed=where == "tracks")
    if "split" not in entries.columns:
        entries = entries.join(tracks.select("track_id", "split"), on="track_id")
        if entries["split"].null_count():
            orphans = entries.filter(pl.col("split").is_null())["track_id"].unique().sort()
            raise DataError(f"tracks in playlists without a split: {named(orphans)}", where="tracks")
    _require_one_split(entries, "playlist_id")
    _require_one_split(entries, "track_id")
    owners = entries.select("track_id", pl.col("split").alias("of_playlists")).unique()
    unlisted = splits.split_of_unlisted(entries)
    joined = tracks.join(owners, on="track_id", how="left")
    if "split" in tracks.columns:
        torn = joined.filter(pl.col("split") != pl.col("of_playlists"))
        if torn.height:
            first = torn.row(0, named=True)
            raise DataError(
                f"{torn.height} tracks are in two splits: {named(torn['track_id'])}",
                where=f"tracks say {first['split']}, playlists {first['of_playlists']}",
                allowed="train, valid and test share no track (protocol rule 1)",
            )
        filled = pl.coalesce("split", "of_playlists", pl.lit(unlisted))
    else:
        filled = pl.coalesce("of_playlists", pl.lit(unlisted))
    return joined.with_columns(filled.alias("split")).drop("of_playlists"), entries


def _take_roles(entries: pl.DataFrame, left_out: _LeftOut) -> pl.DataFrame:
    asked = entries.filter(pl.col("split") != "train")
    _require_values(asked, "role", ROLES[1:], "playlists of valid and test", null_allowed=False)
    members = entries.filter(pl.col("split") == "train").with_columns(role=pl.lit("member"))
    both = pl.concat([members, asked])
    settled = both.sort("role", descending=True).unique(["playlist_id", "track_id"], keep="first", maintain_order=True)
    left_out.add("held-out entries that are seeds of the same playlist", both.height - settled.height)
    return settled


def _require_ids(frame: pl.DataFrame, column: str, where: str) -> None:
    bad = frame.filter(
        pl.col(column).is_null() | (pl.col(column) == "") | pl.col(column).str.contains(_CONTROL_CHARACTERS)
    )
    if bad.height:
        raise DataError(
            f"{bad.height} rows have an empty {column}, or one with control characters",
            where=where,
            allowed="printable, non-empty ids",
        )


def _require_values(
    frame: pl.DataFrame, column: str, allowed: tuple[str, ...], where: str, *, null_allowed: bool
) -> None:
    wrong = frame.filter(~pl.col(column).is_in(allowed) | (pl.lit(not null_allowed) & pl.col(column).is_null()))
    if wrong.height:
        values = [str(value) for value in wrong[column].unique().sort().head(5)]
        raise DataError(
            f"{wrong.height} rows have a {column} of {', '.join(values)}", where=where, allowed=", ".join(allowed)
        )


def _require_one_split(entries: pl.DataFrame, column: str) -> None:
    torn = entries.group_by(column).agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)[column].sort()
    if len(torn):
        what = "tracks" if column == "track_id" else "playlists"
        raise DataError(
            f"{len(torn)} {what} are in two splits: {named(torn)}",
            where="playlists",
            allowed=f"train, valid and test share no {what[:-1]} (protocol rule 1)",
        )
