"""Data sets out of the user's own copy of LFM-2b or LFM-1b: a user's listening history counts as a playlist."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import storage
from larpbench.datasets.build import DatasetOptions, build_dataset
from larpbench.datasets.catalogue import OTHER_DATA, DatasetCard, DatasetSource
from larpbench.datasets.files import already_built
from larpbench.datasets.raw_dataset import RawDataset, clean_texts
from larpbench.datasets.schema import Manifest, SplitName
from larpbench.datasets.sources.lfm.history import LfmFiles, ListeningHistory, find_files, read_history, read_texts
from larpbench.datasets.sources.lfm.log import train_users
from larpbench.datasets.splits.builder import SHORTEST_TRAIN, SplitBuilder
from larpbench.errors import DataError
from larpbench.fingerprint import digest

LICENCE = "LFM (Last.fm listening histories): research only; withdrawn by its authors, not to be passed on"
LFM = DatasetSource(
    "lfm",
    "listening histories of Last.fm users, from your own copy of LFM-2b or LFM-1b",
    build="larpbench dataset build lfm --source LFM-2b --preset paper",
    card=DatasetCard(
        content="LFM-2b: 2.0 billion listening events of 120,322 users and 50.8 million tracks; LFM-1b: 1.1 billion; "
        "artists and titles, no albums, no audio; a user counts as a playlist",
        where="nowhere: its authors have withdrawn the download (www.cp.jku.at/datasets/LFM-2b); a copy of your own is "
        "needed",
        licence=LICENCE,
        size="tens of gigabytes of bz2, read as they are; about half an hour of CPU time to build (extrapolated)",
        paper="M. Schedl et al., LFM-2b: A Dataset of Enriched Music Listening Events for Recommender Systems Research "
        "and Fairness Analysis, CHIIR 2022",
        citation=("schedl2022lfm2b",),
        without=(
            *OTHER_DATA,
            "open listening logs with vectors of audio encoders: larpbench dataset fetch onion (252,984,396 events of "
            "119,140 users), or yambda-50m",
            "playlists instead of listening logs: larpbench describe dataset mpd",
        ),
        page="docs/datasets/lfm.md",
    ),
)
NOTE = (
    "Users of LFM count as playlists. Which users a paper drew is published nowhere: this split is a seeded draw of "
    "our own, and a paper's numbers cannot be reproduced to the digit."
)
NO_ORDER = (
    "listening-counts do not say when a track was heard: valid and test playlists are drawn subsets of what a user has "
    "heard, and not contiguous as in the paper."
)


def build_lfm(source: Path, options: DatasetOptions, output: Path) -> Manifest:
    """Build a data set from listening histories.

    The log is read once, and only the users that are drawn stay in memory. Their listening histories, and the texts of
    these tracks, lie in a work folder beside `output` until the data set is written: after an interruption the same
    call does not read a file again that it had read to its end.

    Args:
        source: Folder with ``listening-events.tsv.bz2`` or ``listening-counts.tsv.bz2``, ``tracks.tsv.bz2`` and
            ``spotify-uris.tsv.bz2`` (LFM-2b), or with LFM-1b's files; see `find_table` for other names and places.
        options: How; the rule has all numbers.
        output: Folder to write.

    Raises:
        DataError: If a file is missing, damaged, or has other columns, or nothing is left.
    """
    files, rule = find_files(source), options.rule
    sample = [rule.seed, rule.valid_playlists, rule.test_playlists, rule.train_tracks]
    key = digest(["lfm 2", files.stamps(), sample, options.audio.listing_digest if options.audio else None])
    recipe = options.recipe(key)
    with storage.work_folder(output, key) as work:
        if (done := already_built(output, recipe, rule)) is not None:
            return done
        history = read_history(files, rule, options.audio, work)
        raw = _raw_dataset(files, history, read_texts(files, history, work))
        return build_dataset(raw, options, output, assign=_assign, recipe=recipe)


def _raw_dataset(files: LfmFiles, history: ListeningHistory, texts: pl.DataFrame) -> RawDataset:
    tracks = history.tracks.join(texts, on="track", how="left", maintain_order="left")
    titled = (tracks["title"].fill_null("") != "").to_numpy()
    if not titled.any():
        raise DataError("none of the tracks that were heard has a title", where=str(files.tracks.path))
    left_out = history.left_out | {"tracks without a title": int((~titled).sum())}
    playlists = history.playlists.restricted(titled)
    return RawDataset(
        clean_texts(tracks.filter(pl.Series(titled)).select("track_id", "title", "artist", album=pl.lit(""))),
        playlists,
        f"LFM, {files.log.path.name}" + ("" if files.uris else ", without Spotify ids"),
        LICENCE,
        {reason: count for reason, count in left_out.items() if count},
        (NOTE,) if playlists.order == "timed" else (NOTE, NO_ORDER),
    )


def _assign(builder: SplitBuilder) -> None:
    """Assign the splits: the first users are for test, the next for valid, then train and spare ones."""
    rule, users = builder.rule, builder.playlists
    test, valid = rule.test_playlists or 0, rule.valid_playlists or 0
    evaluated = test + valid
    late = users.tracks[users.offsets[min(evaluated, len(users))] :]
    places = np.repeat(np.arange(max(len(users) - evaluated, 0)), np.diff(users.offsets)[evaluated:])
    train = np.zeros(len(users), dtype=bool)
    train[evaluated : evaluated + train_users(places, late, rule.train_tracks or 0)] = True
    if not train.any():
        raise DataError(
            f"{test} test and {valid} valid playlists of {len(users)} users leave none for train",
            next_step="lower --test-playlists and --valid-playlists",
        )
    spare = iter(np.flatnonzero(~train)[evaluated:].tolist())
    train_tracks = np.unique(users.tracks[np.repeat(train, np.diff(users.offsets))])

    def take(split: SplitName, first: int, count: int) -> None:
        builder.take(split, itertools.chain(range(first, first + count), spare), count)

    if rule.rule == "paper":
        builder.assign("train", train_tracks)
        take("valid", test, valid)
        take("test", 0, test)
    else:
        take("test", 0, test)
        take("valid", test, valid)
        builder.assign("train", train_tracks[builder.free()[train_tracks]])
    builder.keep_train(train, SHORTEST_TRAIN)
