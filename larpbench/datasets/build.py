"""The one road from a `RawDataset` to a data set folder: audio, splits, captions, files; in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.audio_files.named import NamedAudio
from larpbench.datasets.audio_files.usable import audible_tracks
from larpbench.datasets.audio_table import DatasetAudio
from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.left_out import in_words, left_out_entries
from larpbench.datasets.raw_dataset import RawDataset, RawPlaylists, places_of_runs
from larpbench.datasets.reading.larp_release import Release
from larpbench.datasets.schema import ROLES, SPLITS, Manifest, SplitRule
from larpbench.datasets.splits import rules
from larpbench.datasets.splits.builder import NO_SPLIT, SplitBuilder, SplitPlaylists
from larpbench.datasets.splits.dates import DateSplit, periods
from larpbench.datasets.splits.drawing import draw
from larpbench.datasets.writer import write_dataset
from larpbench.errors import DataError
from larpbench.fingerprint import digest

ENTRIES_AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class DatasetOptions:
    """What a data set is called, and how it is split, captioned and cut into clips.

    Attributes:
        name: Name of the data set.
        rule: How it is split.
        caption_template: See `larpbench.datasets.captions`.
        audio: Files of the tracks, by id, for sources that bring no audio themselves.
        release: What the authors released of the tracks: their captions and clip times are used where there are some.
        policy: How clips are cut.
    """

    name: str
    rule: SplitRule
    caption_template: str = DEFAULT_TEMPLATE
    audio: NamedAudio | None = None
    release: Release | None = None
    policy: AudioPolicy = field(default_factory=AudioPolicy)

    def recipe(self, *sources: object) -> str:
        """Return the digest of these options and of what identifies the source files."""
        return digest(
            [
                list(sources),
                self.name,
                self.rule.model_dump(mode="json"),
                self.caption_template,
                self.audio.listing_digest if self.audio else None,
                self.release.digests if self.release else None,
                self.policy.model_dump(mode="json"),
            ]
        )


def build_dataset(
    raw: RawDataset,
    options: DatasetOptions,
    output: Path,
    *,
    assign: Callable[[SplitBuilder], None] = draw,
    recipe: str | None = None,
    attachments: Mapping[str, Path] | None = None,
) -> Manifest:
    """Find audio, split, caption and write a data set.

    Args:
        raw: Tracks and playlists; splits and roles that it states are taken as they are.
        options: How.
        output: Folder to write.
        assign: Takes playlists and tracks into the splits, where `raw` states none.
        recipe: See `Manifest`.
        attachments: Name -> file or folder on the same disk that is moved into the data set folder.

    Raises:
        DataError: If nothing is left, or `output` holds something else.
    """
    rule, template, release = options.rule, options.caption_template, options.release
    raw.sort()
    if options.audio is not None:
        _require_audio(raw, options.audio, options)
    builder = SplitBuilder(raw.playlists, rule, *_units(raw.tracks, rule.artist_disjoint))
    if raw.playlists.splits is None:
        if rule.column is not None and rule.boundaries is not None:
            builder.take_periods(*periods(raw.tracks, DateSplit(rule.column, rule.boundaries)))
        assign(builder)
    else:
        builder.take_stated(raw.playlists.splits, raw.tracks["split"])
    playlists = builder.result()
    entries_left = left_out_entries(raw.left_out) | builder.left_out_entries
    if raw.silent is not None and (lost := int(raw.silent[builder.tried].sum())):
        entries_left["entries whose track has no audio that can be used"] = lost
    manifest = Manifest(
        name=options.name,
        source=raw.source,
        licence=raw.licence,
        caption_template=template + (" or that of the authors' release" if release else ""),
        split=rule,
        counts={},
        left_out=raw.left_out | builder.left_out,
        left_out_entries=entries_left,
        notes=raw.notes,
        digests={},
        fingerprint="",
        recipe=recipe,
    )
    table = _track_table(raw.tracks, builder.owner, template, release)
    raw.tracks = raw.tracks.select("track_id")
    blocks = _blocks(raw.playlists, playlists, raw.tracks["track_id"], rule.seed)
    audio = raw.audio
    if audio is not None:
        files = audio.files.join(table.select("track_id"), on="track_id", how="semi", maintain_order="left")
        audio = DatasetAudio(audio.root, audio.policy, files)
    return write_dataset(output, manifest, table, blocks, audio=audio, attachments=attachments)


def _require_audio(raw: RawDataset, audio: NamedAudio, options: DatasetOptions) -> None:
    """Leave out tracks whose audio is not there or cannot be used (protocol rule 4)."""
    ids, sizes = raw.tracks["track_id"], raw.playlists.sizes()
    paths = audio.of(ids, raw.playlists.times_held(len(ids)))
    if len(paths) < len(ids):
        raw.left_out["tracks without an audio file"] = len(ids) - len(paths)
    starts = {}
    if options.release is not None:
        starts = dict(options.release.tracks.drop_nulls("start_s").select("track_id", "start_s").iter_rows())
    audible = audible_tracks(raw.tracks, paths, audio.root, options.policy, options.rule.seed, starts)
    if audible.tracks.is_empty():
        raise DataError(f"no track has audio that can be used: {in_words(audible.left_out)}", where=str(audio.source))
    raw.tracks, raw.audio = audible.tracks, audible.audio
    raw.playlists = raw.playlists.restricted(ids.is_in(raw.tracks["track_id"].implode()).to_numpy())
    raw.silent = sizes - raw.playlists.sizes()
    raw.left_out |= audible.left_out


def _units(tracks: pl.DataFrame, artists: bool) -> tuple[pl.Series, np.ndarray | None]:
    """Return what is assigned, by name, and which a track belongs to: the tracks themselves, or their artists."""
    if not artists:
        return tracks["track_id"], None
    artist = pl.col("artist").str.to_lowercase()
    names = tracks.select(pl.when(artist != "").then(artist).otherwise("track_id")).to_series()
    return names.unique().sort(), (names.rank("dense") - 1).cast(pl.Int64).to_numpy()


def _track_table(
    tracks: pl.DataFrame, owner: np.ndarray, caption_template: str, release: Release | None
) -> pl.DataFrame:
    chosen = owner != NO_SPLIT
    table = tracks if chosen.all() else tracks.filter(pl.Series(chosen))  # a filter copies all texts
    split = pl.Series("split", [*SPLITS]).gather(owner[chosen])
    table = table.with_columns(split, caption_column(caption_template))
    if release is None:
        return table
    released = release.tracks.select("track_id", released="caption")
    captions = table.select("track_id", "caption").join(released, on="track_id", how="left", maintain_order="left")
    matched = table.height - captions["released"].null_count()
    progress.say(f"release: it has the captions of {matched} of {table.height} tracks")
    printable = pl.col("released").str.replace_all(r"[\x00-\x1f\x7f]+", " ")
    return table.with_columns(captions.select(caption=pl.coalesce(printable, "caption"))["caption"])


def _blocks(raw: RawPlaylists, playlists: SplitPlaylists, track_ids: pl.Series, seed: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of ``playlists.parquet``, by playlist id, then by track id; roles that nobody states are drawn.

    Args:
        raw: All playlists.
        playlists: Those of the splits.
        track_ids: Sorted ids of the tracks.
        seed: Split seed.
    """
    ids, lengths = raw.ids.gather(playlists.rows), np.diff(playlists.offsets)
    order = ids.arg_sort().to_numpy()
    ends = np.cumsum(lengths[order])
    names, roles = pl.Series([*SPLITS]), pl.Series("role", [*ROLES])
    start = 0
    with progress.stage("write playlists", len(order), "playlists", brief=True) as advance:
        while start < len(order):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + ENTRIES_AT_A_TIME)))
            rows = order[start:stop]
            entries = places_of_runs(playlists.offsets[rows], lengths[rows])
            # The tracks' rows are in the order of their ids, and numbers are sorted faster than texts.
            place = np.repeat(np.arange(len(rows)), lengths[rows])
            entries = entries[np.argsort(place << 32 | playlists.tracks[entries])]
            frame = pl.DataFrame(
                {
                    "playlist_id": ids.gather(np.repeat(rows, lengths[rows])),
                    "track_id": track_ids.gather(playlists.tracks[entries]),
                    "split": names.gather(np.repeat(playlists.splits[rows], lengths[rows])),
                }
            )
            if playlists.roles is None:
                frame = rules.draw_roles(frame.with_row_index("row"), seed).sort("row").drop("row")
            else:
                frame = frame.with_columns(roles.gather(playlists.roles[entries]))
            if raw.columns is not None:
                frame = frame.join(raw.columns, on="playlist_id", how="left", maintain_order="left")
            yield frame
            advance(stop - start)
            start = stop
