"""From what a builder has collected (tracks as text, playlists as numbers) to a data set folder, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import entries_among, sorted_tracks
from larpbench.datasets.audio_files.named import NamedAudio
from larpbench.datasets.audio_files.usable import UsableTracks, find_usable
from larpbench.datasets.captions import DEFAULT_TEMPLATE, caption_column
from larpbench.datasets.files import write_dataset
from larpbench.datasets.reading.larp_release import Release
from larpbench.datasets.schema import SPLITS, DatasetAudio, Interactions, Manifest, SplitRule
from larpbench.datasets.splits import rules as splits
from larpbench.datasets.splits.builder import NOBODY, Claims, KeptPlaylists, PlaylistLog
from larpbench.errors import DataError
from larpbench.fingerprint import digest

ENTRIES_AT_A_TIME = 1 << 18


@dataclass(frozen=True)
class CollectedOptions:
    """How a data set is made out of a published collection.

    Attributes:
        name: Name of the data set.
        rule: How it is split.
        caption_template: See `larpbench.datasets.captions`.
        audio: The tracks' audio, by id; without it nothing is heard.
        release: What the authors released of the tracks: their captions and clip times are used where they are known.
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


@dataclass
class Collected:
    """What a builder has read; it is changed in place while the data set is made, since there is room for it only once.

    Attributes:
        tracks: Columns ``track_id``, ``title``, ``artist``, ``album``; the texts are clean.
        log: Playlists, with rows of `tracks`.
        source: What it was read from, in words.
        licence: Licence of the data, in words.
        left_out: Reason -> number of what did not come in.
        notes: What every table made on the data set has to say.
    """

    tracks: pl.DataFrame
    log: PlaylistLog
    source: str
    licence: str
    left_out: dict[str, int]
    notes: tuple[str, ...]


def build_collected(
    collected: Collected,
    options: CollectedOptions,
    draw: Callable[[Claims], None],
    output: Path,
    recipe: str,
) -> Manifest:
    """Hear, draw, caption and write a data set.

    Args:
        collected: Tracks and playlists.
        options: How.
        draw: Takes playlists and claims tracks for the splits.
        output: Folder to write.
        recipe: See `Manifest`.

    Raises:
        DataError: If nothing is left.
    """
    _sort(collected)
    left_out, left_out_entries = dict(collected.left_out), entries_among(collected.left_out)
    sizes, heard = collected.log.sizes(), None
    if options.audio is not None:
        heard = _hear(collected, options.audio, options, left_out)
    silent = sizes - collected.log.sizes()
    claims = Claims(collected.log, options.rule, *_claimable(collected.tracks, options.rule.artist_disjoint))
    draw(claims)
    kept = claims.kept()
    left_out |= claims.left_out
    left_out_entries |= claims.left_out_entries
    if lost := int(silent[claims.tried].sum()):
        left_out_entries["entries whose track has no audio that can be used"] = lost
    table = _track_table(collected.tracks, claims.owner, options, heard)
    collected.tracks = collected.tracks.select("track_id")
    return write_dataset(
        output,
        table,
        _blocks(collected.log.ids, kept, collected.tracks["track_id"], options.rule.seed),
        name=options.name,
        source=collected.source,
        licence=collected.licence,
        caption_template=options.caption_template + (" or that of the authors' release" if options.release else ""),
        split=options.rule,
        left_out=left_out,
        left_out_entries=left_out_entries,
        notes=collected.notes,
        audio=_dataset_audio(options, heard, table),
        recipe=recipe,
    )


def _sort(collected: Collected) -> None:
    """Sort the tracks by id and number them anew."""
    order = collected.tracks["track_id"].arg_sort().to_numpy()
    number = np.empty(len(order), dtype=np.uint32)
    number[order] = np.arange(len(order), dtype=np.uint32)
    collected.log.renumber(number)
    collected.tracks = sorted_tracks(collected.tracks)


def _hear(collected: Collected, audio: NamedAudio, options: CollectedOptions, left_out: dict[str, int]) -> UsableTracks:
    """Leave out tracks whose audio is not there or cannot be used (protocol rule 4)."""
    ids = collected.tracks["track_id"]
    paths = audio.of(ids, collected.log.times_held(len(ids)))
    if len(paths) < len(ids):
        left_out["tracks without an audio file"] = len(ids) - len(paths)
    starts = {}
    if options.release is not None:
        known = options.release.tracks.drop_nulls("start_s")
        starts = dict(known.select("track_id", "start_s").iter_rows())
    heard = find_usable(paths, options.policy, options.rule.seed, starts)
    left_out |= heard.left_out
    usable = ids.is_in(heard.clips["track_id"].to_list()).to_numpy()
    if not usable.any():
        reasons = "; ".join(f"{count} {reason}" for reason, count in heard.left_out.items())
        raise DataError(f"no track has audio that can be used: {reasons}", where=str(audio.given))
    collected.tracks, collected.log = collected.tracks.filter(pl.Series(usable)), collected.log.restricted(usable)
    return heard


def _claimable(tracks: pl.DataFrame, artists: bool) -> tuple[pl.Series, np.ndarray | None]:
    """Return what is claimed, by name, and which a track belongs to: the tracks themselves, or their artists."""
    if not artists:
        return tracks["track_id"], None
    known = pl.col("artist") != ""
    names = tracks.select(pl.when(known).then(pl.col("artist").str.to_lowercase()).otherwise("track_id")).to_series()
    return names.unique().sort(), (names.rank("dense") - 1).cast(pl.Int64).to_numpy()


def _track_table(
    tracks: pl.DataFrame, owner: np.ndarray, options: CollectedOptions, heard: UsableTracks | None
) -> pl.DataFrame:
    names = pl.Series([*SPLITS])
    chosen = owner != NOBODY
    table = tracks if chosen.all() else tracks.filter(pl.Series(chosen))  # a filter copies all texts
    table = table.with_columns(names.gather(owner[chosen]).alias("split"), caption_column(options.caption_template))
    if options.release is not None:
        released = options.release.tracks.select("track_id", released="caption")
        table = table.join(released, on="track_id", how="left", maintain_order="left")
        found = table.height - table["released"].null_count()
        progress.say(f"release: it has the captions of {found} of {table.height} tracks")
        table = table.with_columns(
            caption=pl.coalesce(pl.col("released").str.replace_all(r"[\x00-\x1f\x7f]+", " "), "caption")
        ).drop("released")
    if heard is not None and options.audio is not None:
        audio = options.audio
        paths = [audio.file_of(name).relative_to(audio.root).as_posix() for name in table["track_id"]]
        table = table.join(heard.clips, on="track_id", how="left", maintain_order="left").with_columns(
            audio=pl.Series(paths, dtype=pl.String)
        )
    return table


def _dataset_audio(options: CollectedOptions, heard: UsableTracks | None, table: pl.DataFrame) -> DatasetAudio | None:
    if heard is None or options.audio is None:
        return None
    files = heard.files.join(table.select("track_id"), on="track_id", how="semi")
    return DatasetAudio(str(options.audio.root), options.policy, files)


def _blocks(log_ids: np.ndarray, kept: KeptPlaylists, track_ids: pl.Series, seed: int) -> Iterator[pl.DataFrame]:
    """Yield the rows of ``playlists.parquet``, in the order of the playlist ids, seeds and held-out tracks drawn."""
    playlists = Interactions(log_ids[kept.rows].astype(str), kept.offsets, kept.tracks)
    order = np.argsort(playlists.playlist_ids, kind="stable")
    ends = np.cumsum(playlists.lengths[order])
    names = pl.Series([*SPLITS])
    start = 0
    with progress.stage("write playlists", len(order), "playlists") as advance:
        while start < len(order):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + ENTRIES_AT_A_TIME)))
            block = playlists.select(order[start:stop])
            frame = pl.DataFrame(
                {
                    "playlist_id": pl.Series(np.repeat(block.playlist_ids, block.lengths).tolist(), dtype=pl.String),
                    "track_id": track_ids.gather(block.tracks),
                    "split": names.gather(np.repeat(kept.split[order[start:stop]], block.lengths)),
                }
            )
            yield splits.draw_roles(frame, seed).sort("playlist_id", "track_id")
            advance(stop - start)
            start = stop
