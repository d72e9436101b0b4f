"""From tables of listeners, tracks and what was played to a data set folder of kind ``listeners``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.columns import with_kept
from larpbench.datasets.files import read_dataset
from larpbench.datasets.listeners.split import NOWHERE, ColdSplit, cold_split
from larpbench.datasets.listeners.table import COUNT, FIRST_TIME, LISTEN_COLUMNS, LISTENERS
from larpbench.datasets.losses import entry_losses
from larpbench.datasets.raw_dataset import clean_texts, require_ids, sorted_tracks
from larpbench.datasets.schema import SPLITS, TRACK_COLUMNS, Dataset, DatasetAudio, Manifest, SplitRule
from larpbench.datasets.writer import write_dataset
from larpbench.errors import DataError, named

_ENTRIES_AT_A_TIME = 1 << 18
_TEXTS = ("title", "artist", "album")


@dataclass(frozen=True)
class ListenerOptions:
    """What a data set of listeners is called, and which of its tracks are cold.

    Attributes:
        name: Name of the data set.
        source: What it is built from, in words.
        licence: Licence of the data, in words.
        rule: How tracks are split: `given_split`, `split_by_time` or `split_by_hash` of
            `larpbench.datasets.listeners.split`, or a rule ``date`` by a column of the tracks.
        caption_template: See `larpbench.datasets.captions`.
        notes: Sentences that every table made on the data set prints.
    """

    name: str
    source: str
    licence: str
    rule: SplitRule
    caption_template: str = DEFAULT_TEMPLATE
    notes: tuple[str, ...] = ()


def assemble_listeners(
    interactions: pl.DataFrame,
    tracks: pl.DataFrame,
    options: ListenerOptions,
    output: Path,
    *,
    audio: DatasetAudio | None = None,
    left_out: Mapping[str, int] | None = None,
    attachments: Mapping[str, Path] | None = None,
    recipe: str | None = None,
) -> Dataset:
    """Clean, split, caption and write a data set of listeners.

    Args:
        interactions: ``listener_id``, ``track_id`` (both text), and maybe ``count`` (how often a track was played,
            whole numbers) and ``first_time`` (seconds); unknown ones are null. A pair that is there several times
            counts as one, with the sum of the counts and the earliest time.
        tracks: ``track_id``, and what is known of ``title``, ``artist``, ``album``, ``split``, ``audio``,
            ``clip_start_s``, ``duration_s``. Further columns are kept, see `larpbench.datasets.columns`.
        options: How.
        output: Folder to write.
        audio: The tracks' audio, if the data set has any.
        left_out: What has left before, by reason.
        attachments: Name -> file or folder on the same disk that is moved into the data set folder.
        recipe: See `Manifest`.

    Raises:
        DataError: If the tables contradict themselves, naming the ids, or no track is left for train or test.
        StorageError: If the folder cannot be written.
    """
    counts = dict(left_out or {})
    tracks = tracks.with_columns(pl.lit("").alias(name) for name in _TEXTS if name not in tracks.columns)
    tracks = clean_texts(with_kept(sorted_tracks(tracks), TRACK_COLUMNS))
    listeners, entries = _numbered(interactions, tracks["track_id"], counts)
    found = cold_split(options.rule, tracks, entries)
    _add(counts, found.left_out)
    entries = entries.filter(pl.Series(found.kept))
    table = _track_table(tracks, found, options.caption_template)
    if audio is not None:
        files = audio.files.join(table.select("track_id"), on="track_id", how="semi", maintain_order="left")
        audio = DatasetAudio(audio.root, audio.policy, files)
    manifest = Manifest(
        kind=LISTENERS,
        name=options.name,
        source=options.source,
        licence=options.licence,
        caption_template=options.caption_template,
        split=options.rule,
        counts={},
        left_out=counts,
        left_out_entries=entry_losses(counts),
        notes=options.notes,
        digests={},
        fingerprint="",
        recipe=recipe,
    )
    blocks = _Blocks(listeners, entries, tracks["track_id"], found.places)
    listens = blocks.listens() if COUNT in entries.columns or FIRST_TIME in entries.columns else None
    write_dataset(output, manifest, table, blocks.entries(), listens=listens, audio=audio, attachments=attachments)
    return read_dataset(output)


def _numbered(
    interactions: pl.DataFrame, track_ids: pl.Series, left_out: dict[str, int]
) -> tuple[pl.Series, pl.DataFrame]:
    """Return the sorted ids of the listeners, and the entries as numbers, each once, sorted.

    Returns:
        (l,) String; and columns ``listener``, ``track`` (rows), and ``count``, ``first_time`` where they are known.
    """
    for name in ("listener_id", "track_id"):
        require_ids(interactions, name, "interactions")
    known = [
        _whole(interactions, name) for name in (COUNT, FIRST_TIME)
        if name in interactions.columns and interactions[name].null_count() < interactions.height
    ]  # fmt: skip
    ids = interactions["listener_id"].unique().sort()
    rows = interactions.select("listener_id", "track_id").with_columns(known)
    rows = rows.join(ids.to_frame().with_row_index("listener"), on="listener_id").drop("listener_id")
    numbered = rows.join(track_ids.to_frame().with_row_index("track"), on="track_id").drop("track_id")
    _add(left_out, {"entries whose track is not in the tracks table": rows.height - numbered.height})
    if numbered.is_empty():
        raise DataError(
            "no listener plays a track of the tracks table",
            where=f"{interactions.height} interactions, {len(track_ids)} tracks",
            allowed="track_id values that occur in both tables",
        )
    entries = numbered.sort("listener", "track")
    again = (pl.col("listener") == pl.col("listener").shift(1)) & (pl.col("track") == pl.col("track").shift(1))
    repeated = int(entries.select(again.sum()).item())
    if repeated:
        sums = {COUNT: pl.col(COUNT).cast(pl.Int64).sum().cast(pl.UInt32), FIRST_TIME: pl.col(FIRST_TIME).min()}
        merged = [sums[each.name] for each in known]
        entries = entries.group_by("listener", "track", maintain_order=True).agg(merged)
        _add(left_out, {"duplicate entries": repeated})
    return ids, entries


def _whole(interactions: pl.DataFrame, name: str) -> pl.Series:
    """Return counts or times in the type that they have on disk.

    Raises:
        DataError: If they are no whole numbers, or a count is below 1.
    """
    stated = interactions[name]
    kind = LISTEN_COLUMNS[name]()
    try:
        found = stated.cast(kind)
        same = stated.is_null() | (found.cast(stated.dtype) == stated)
    except pl.exceptions.PolarsError:
        same = pl.Series([False])
    if not same.all() or stated.dtype == pl.String:
        raise DataError(f"the column {name} of the interactions holds {stated.dtype} that is no {kind}",
                        where="interactions", allowed="whole numbers")  # fmt: skip
    if name == COUNT and (below := interactions.filter(found < 1)).height:
        raise DataError(
            f"{below.height} interactions have a count of 0: {named(below['track_id'])}",
            where="interactions",
            allowed="counts of 1 or more, null where they are not known",
        )
    return found


def _track_table(tracks: pl.DataFrame, found: ColdSplit, template: str) -> pl.DataFrame:
    stays = found.places != NOWHERE
    split = pl.Series("split", [*SPLITS]).gather(found.places[stays])
    return tracks.filter(pl.Series(stays)).with_columns(split, caption_column(template))


@dataclass(frozen=True)
class _Blocks:
    """The tables of entries, a bounded number of whole listeners at a time.

    Attributes:
        listeners: (l,) ids, sorted.
        numbered: Columns ``listener``, ``track`` and maybe ``count``, ``first_time``, sorted.
        track_ids: (n,) String.
        places: (n,) int8 places in `SPLITS`.
    """

    listeners: pl.Series
    numbered: pl.DataFrame
    track_ids: pl.Series
    places: np.ndarray

    def entries(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of ``playlists.parquet``."""
        splits, roles = pl.Series("split", [*SPLITS]), pl.Series("role", ["member", "heldout", "heldout"])
        for block in self._blocks():
            place = self.places[block["track"].to_numpy()]
            yield self._ids(block).with_columns(splits.gather(place), roles.gather(place))

    def listens(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of ``listens.parquet``."""
        for block in self._blocks():
            known = [
                block[name] if name in block.columns else pl.Series(name, [None] * block.height, dtype=kind())
                for name, kind in LISTEN_COLUMNS.items()
                if name in (COUNT, FIRST_TIME)
            ]
            yield self._ids(block).with_columns(known)

    def _ids(self, block: pl.DataFrame) -> pl.DataFrame:
        listeners, tracks = self.listeners.gather(block["listener"]), self.track_ids.gather(block["track"])
        return pl.DataFrame([listeners.alias("playlist_id"), tracks.alias("track_id")])

    def _blocks(self) -> Iterator[pl.DataFrame]:
        lengths = np.bincount(self.numbered["listener"].to_numpy(), minlength=len(self.listeners))
        ends, start = np.cumsum(lengths), 0
        while start < self.numbered.height:
            after = int(np.searchsorted(ends, start + _ENTRIES_AT_A_TIME, side="right"))
            stop = int(ends[max(after - 1, int(np.searchsorted(ends, start, side="right")))])
            yield self.numbered.slice(start, stop - start)
            start = stop


def _add(left_out: dict[str, int], more: Mapping[str, int]) -> None:
    for reason, count in more.items():
        if count:
            left_out[reason] = left_out.get(reason, 0) + count
