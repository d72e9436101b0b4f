"""Data sets out of the user's own copy of LFM-2b or LFM-1b: a user's listening history counts as a playlist."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import storage
from larpbench.datasets.assemble import clean_texts
from larpbench.datasets.files import already_built
from larpbench.datasets.raw_dataset import Collected, CollectedOptions, build_collected
from larpbench.datasets.schema import Manifest, SplitName
from larpbench.datasets.sources.lfm.history import Heard, LfmFiles, find_files, read_heard, read_texts
from larpbench.datasets.sources.lfm.log import train_users
from larpbench.datasets.splits.builder import SHORTEST_TRAIN, Claims
from larpbench.errors import DataError
from larpbench.fingerprint import digest

LICENCE = "LFM (Last.fm listening histories): research only; withdrawn by its authors, not to be passed on"
NOTE = (
    "Users of LFM count as playlists. Which users a paper drew is published nowhere: this split is a seeded draw of "
    "our own, and a paper's numbers cannot be reproduced to the digit."
)
NO_ORDER = (
    "listening-counts do not say when a track was heard: valid and test playlists are drawn subsets of what a user has "
    "heard, and not contiguous as in the paper."
)


def build_lfm(source: Path, options: CollectedOptions, output: Path) -> Manifest:
    """Build a data set from listening histories.

    The log is read once, and only the users that are drawn stay in memory. What they have heard, and the texts of these
    tracks, lie in a work folder beside `output` until the data set is written: after an interruption the same call does
    not read a file again that it had read to its end.

    Args:
        source: Folder with ``listening-events.tsv.bz2`` or ``listening-counts.tsv.bz2``, ``tracks.tsv.bz2`` and
            ``spotify-uris.tsv.bz2`` (LFM-2b), or with LFM-1b's files; see `find_table` for other names and places.
        options: How; the rule has all numbers.
        output: Folder to write.

    Raises:
        DataError: If a file is missing, damaged, or has other columns, or nothing is left.
    """
    files, rule = find_files(source), options.rule
    drawn = [rule.seed, rule.valid_playlists, rule.test_playlists, rule.train_tracks]
    key = digest(["lfm 2", files.stamps(), drawn, options.audio.listing_digest if options.audio else None])
    recipe = options.recipe(key)
    with storage.work_folder(output, key) as work:
        if (done := already_built(output, recipe, rule)) is not None:
            return done
        heard = read_heard(files, rule, options.audio, work)
        return build_collected(_collected(files, heard, read_texts(files, heard, work)), options, _draw, output, recipe)


def _collected(files: LfmFiles, heard: Heard, texts: pl.DataFrame) -> Collected:
    tracks = heard.tracks.join(texts, on="track", how="left", maintain_order="left")
    titled = (tracks["title"].fill_null("") != "").to_numpy()
    if not titled.any():
        raise DataError("none of the tracks that were heard has a title", where=str(files.tracks.path))
    left_out = heard.left_out | {"tracks without a title": int((~titled).sum())}
    log = heard.log.restricted(titled)
    return Collected(
        clean_texts(tracks.filter(pl.Series(titled)).select("track_id", "title", "artist", album=pl.lit(""))),
        log,
        f"LFM, {files.log.path.name}" + ("" if files.uris else ", without Spotify ids"),
        LICENCE,
        {reason: count for reason, count in left_out.items() if count},
        (NOTE,) if log.order == "heard" else (NOTE, NO_ORDER),
    )


def _draw(claims: Claims) -> None:
    """Draw the splits: the first users of the log are for test, the next for valid, then train and spare ones."""
    rule, log = claims.rule, claims.log
    test, valid = rule.test_playlists or 0, rule.valid_playlists or 0
    asked = test + valid
    late = log.tracks[log.offsets[min(asked, len(log))] :]
    places = np.repeat(np.arange(max(len(log) - asked, 0)), np.diff(log.offsets)[asked:])
    train = np.zeros(len(log), dtype=bool)
    train[asked : asked + train_users(places, late, rule.train_tracks or 0)] = True
    if not train.any():
        raise DataError(
            f"{test} test and {valid} valid playlists of {len(log)} users leave none for train",
            next_step="lower --test-playlists and --valid-playlists",
        )
    spare = iter(np.flatnonzero(~train)[asked:].tolist())
    heard = np.unique(log.tracks[np.repeat(train, np.diff(log.offsets))])

    def take(split: SplitName, first: int, count: int) -> None:
        claims.take(split, itertools.chain(range(first, first + count), spare), count)

    if rule.rule == "paper":
        claims.claim("train", heard)
        take("valid", test, valid)
        take("test", 0, test)
    else:
        take("test", 0, test)
        take("valid", test, valid)
        claims.claim("train", heard[claims.free()[heard]])
    claims.keep_train(train, SHORTEST_TRAIN)
