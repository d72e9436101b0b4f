"""From raw tables of tracks and playlists to a data set folder: the one way that every builder takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.files import read_dataset, write_dataset
from larpbench.datasets.schema import ROLES, SPLITS, Dataset, DatasetAudio, SplitRule
from larpbench.datasets.splits import rules as splits
from larpbench.errors import DataError, UsageError, clipped, named

TRAIN_FRACTION = 0.7
MIN_LENGTH = 5
OTHER_SPLIT = "entries whose track belongs to another split"
TOO_SHORT = "entries of playlists with too few tracks of their split"
_UNKNOWN = "entries whose track is not in the tracks table"
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
        split_rule: How the split is drawn, see `SplitRule.rule`; None: ``tracks``, or ``playlists`` where all of them
            are test.
        train_fraction: Share of train, if the split is drawn; 0 puts everything in test. None: 0.7.
        min_length: Playlists with fewer tracks of their own split leave, if the split is drawn. None: 5.
        notes: What every table made on the data set has to say.
    """

    name: str
    source: str
    licence: str
    caption_template: str = DEFAULT_TEMPLATE
    split_seed: int = 0
    split_rule: Literal["tracks", "playlists"] | None = None
    train_fraction: float | None = None
    min_length: int | None = None
    notes: tuple[str, ...] = ()

    def drawn_rule(self) -> SplitRule:
        """Return how the split is drawn.

        Raises:
            UsageError: If tracks are to be drawn, and train gets none.
        """
        train_fraction = TRAIN_FRACTION if self.train_fraction is None else self.train_fraction
        if self.split_rule == "tracks" and train_fraction == 0:
            raise UsageError(
                "with a train fraction of 0 everything is test: no track is drawn",
                allowed="--split-rule playlists, or --train-fraction above 0",
            )
        return SplitRule(
            rule=self.split_rule or ("tracks" if train_fraction else "playlists"),
            roles="drawn",
            seed=self.split_seed,
            train_fraction=train_fraction,
            min_length=MIN_LENGTH if self.min_length is None else self.min_length,
        )

    def require_no_draw(self) -> None:
        """Refuse to draw a split that the tables have given.

        Raises:
            UsageError: If an option says how it is drawn.
        """
        asked = {
            "--split-rule": self.split_rule,
            "--train-fraction": self.train_fraction,
            "--min-length": self.min_length,
        }
        useless = [name for name, value in asked.items() if value is not None]
        if useless:
            raise UsageError(
                f"the tables have a split column, which is taken as it is: {', '.join(useless)} would change nothing",
                next_step="leave the option out, or the column split",
            )


@dataclass
class _LeftOut:
    counts: dict[str, int]
    entries: dict[str, int]

    def add(self, reason: str, count: int) -> None:
        if count:
            self.counts[reason] = self.counts.get(reason, 0) + count

    def add_entries(self, reason: str, count: int) -> None:
        if count:
            self.entries[reason] = self.entries.get(reason, 0) + count


def entries_among(left_out: Mapping[str, int]) -> dict[str, int]:
    """Return the reasons for which playlist entries left; duplicates are no loss (protocol rule 1)."""
    return {reason: count for reason, count in left_out.items() if reason.startswith("entries ")}


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
        UsageError: If the options draw a split and the tables have one.
        StorageError: If the folder cannot be written.
    """
    gone = _LeftOut(dict(left_out or {}), entries_among(left_out or {}))
    clean = clean_texts(sorted_tracks(tracks))
    entries = _clean_playlists(playlists, clean, gone)
    given = "split" in clean.columns or "split" in entries.columns
    if "role" in entries.columns and not given:
        raise DataError("the playlists have a role column but nothing says their split", allowed="a split column too")
    if given:
        options.require_no_draw()
        clean, entries = _take_split(clean, entries)
        rule = SplitRule(rule="given", roles="given" if "role" in entries.columns else "drawn", seed=options.split_seed)
    else:
        rule = options.drawn_rule()
        clean, entries = _draw_split(clean, entries, rule, gone)
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
        left_out_entries=gone.entries,
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
    left_out.add(_UNKNOWN, playlists.height - known.height)
    left_out.add_entries(_UNKNOWN, playlists.height - known.height)
    if known.is_empty():
        raise DataError(
            "no playlist holds a track of the tracks table",
            where=f"the playlists hold {_some(playlists['track_id'])}; the tracks are {_some(tracks['track_id'])}",
            allowed="track_id values that occur in both tables",
        )
    # With roles, the same track may stand in a playlist as seed and as heldout: that is settled with the roles.
    keys = [name for name in ("playlist_id", "track_id", "split", "role") if name in known.columns]
    ordered = known.select(keys).sort(keys)  # takes half the memory of `unique`
    entries = ordered.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in keys))
    left_out.add("duplicate entries", known.height - entries.height)
    return entries


def _some(ids: pl.Series) -> str:
    """Return the first three ids, for messages."""
    return named([clipped(each, 60) for each in ids.unique(maintain_order=True).head(3)]) or "none"


def _draw_split(
    tracks: pl.DataFrame, entries: pl.DataFrame, rule: SplitRule, left_out: _LeftOut
) -> tuple[pl.DataFrame, pl.DataFrame]:
    fraction, shortest = rule.train_fraction or 0.0, rule.min_length or 1
    drawn = splits.draw_playlist_splits(entries["playlist_id"].unique().sort(), rule.seed, fraction)
    entries = entries.join(drawn, on="playlist_id")
    if rule.rule == "tracks":
        owners = splits.draw_track_splits(tracks["track_id"], rule.seed, fraction)
    else:
        owners = splits.claim_tracks(entries, tracks["track_id"])
    kept = entries.join(owners, on=["track_id", "split"], how="semi")
    left_out.add(OTHER_SPLIT, entries.height - kept.height)
    left_out.add_entries(OTHER_SPLIT, entries.height - kept.height)
    long_enough = kept.filter(pl.len().over("playlist_id") >= shortest)
    gone = entries["playlist_id"].n_unique() - long_enough["playlist_id"].n_unique()
    left_out.add(f"playlists with fewer than {shortest} tracks of their split", gone)
    left_out.add_entries(TOO_SHORT, kept.height - long_enough.height)
    if long_enough.is_empty():
        raise DataError(
            f"no playlist has {shortest} tracks of its own split",
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
    train = entries.filter(pl.col("split") == "train")
    named_role = ~pl.col("role").fill_null("").is_in(["", "member"])
    left_out.add("roles of train entries, which are all members", train.filter(named_role).height)
    members = train.with_columns(role=pl.lit("member")).unique(["playlist_id", "track_id"], maintain_order=True)
    both = pl.concat([members, asked])
    settled = both.sort("role", descending=True).unique(["playlist_id", "track_id"], keep="first", maintain_order=True)
    left_out.add("held-out entries that are seeds of the same playlist", both.height - settled.height)
    return settled


def unprintable(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the rows whose id is missing, empty, or has control characters."""
    return frame.filter(
        pl.col(column).is_null() | (pl.col(column) == "") | pl.col(column).str.contains(_CONTROL_CHARACTERS)
    )


def _require_ids(frame: pl.DataFrame, column: str, where: str) -> None:
    bad = unprintable(frame, column)
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
