"""From tables of tracks and playlists, as text, to a data set folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.build import DatasetOptions, build_dataset
from larpbench.datasets.captions import DEFAULT_TEMPLATE
from larpbench.datasets.columns import beside, constant_within, with_kept
from larpbench.datasets.files import read_dataset
from larpbench.datasets.left_out import add_count
from larpbench.datasets.raw_dataset import RawDataset, RawPlaylists, clean_texts, require_ids, sorted_tracks
from larpbench.datasets.schema import PLAYLIST_COLUMNS, ROLES, SPLITS, TRACK_COLUMNS, Dataset, SplitRule
from larpbench.datasets.splits.dates import parse_split_by
from larpbench.datasets.splits.presets import Sizes, split_rule
from larpbench.datasets.splits.rules import TRAIN_FRACTION
from larpbench.errors import DataError, UsageError, clipped, named

MIN_LENGTH = 5


@dataclass(frozen=True)
class BuildOptions:
    """How a data set is made out of tables.

    The split is drawn by a rule, by date, or to sizes: at most one of `split_rule`, `split_by`, and the numbers of
    tracks and playlists.

    Attributes:
        name: Name of the data set.
        source: What it is built from, in words.
        licence: Licence of the data, in words.
        caption_template: See `larpbench.datasets.captions`.
        split_seed: Seed of all draws.
        split_rule: How the split is drawn, see `SplitRule.rule`; None: ``tracks``, or ``playlists`` where all of them
            are test.
        train_fraction: Share of train, if shares are drawn; 0 puts every playlist in test. None: 0.7.
        min_length: Playlists with fewer tracks of their own split are dropped, if the split is drawn. None: 5.
        notes: Sentences that every table made on the data set prints.
        split_by: Column of the tracks and two boundaries, such as ``release_year:2020,2022``: tracks before the first
            are train, before the second valid, from the second on test.
        train_tracks: Number of train tracks.
        valid_playlists: Number of valid playlists.
        test_playlists: Number of test playlists; of one of the two, the other is half or twice as many.
        artist_disjoint: Whether every artist is in one split only.
        task: The task that the data set is for: ``continuation``, or ``cold-tracks`` for a data set of listeners. None:
            as given splits say, else ``continuation``.
        cold_fraction: Share of the tracks that are cold, of a data set of listeners. None: 0.1.
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
    split_by: str | None = None
    train_tracks: int | None = None
    valid_playlists: int | None = None
    test_playlists: int | None = None
    artist_disjoint: bool = False
    task: Literal["continuation", "cold-tracks"] | None = None
    cold_fraction: float | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Option -> the number that is asked for."""
        numbers = {
            "--train-tracks": self.train_tracks,
            "--valid-playlists": self.valid_playlists,
            "--test-playlists": self.test_playlists,
        }
        return {name: number for name, number in numbers.items() if number is not None}

    def drawn_rule(self) -> SplitRule:
        """Return how the split is drawn.

        Raises:
            UsageError: If two ways are asked for, tracks are to be drawn and train gets none, or numbers are none.
        """
        self._require_one_way()
        if self.sizes:
            sizes = Sizes(self.train_tracks, self.valid_playlists, self.test_playlists, self.min_length)
            return split_rule("tables", sizes, paper=False, seed=self.split_seed, artist_disjoint=self.artist_disjoint)
        train_fraction = TRAIN_FRACTION if self.train_fraction is None else self.train_fraction
        by_date = None if self.split_by is None else parse_split_by(self.split_by)
        return SplitRule(
            rule="date" if by_date else self.split_rule or ("tracks" if train_fraction else "playlists"),
            roles="drawn",
            seed=self.split_seed,
            train_fraction=train_fraction,
            min_length=MIN_LENGTH if self.min_length is None else self.min_length,
            artist_disjoint=self.artist_disjoint,
            column=by_date and by_date.column,
            boundaries=by_date and by_date.boundaries,
        )

    def _require_one_way(self) -> None:
        ways = {"--split-rule": self.split_rule, "--split-by": self.split_by, **self.sizes}
        stated = [name for name, value in ways.items() if value is not None]
        if len({name if name in ("--split-rule", "--split-by") else "sizes" for name in stated}) > 1:
            raise UsageError(
                f"{' and '.join(stated)} are different ways to split",
                allowed="one of --split-rule, --split-by, or numbers (--train-tracks, --valid-playlists, "
                "--test-playlists)",
            )
        if wrong := [f"{name} {number}" for name, number in self.sizes.items() if number < 1]:
            raise UsageError(f"a split of {' and '.join(wrong)}", allowed="numbers of 1 or more")
        if self.sizes and self.train_fraction is not None:
            raise UsageError(
                f"--train-fraction draws shares, and {' and '.join(self.sizes)} numbers", allowed="one of the two"
            )
        if self.split_rule == "tracks" and self.train_fraction == 0:
            raise UsageError(
                "with a train fraction of 0 everything is test: no track is drawn",
                allowed="--split-rule playlists, or --train-fraction above 0",
            )

    def require_no_draw(self) -> None:
        """Refuse to draw a split that the tables have given.

        Raises:
            UsageError: If an option says how it is drawn.
        """
        options = {
            "--split-rule": self.split_rule,
            "--split-by": self.split_by,
            **self.sizes,
            "--artist-disjoint": self.artist_disjoint or None,
            "--train-fraction": self.train_fraction,
            "--min-length": self.min_length,
        }
        useless = [name for name, value in options.items() if value is not None]
        if useless:
            raise UsageError(
                f"the tables have a split column, which is taken as it is: {', '.join(useless)} would change nothing",
                next_step="leave the option out, or the column split",
            )


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
            ``duration_s``. Any further columns are kept, see `larpbench.datasets.columns`.
        playlists: ``playlist_id``, ``track_id``, and maybe ``split`` and ``role``. A split or roles that are there are
            taken as they are; what is not there is drawn (protocol rules 2 and 3). Further columns are kept where they
            have one value in each playlist.
        options: How.
        output: Folder to write.
        audio: The tracks' audio, if the data set has any.
        left_out: What was left out before, by reason.
        attachments: Name -> file or folder on the same disk that is moved into the data set folder.

    Raises:
        DataError: If the tables contradict themselves, naming the ids.
        UsageError: If the options draw a split and the tables have one.
        StorageError: If the folder cannot be written.
    """
    counts = dict(left_out or {})
    tracks, numbered = numbered_tables(tracks, playlists, counts)
    if numbered.splits is None:
        rule = options.drawn_rule()
    else:
        options.require_no_draw()
        roles: Literal["drawn", "given"] = "drawn" if numbered.roles is None else "given"
        rule = SplitRule(rule="given", roles=roles, seed=options.split_seed)
    raw = RawDataset(tracks, numbered, options.source, options.licence, counts, options.notes, audio)
    build_dataset(raw, DatasetOptions(options.name, rule, options.caption_template), output, attachments=attachments)
    return read_dataset(output)


def numbered_tables(
    tracks: pl.DataFrame, playlists: pl.DataFrame, left_out: dict[str, int]
) -> tuple[pl.DataFrame, RawPlaylists]:
    """Return clean, sorted tracks, and the playlists as numbers of these.

    Args:
        tracks: See `assemble`.
        playlists: See `assemble`.
        left_out: Reason -> count, to which is added what is left out here.

    Raises:
        DataError: If the tables contradict themselves, naming the ids.
    """
    tracks = clean_texts(with_kept(sorted_tracks(tracks), TRACK_COLUMNS))
    playlists, own = _own_columns(playlists)
    entries = _known_entries(playlists, tracks, left_out)
    has_split = "split" in tracks.columns or "split" in entries.columns
    if "role" in entries.columns and not has_split:
        raise DataError("the playlists have a role column but nothing says their split", allowed="a split column too")
    if has_split:
        tracks, entries = _stated_split(tracks, entries)
    if "role" in entries.columns:
        entries = _stated_roles(entries, left_out)
    entries = entries.sort("playlist_id", "track")
    runs = entries["playlist_id"].rle().struct.unnest()
    offsets = np.concatenate([[0], np.cumsum(runs["len"].to_numpy())]).astype(np.int64)
    numbers = entries["track"].to_numpy()
    splits = _places(entries["split"].gather(offsets[:-1]), SPLITS) if has_split else None
    roles = _places(entries["role"], ROLES) if "role" in entries.columns else None
    if own is not None:
        own = runs.select(playlist_id="value").join(own, on="playlist_id", how="left", maintain_order="left")
    return tracks, RawPlaylists(runs["value"], offsets, numbers, "unknown", splits, roles, own)


def _own_columns(playlists: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the known columns, and one row a playlist with the others that have one value in each; None if none."""
    kept = with_kept(playlists, PLAYLIST_COLUMNS)
    names = beside(kept, PLAYLIST_COLUMNS)
    if not names:
        return playlists.drop(beside(playlists, PLAYLIST_COLUMNS)), None
    constant, varying = constant_within(kept, "playlist_id", names)
    if varying:
        progress.say(f"columns that differ within a playlist are left out: {', '.join(varying)}")
    return kept.drop(names), constant if constant.width > 1 else None


def _places(names: pl.Series, allowed: tuple[str, ...]) -> np.ndarray:
    places = {name: place for place, name in enumerate(allowed)}
    return names.replace_strict(places, return_dtype=pl.Int8).to_numpy()


def _known_entries(playlists: pl.DataFrame, tracks: pl.DataFrame, left_out: dict[str, int]) -> pl.DataFrame:
    """Return the entries of tracks that are in the table, each once, with ``track`` (its row) for ``track_id``."""
    require_ids(playlists, "playlist_id", "playlists")
    require_ids(playlists, "track_id", "playlists")
    known = playlists.join(tracks.select("track_id").with_row_index("track"), on="track_id").drop("track_id")
    add_count(left_out, "entries whose track is not in the tracks table", playlists.height - known.height)
    if known.is_empty():
        raise DataError(
            "no playlist holds a track of the tracks table",
            where=f"the playlists hold {_some(playlists['track_id'])}; the tracks are {_some(tracks['track_id'])}",
            allowed="track_id values that occur in both tables",
        )
    # With roles, the same track may stand in a playlist as seed and as heldout: that is settled with the roles.
    keys = [name for name in ("playlist_id", "track", "split", "role") if name in known.columns]
    ordered = known.select(keys).sort(keys)  # takes half the memory of `unique`
    entries = ordered.filter(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in keys))
    add_count(left_out, "duplicate entries", known.height - entries.height)
    return entries


def _stated_split(tracks: pl.DataFrame, entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return both tables with a whole column ``split``; tracks and playlists without one follow each other."""
    for frame, where in ((tracks, "tracks"), (entries, "playlists")):
        if "split" in frame.columns:
            _require_values(frame, "split", SPLITS, where, null_allowed=where == "tracks")
    stated = ["split"] if "split" in tracks.columns else []
    numbered = tracks.select("track_id", *stated).with_row_index("track")
    if "split" not in entries.columns:
        entries = entries.join(numbered.select("track", "split"), on="track")
        if entries["split"].null_count():
            orphans = tracks["track_id"].gather(entries.filter(pl.col("split").is_null())["track"].unique().sort())
            raise DataError(f"tracks in playlists without a split: {named(orphans)}", where="tracks")
    _require_one_split(entries["playlist_id"], entries["split"], "playlist")
    owners = entries.select("track", of_playlists="split").unique()
    _require_one_split(tracks["track_id"].gather(owners["track"]), owners["of_playlists"], "track")
    in_use = entries["split"].unique()
    unlisted = in_use[0] if len(in_use) == 1 else "train"
    joined = numbered.join(owners, on="track", how="left", maintain_order="left")
    if "split" in tracks.columns:
        torn = joined.filter(pl.col("split") != pl.col("of_playlists"))
        if torn.height:
            first = torn.row(0, named=True)
            raise DataError(
                f"{torn.height} tracks are in two splits: {named(torn['track_id'])}",
                where=f"tracks say {first['split']}, playlists {first['of_playlists']}",
                allowed="train, valid and test share no track (protocol rule 1)",
            )
    filled = joined.select(split=pl.coalesce(*stated, "of_playlists", pl.lit(unlisted)))
    return tracks.with_columns(filled["split"]), entries


def _stated_roles(entries: pl.DataFrame, left_out: dict[str, int]) -> pl.DataFrame:
    train, others = (entries.filter((pl.col("split") == "train") == is_train) for is_train in (True, False))
    _require_values(others, "role", ROLES[1:], "playlists of valid and test", null_allowed=False)
    other_role = ~pl.col("role").fill_null("").is_in(["", "member"])
    add_count(left_out, "roles of train entries, which are all members", train.filter(other_role).height)
    members = train.with_columns(role=pl.lit("member")).unique(["playlist_id", "track"], maintain_order=True)
    both = pl.concat([members, others])
    settled = both.sort("role", descending=True).unique(["playlist_id", "track"], keep="first", maintain_order=True)
    add_count(left_out, "held-out entries that are seeds of the same playlist", both.height - settled.height)
    return settled


def _some(ids: pl.Series) -> str:
    """Return the first three ids, for messages."""
    return named([clipped(each, 60) for each in ids.unique(maintain_order=True).head(3)]) or "none"


def _require_values(
    frame: pl.DataFrame, column: str, allowed: tuple[str, ...], where: str, *, null_allowed: bool
) -> None:
    wrong = frame.filter(~pl.col(column).is_in(allowed) | (pl.lit(not null_allowed) & pl.col(column).is_null()))
    if wrong.height:
        values = [str(value) for value in wrong[column].unique().sort().head(5)]
        raise DataError(
            f"{wrong.height} rows have a {column} of {', '.join(values)}", where=where, allowed=", ".join(allowed)
        )


def _require_one_split(ids: pl.Series, splits: pl.Series, noun: str) -> None:
    counts = pl.DataFrame({"id": ids, "split": splits}).group_by("id").agg(pl.col("split").n_unique())
    torn = counts.filter(pl.col("split") > 1)["id"].sort()
    if len(torn):
        raise DataError(
            f"{len(torn)} {noun}s are in two splits: {named(torn)}",
            where="playlists",
            allowed=f"train, valid and test share no {noun} (protocol rule 1)",
            next_step="listeners who are known: --task cold-tracks, with no track in two splits"
            if noun == "playlist"
            else None,
        )
