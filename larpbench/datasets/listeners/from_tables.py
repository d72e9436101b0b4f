"""Data sets of listeners out of tables that somebody has already: which tables mean that, and how they are split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.listeners.assemble import ListenerOptions, assemble_listeners
from larpbench.datasets.listeners.split import COLD_FRACTION, given_split, split_by_hash
from larpbench.datasets.listeners.table import COUNT, FIRST_TIME
from larpbench.datasets.schema import Dataset, SplitRule
from larpbench.datasets.splits.dates import parse_split_by
from larpbench.errors import DataError, UsageError, named

_NO_EFFECT = {
    "--split-rule": "split_rule",
    "--train-fraction": "train_fraction",
    "--min-length": "min_length",
    "--train-tracks": "train_tracks",
    "--valid-playlists": "valid_playlists",
    "--test-playlists": "test_playlists",
}


def hold_listeners(tracks: pl.DataFrame, entries: pl.DataFrame) -> bool:
    """Return whether tables describe known listeners: splits are given, a playlist is in two, and no track is.

    Args:
        tracks: ``track_id`` and maybe ``split``.
        entries: ``playlist_id``, ``track_id`` and maybe ``split``.
    """
    if "split" not in tracks.columns and "split" not in entries.columns:
        return False
    owned = _with_split(tracks, entries)
    in_two = {
        key: owned.select(key, "split").unique()[key].is_duplicated().any() for key in ("playlist_id", "track_id")
    }
    return in_two["playlist_id"] and not in_two["track_id"]


def require_cold_options(options: BuildOptions) -> None:
    """Refuse options that do not go together, before anything is read.

    Raises:
        UsageError: If an option has no effect on cold tracks, or two say how they are chosen.
    """
    useless = [name for name, field in _NO_EFFECT.items() if getattr(options, field) is not None]
    useless += ["--artist-disjoint"] if options.artist_disjoint else []
    if useless:
        raise UsageError(
            f"{', '.join(useless)} would change nothing: for the task cold-tracks only tracks are split, and listeners "
            "stay whole",
            allowed="--cold-fraction, --split-by, or a column split",
        )
    if options.cold_fraction is not None and options.split_by is not None:
        raise UsageError("--cold-fraction and --split-by are different ways to split", allowed="one of the two")
    _drawn_rule(options)


def assemble_tables(
    tracks: pl.DataFrame,
    entries: pl.DataFrame,
    options: BuildOptions,
    output: Path,
    *,
    audio: DatasetAudio | None = None,
    left_out: Mapping[str, int] | None = None,
) -> Dataset:
    """Make a data set of listeners out of tables of tracks and playlists.

    Args:
        tracks: See `larpbench.datasets.assemble.assemble`.
        entries: ``playlist_id``, ``track_id``, and maybe ``split``, ``role``, ``count`` and ``first_time`` (seconds, or
            dates).
        options: How.
        output: Folder to write.
        audio: The tracks' audio, if the data set has any.
        left_out: What was left out before, by reason.

    Raises:
        DataError: If the tables contradict themselves, or give seeds.
        UsageError: If the options split the tracks and the tables do so too.
    """
    if "role" in entries.columns and (entries["role"] == "seed").any():
        raise DataError(
            "the playlists have seeds, and the profile of a known listener is all of the train tracks",
            allowed="the role heldout in valid and test, or no column role",
        )
    if "split" in tracks.columns or "split" in entries.columns:
        _require_no_draw(options)
        tracks, rule = _split_tracks(tracks, entries), given_split()
    else:
        rule = _drawn_rule(options)
    chosen = ListenerOptions(
        options.name, options.source, options.licence, rule, options.caption_template, options.notes
    )
    return assemble_listeners(_interactions(entries), tracks, chosen, output, audio=audio, left_out=left_out)


def _drawn_rule(options: BuildOptions) -> SplitRule:
    if options.split_by is None:
        share = COLD_FRACTION if options.cold_fraction is None else options.cold_fraction
        return split_by_hash(share, options.split_seed)
    by = parse_split_by(options.split_by)
    return SplitRule(rule="date", roles="given", seed=0, column=by.column, boundaries=by.boundaries)


def _require_no_draw(options: BuildOptions) -> None:
    stated = {"--cold-fraction": options.cold_fraction, "--split-by": options.split_by}
    if useless := [name for name, value in stated.items() if value is not None]:
        raise UsageError(
            f"the tables have a split column, which is taken as it is: {', '.join(useless)} would change nothing",
            next_step="leave the option out, or the column split",
        )


def _with_split(tracks: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Return the entries with the split that they state themselves, or that of their track."""
    if "split" in entries.columns:
        return entries.select("playlist_id", "track_id", "split")
    return entries.select("playlist_id", "track_id").join(tracks.select("track_id", "split"), on="track_id")


def _split_tracks(tracks: pl.DataFrame, entries: pl.DataFrame) -> pl.DataFrame:
    """Return the tracks with the split that their entries and they themselves state.

    Raises:
        DataError: If a track is in two splits.
    """
    owners = _with_split(tracks, entries).select("track_id", "split").drop_nulls().unique()
    torn = owners.filter(pl.col("track_id").is_duplicated())["track_id"].unique().sort()
    stated = tracks if "split" in tracks.columns else tracks.with_columns(split=pl.lit(None, dtype=pl.String))
    if torn.is_empty():
        both = stated.join(owners.rename({"split": "owner"}), on="track_id", how="left", maintain_order="left")
        torn = both.filter(pl.col("split") != pl.col("owner"))["track_id"]
    if len(torn):
        raise DataError(
            f"{len(torn)} tracks are in two splits: {named(torn)}",
            allowed="train, valid and test share no track: cold tracks are those that nobody plays in train",
        )
    return both.with_columns(split=pl.coalesce("split", "owner")).drop("owner")


def _interactions(entries: pl.DataFrame) -> pl.DataFrame:
    """Return who plays what, with counts and times where the table has them."""
    known = [name for name in (COUNT, FIRST_TIME) if name in entries.columns]
    found = entries.select(pl.col("playlist_id").alias("listener_id"), "track_id", *known)
    if found.schema.get(FIRST_TIME) == pl.Date:
        found = found.with_columns(pl.col(FIRST_TIME).cast(pl.Datetime("ms")).dt.epoch("s"))
    return found
