"""From tables of listeners, tracks and what was played to a data set folder of kind ``listeners``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.columns import with_kept
from larpbench.datasets.files import read_dataset
from larpbench.datasets.left_out import add_count, left_out_entries
from larpbench.datasets.listeners.entries import ListenerEntries, numbered_entries
from larpbench.datasets.listeners.split import NOWHERE, ColdSplit, cold_split
from larpbench.datasets.listeners.table import COUNT, FIRST_TIME, LISTEN_COLUMNS, LISTENERS
from larpbench.datasets.pairs import Pairs
from larpbench.datasets.raw_dataset import clean_texts, sorted_tracks
from larpbench.datasets.schema import SPLITS, TEXT_COLUMNS, TRACK_COLUMNS, Dataset, Manifest, SplitRule
from larpbench.datasets.writer import write_dataset


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
    interactions: pl.DataFrame | Pairs,
    tracks: pl.DataFrame,
    options: ListenerOptions,
    output: Path,
    *,
    audio: DatasetAudio | None = None,
    left_out: Mapping[str, int] | None = None,
    attachments: Mapping[str, Path] | None = None,
) -> Dataset:
    """Write a data set of listeners, see `write_listeners`, and read it."""
    write_listeners(interactions, tracks, options, output, audio=audio, left_out=left_out, attachments=attachments)
    return read_dataset(output)


def write_listeners(
    interactions: pl.DataFrame | Pairs,
    tracks: pl.DataFrame,
    options: ListenerOptions,
    output: Path,
    *,
    audio: DatasetAudio | None = None,
    left_out: Mapping[str, int] | None = None,
    attachments: Mapping[str, Path] | None = None,
    recipe: str | None = None,
) -> Manifest:
    """Clean, split, caption and write a data set of listeners.

    Args:
        interactions: ``listener_id``, ``track_id`` (both text), and maybe ``count`` (how often a track was played,
            whole numbers) and ``first_time`` (seconds); unknown ones are null. A pair that is there several times
            counts as one, with the sum of the counts and the earliest time. As `Pairs` they take a third of the memory;
            their periods are not looked at.
        tracks: ``track_id``, and what is known of ``title``, ``artist``, ``album``, ``split``, ``audio``,
            ``clip_start_s``, ``duration_s``. Further columns are kept, see `larpbench.datasets.columns`.
        options: How.
        output: Folder to write.
        audio: The tracks' audio, if the data set has any.
        left_out: What was left out before, by reason.
        attachments: Name -> file or folder on the same disk that is moved into the data set folder.
        recipe: See `Manifest`.

    Raises:
        DataError: If the tables contradict themselves, naming the ids, or no track is left for train or test.
        StorageError: If the folder cannot be written.
    """
    counts = dict(left_out or {})
    tracks = tracks.with_columns(pl.lit("").alias(name) for name in TEXT_COLUMNS if name not in tracks.columns)
    tracks = clean_texts(with_kept(sorted_tracks(tracks), TRACK_COLUMNS))
    entries = numbered_entries(interactions, tracks["track_id"], counts)
    found = cold_split(options.rule, tracks, entries.table)
    for reason, count in found.left_out.items():
        add_count(counts, reason, count)
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
        left_out_entries=left_out_entries(counts),
        notes=options.notes,
        digests={},
        fingerprint="",
        recipe=recipe,
    )
    blocks = _Blocks(entries, found)
    listens = blocks.listens() if {COUNT, FIRST_TIME} & {*entries.table.columns} else None
    return write_dataset(
        output, manifest, table, blocks.playlists(), listens=listens, audio=audio, attachments=attachments
    )


def _track_table(tracks: pl.DataFrame, found: ColdSplit, template: str) -> pl.DataFrame:
    stays = found.places != NOWHERE
    split = pl.Series("split", [*SPLITS]).gather(found.places[stays])
    return tracks.filter(pl.Series(stays)).with_columns(split, caption_column(template))


@dataclass(frozen=True)
class _Blocks:
    """The tables of entries, a bounded number of whole listeners at a time."""

    entries: ListenerEntries
    found: ColdSplit

    def playlists(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of ``playlists.parquet``."""
        splits, roles = pl.Series("split", [*SPLITS]), pl.Series("role", ["member", "heldout", "heldout"])
        for block in self.entries.blocks(self._kept):
            place = self.found.places[block["track"].to_numpy()]
            yield self.entries.named(block).with_columns(splits.gather(place), roles.gather(place))

    def listens(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of ``listens.parquet``."""
        for block in self.entries.blocks(self._kept):
            known = [
                block[name] if name in block.columns else pl.Series(name, [None] * block.height, dtype=kind())
                for name, kind in LISTEN_COLUMNS.items()
                if name in (COUNT, FIRST_TIME)
            ]
            yield self.entries.named(block).with_columns(known)

    @property
    def _kept(self) -> np.ndarray | None:
        return None if self.found.kept.all() else self.found.kept
