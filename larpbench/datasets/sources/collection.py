"""What the loaders of public collections hand over, and the one way from there to a data set for either task.

For ``cold-tracks`` listeners stand in all splits and only tracks are split; for ``continuation`` no playlist and no
track is in two splits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import polars as pl

from larpbench import progress
from larpbench.datasets.assemble import BuildOptions, numbered_tables
from larpbench.datasets.build import DatasetOptions, build_dataset
from larpbench.datasets.captions import DEFAULT_TEMPLATE
from larpbench.datasets.files import already_built, read_manifest
from larpbench.datasets.left_out import add_count
from larpbench.datasets.listeners.assemble import ListenerOptions, write_listeners
from larpbench.datasets.listeners.split import COLD_FRACTION, given_split, split_by_hash, split_by_time
from larpbench.datasets.pairs import Pairs
from larpbench.datasets.provided import VectorCard, bring
from larpbench.datasets.raw_dataset import RawDataset
from larpbench.datasets.schema import Manifest, SplitRule
from larpbench.errors import DataError, UsageError, named
from larpbench.fingerprint import digest
from larpbench.storage import storage_errors, work_folder
from larpbench.table_files import read_parquet

SHORT = 2
"""Fewest tracks of its split that a playlist can have and be counted: a seed and a held-out track."""
TaskName = Literal["cold-tracks", "continuation"]


@dataclass(frozen=True)
class CollectionOptions:
    """How a data set is made out of a public collection.

    Attributes:
        name: Name of the data set.
        task: Which question it is for.
        cold_fraction: Share of the tracks that are cold, drawn by their hashes; None: 0.1. Only for ``cold-tracks``.
        boundaries: Two times: tracks first played before the first are train, before the second valid, from then on
            test. Only for ``cold-tracks``.
        vectors: Names of the sets of vectors that are taken in; None: all that are there.
        seed: Seed of all draws.
        train_fraction: Share of train. Only for ``continuation``.
        min_length: Playlists with fewer tracks of their split are dropped. Only for ``continuation``.
        caption_template: See `larpbench.datasets.captions`.
    """

    name: str
    task: TaskName = "cold-tracks"
    cold_fraction: float | None = None
    boundaries: tuple[str, str] | None = None
    vectors: tuple[str, ...] | None = None
    seed: int = 0
    train_fraction: float | None = None
    min_length: int | None = None
    caption_template: str = DEFAULT_TEMPLATE

    def require_sense(self) -> None:
        """Refuse options of the other task.

        Raises:
            UsageError: If there are any, or two ways to split are asked for.
        """
        of_cold = {"--cold-fraction": self.cold_fraction, "--split-at": self.boundaries}
        of_both = {"--train-fraction": self.train_fraction, "--min-length": self.min_length}
        useless = of_both if self.task == "cold-tracks" else of_cold
        if stated := [name for name, value in useless.items() if value is not None]:
            raise UsageError(
                f"{' and '.join(stated)} would change nothing for the task {self.task}",
                allowed=", ".join(of_cold if self.task == "cold-tracks" else of_both),
            )
        if self.cold_fraction is not None and self.boundaries is not None:
            raise UsageError("--cold-fraction and --split-at are different ways to split", allowed="one of the two")

    def of_short_playlists(self) -> CollectionOptions:
        """Return the options for a collection of short playlists: two tracks of their split are enough by default."""
        chosen = self.min_length or (SHORT if self.task == "continuation" else None)
        return replace(self, min_length=chosen)

    def rule(self, *, given: bool = False) -> SplitRule:
        """Return how the data set is split.

        Args:
            given: Whether the collection itself says which tracks are cold.
        """
        if self.task == "continuation":
            return self._both_sides().drawn_rule()
        if given:
            return given_split()
        if self.boundaries is not None:
            return split_by_time(*self.boundaries)
        return split_by_hash(COLD_FRACTION if self.cold_fraction is None else self.cold_fraction, self.seed)

    def _both_sides(self) -> BuildOptions:
        return BuildOptions(
            self.name,
            "",
            "",
            split_seed=self.seed,
            split_rule="tracks" if self.train_fraction != 0 else None,
            train_fraction=self.train_fraction,
            min_length=self.min_length,
        )


@dataclass
class Collection:
    """What a loader has read.

    Attributes:
        interactions: ``listener_id``, ``track_id``, and maybe ``count``, ``first_time``; playlists count as listeners.
            Further columns are kept where they have one value in each playlist, and the task is ``continuation``. Or
            pairs, which take a third of the memory; each is there once.
        tracks: ``track_id``, ``title``, ``artist``, ``album``, maybe ``split``; further columns are kept.
        source: What it was read from, in words.
        licence: Licence of the data, in words.
        left_out: Reason -> number of what did not come in.
        notes: Sentences that every table made on the data set prints.
        given: Whether the tracks have a column ``split`` that is taken as it is.
    """

    interactions: pl.DataFrame | Pairs
    tracks: pl.DataFrame
    source: str
    licence: str
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    given: bool = False

    @property
    def present(self) -> pl.Series:
        """Sorted ids of the tracks that anybody plays."""
        found = self.interactions
        return found.present_tracks if isinstance(found, Pairs) else found["track_id"].unique().sort()

    @property
    def entries(self) -> int:
        """How many interactions there are."""
        found = self.interactions
        return found.table.height if isinstance(found, Pairs) else found.height

    def keep(self, track_ids: pl.Series) -> None:
        """Drop all other tracks, and what is played of them."""
        stays = pl.col("track_id").is_in(track_ids.implode())
        found = self.interactions
        self.interactions = found.of_tracks(track_ids) if isinstance(found, Pairs) else found.filter(stays)
        self.tracks = self.tracks.filter(stays)


def build_collection(
    read: Callable[[Path], Collection],
    stage: Callable[[pl.Series, Path], None],
    options: CollectionOptions,
    output: Path,
    key: object,
    *,
    rule: SplitRule,
) -> Manifest:
    """Build a data set out of a public collection; after an interruption the same call goes on.

    Args:
        read: Reads the collection; it may keep what it has read in the work folder that it is given.
        stage: Writes the sets of vectors of some tracks, given their ids, to a folder.
        options: How.
        output: Folder to write.
        key: What identifies the source files and all options of the loader, as JSON.
        rule: How it is split.

    Raises:
        UsageError: If the options contradict each other.
        DataError: If nothing is left, or `output` holds something else.
    """
    options.require_sense()
    recipe = digest([key, options.name, options.task, options.vectors, options.caption_template, options.seed])
    with work_folder(output, digest([recipe, rule.model_dump(mode="json")])) as work:
        staged = work / "vectors"
        if already_built(output, recipe, rule) is not None:
            bring(staged, output)
            return read_manifest(output)
        found = read(work)
        stage(found.present, staged)
        _require_vectors(found, staged, options.vectors or ())
        found.left_out = {reason: count for reason, count in found.left_out.items() if count}
        write = _write_listeners if options.task == "cold-tracks" else _write_playlists
        write(found, options, rule, output, recipe)
        names = bring(staged, output)
        if names:
            progress.say(f"vectors: {', '.join(names)} (encoders provided:NAME)")
        return read_manifest(output)


def _write_listeners(found: Collection, options: CollectionOptions, rule: SplitRule, output: Path, recipe: str) -> None:
    chosen = ListenerOptions(
        options.name, found.source, found.licence, rule, options.caption_template, notes=found.notes
    )
    write_listeners(found.interactions, found.tracks, chosen, output, left_out=found.left_out, recipe=recipe)


def _write_playlists(found: Collection, options: CollectionOptions, rule: SplitRule, output: Path, recipe: str) -> None:
    listed = found.interactions
    listed = listed.named(listed.table) if isinstance(listed, Pairs) else listed
    playlists = listed.drop("count", "first_time", strict=False).rename({"listener_id": "playlist_id"})
    tracks = found.tracks.drop("split", strict=False)
    tracks, numbered = numbered_tables(tracks, playlists, found.left_out)
    raw = RawDataset(tracks, numbered, found.source, found.licence, found.left_out, found.notes)
    build_dataset(raw, DatasetOptions(options.name, rule, options.caption_template), output, recipe=recipe)


def _require_vectors(found: Collection, staged: Path, chosen: Sequence[str]) -> None:
    """Drop tracks that lack a vector, before the split (rule 4); of a given split none does.

    Sets that are no content count only if they were chosen by name.
    """
    if not staged.is_dir():
        return
    present = found.present
    kept = present
    for path in sorted(staged.glob("*.npy")):
        name = path.stem
        card = VectorCard.model_validate_json(path.with_name(f"{name}.json").read_bytes())
        ids = read_parquet(path.with_name(f"{name}.ids.parquet"))["track_id"]
        lacking = present.filter(~present.is_in(ids.implode()))
        if not len(lacking) or (card.leak and name not in chosen):
            continue
        if found.given:
            _discard(path)
            progress.say(
                f"vectors {name}: left out, since {len(lacking)} of {len(present)} tracks have none and the published "
                f"split loses no track: {named(lacking, 3)}"
            )
            continue
        add_count(found.left_out, f"tracks without a vector in {name}", len(lacking))
        kept = kept.filter(~kept.is_in(lacking.implode()))
    if len(kept) < len(present):
        if not len(kept):
            raise DataError("no track has a vector in every set", allowed="--vectors with the names of some sets")
        before = found.entries
        found.keep(kept)
        found.left_out["entries whose track lacks a vector"] = before - found.entries


def _discard(path: Path) -> None:
    for beside in (path, path.with_name(f"{path.stem}.ids.parquet"), path.with_name(f"{path.stem}.json")):
        with suppress(OSError):
            beside.unlink()


def stamps(paths: Sequence[Path]) -> list[list[object]]:
    """Return what changes when one of some files does: names, sizes, times."""
    found: list[list[object]] = []
    for path in paths:
        with storage_errors(path, "read"):
            stat = path.stat()
        found.append([path.name, stat.st_size, stat.st_mtime_ns])
    return found


def chosen_vectors(options: CollectionOptions, there: Sequence[str]) -> list[str]:
    """Return the names of the sets of vectors that are taken in, of those that are there.

    Raises:
        UsageError: If one that is asked for is not there.
    """
    if options.vectors is None:
        return list(there)
    if unknown := [name for name in options.vectors if name not in there]:
        raise UsageError(
            f"there are no vectors {named(unknown)}", where="--vectors", allowed=", ".join(there) or "none are there"
        )
    return [name for name in there if name in options.vectors]
