"""Data sets out of the user's own copy of Music4All-Onion: listeners, and the vectors of its feature files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from larpbench import progress
from larpbench.datasets.catalogue import OTHER_DATA, DatasetCard, DatasetSource
from larpbench.datasets.schema import Manifest
from larpbench.datasets.sources.collection import (
    Collection,
    CollectionOptions,
    build_collection,
    chosen_vectors,
    stamps,
)
from larpbench.datasets.sources.onion.features import feature_files, stage_features
from larpbench.datasets.sources.onion.log import Log, LogRequest, find_log, read_log, seconds_of
from larpbench.datasets.sources.onion.presets import PRESETS, Preset, track_splits
from larpbench.datasets.sources.onion.texts import FILES, INFORMATION, read_texts
from larpbench.datasets.sources.reduction import Reduction
from larpbench.errors import UsageError

LICENCE = "Music4All-Onion: see its Zenodo record (larpbench dataset fetch onion prints the licence)"
ONION = DatasetSource(
    "onion",
    "listening logs and vectors of audio encoders, from Music4All-Onion (Zenodo)",
    build="larpbench dataset build onion --source onion --preset tamm-2026",
    card=DatasetCard(
        content="252,984,396 listening events of 119,140 users and 56,512 tracks, with times; vectors of musicnn, "
        "MAEST, Jukebox, MFCCs and more for 109,269 tracks; titles and artists only with Music4All's base collection",
        where="zenodo.org, record 15394646, without a login: larpbench dataset fetch onion; the base collection by a "
        "signed agreement with its authors",
        licence=LICENCE,
        size="the log is 2.2 GB of bz2, read as it is; the feature files from some MB to some GB",
        paper="M. Moscati et al., Music4All-Onion: A Large-Scale Multi-faceted Content-Centric Music Recommendation "
        "Dataset, CIKM 2022",
        citation=("moscati2022onion",),
        without=OTHER_DATA,
        page="docs/datasets/onion.md",
    ),
    fetch="larpbench dataset fetch onion",
    of_fetched="larpbench.datasets.sources.onion.build:build_fetched",
)


@dataclass(frozen=True)
class OnionOptions:
    """Which part of the log counts.

    Attributes:
        preset: Name of a published split, of `PRESETS`; None: the options of the split count.
        window: First day, and the day after the last one; None: the whole log.
        reduction: Which listeners and tracks stay.
    """

    preset: str | None = None
    window: tuple[str, str] | None = None
    reduction: Reduction = field(default_factory=Reduction)


def build_onion(source: Path, options: CollectionOptions, onion: OnionOptions, output: Path) -> Manifest:
    """Build a data set from a copy of Music4All-Onion.

    The log is read once; of it, and of every feature file, what is kept lies in a work folder beside `output` until the
    data set is written: after an interruption the same call goes on from there.

    Args:
        source: Folder with ``userid_trackid_timestamp.tsv.bz2`` or ``userid_trackid_count.tsv.bz2``, feature files
            ``id_*.tsv.bz2``, and maybe the base collection's ``id_information.csv``, ``id_metadata.csv``,
            ``id_genres.csv``, ``id_lang.csv``.
        options: How.
        onion: Which part of the log.
        output: Folder to write.

    Raises:
        UsageError: If the options contradict each other.
        DataError: If a file is missing, damaged, or has other columns, or nothing is left.
    """
    preset = _preset(options, onion)
    options.require_sense()
    request = preset.request if preset else _request(options, onion)
    log = find_log(source, request)
    features = feature_files(source)
    files = {name: features[name] for name in chosen_vectors(options, list(features))}
    read_also = [source / name for name in FILES if (source / name).is_file()]
    key = [
        "onion 1",
        stamps([log.path, *files.values(), *read_also]),
        [onion.preset, onion.window, *onion.reduction.key],
    ]

    def read(work: Path) -> Collection:
        return _collection(read_log(log, request, work), source, options, onion, preset)

    def stage(track_ids: pl.Series, staged: Path) -> None:
        stage_features(files, track_ids, staged, LICENCE)

    return build_collection(read, stage, options, output, key, rule=options.rule(given=preset is not None))


def build_fetched(source: Path, output: Path) -> Manifest:
    """Build the data set ``onion`` the usual way: the published split of arXiv 2604.23077."""
    return build_onion(source, CollectionOptions(output.name), OnionOptions(preset="tamm-2026"), output)


def _preset(options: CollectionOptions, onion: OnionOptions) -> Preset | None:
    if onion.preset is None:
        return None
    if onion.preset not in PRESETS:
        raise UsageError(f"there is no preset {onion.preset!r}", allowed=", ".join(PRESETS))
    stated = {
        "--task continuation": options.task != "cold-tracks",
        "--cold-fraction": options.cold_fraction is not None,
        "--split-at": options.boundaries is not None,
        "--window": onion.window is not None,
        "--core": onion.reduction.core is not None,
        "--listeners": onion.reduction.listeners is not None,
    }
    if useless := [name for name, value in stated.items() if value]:
        raise UsageError(
            f"--preset {onion.preset} is a split of its own: {', '.join(useless)} would change it",
            next_step="leave one of them out",
        )
    return PRESETS[onion.preset]


def _request(options: CollectionOptions, onion: OnionOptions) -> LogRequest:
    window = None
    if onion.window is not None:
        start, end = map(seconds_of, onion.window)
        if not start < end:
            raise UsageError(
                f"the window ends before it begins: {', '.join(onion.window)}", allowed="--window FROM,UNTIL"
            )
        window = (start, end)
    return LogRequest(window, (seconds_of(options.boundaries[1]),) if options.boundaries else ())


def _collection(
    log: Log, source: Path, options: CollectionOptions, onion: OnionOptions, preset: Preset | None
) -> Collection:
    pairs, left_out = log.pairs, dict(log.left_out)
    texts = read_texts(source, pairs.tracks)
    notes: tuple[str, ...] = () if (source / INFORMATION).is_file() else (NO_TITLES,)
    if preset is not None:
        artists = dict(texts.select("track_id", "artist").iter_rows()) if (source / INFORMATION).is_file() else None
        split = preset.split(pairs, artists, options.seed)
        verification = preset.verification(split)
        progress.say(verification)
        tracks = track_splits(pairs, split.table).join(texts, on="track_id", how="left", maintain_order="left")
        words = f"Music4All-Onion, split {onion.preset}"
        return Collection(
            replace(pairs, table=split.table), tracks, words, LICENCE, left_out | split.left_out,
            (verification, *split.notes, *notes), given=True,
        )  # fmt: skip
    boundaries = (seconds_of(options.boundaries[0]), seconds_of(options.boundaries[1])) if options.boundaries else None
    table = onion.reduction.applied(pairs, options, left_out, boundaries)
    words = "Music4All-Onion" + (f", from {onion.window[0]} until {onion.window[1]}" if onion.window else "")
    words += onion.reduction.words
    return Collection(replace(pairs, table=table), texts, words, LICENCE, left_out, notes)


NO_TITLES = (
    "Titles and artists are not known: they are in Music4All's base collection alone. Encoders of text and controls of "
    "the artist say nothing here."
)
