"""Data sets out of the user's own copy of the Million Playlist Dataset."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from larpbench import progress, storage
from larpbench.datasets.build import DatasetOptions, build_dataset
from larpbench.datasets.catalogue import OTHER_DATA, DatasetCard, DatasetSource
from larpbench.datasets.files import already_built
from larpbench.datasets.raw_dataset import RawDataset, RawPlaylists
from larpbench.datasets.schema import Manifest
from larpbench.datasets.sources.mpd.pieces import Pieces
from larpbench.datasets.sources.mpd.slice_json import parse_slice
from larpbench.datasets.sources.mpd.slices import SliceSource, open_slices, unzipped
from larpbench.datasets.splits.drawing import draw
from larpbench.errors import DataError, named
from larpbench.fingerprint import digest
from larpbench.storage import storage_errors

LICENCE = "Million Playlist Dataset: research only, not commercial, not to be passed on (Spotify's terms)"
MPD = DatasetSource(
    "mpd",
    "the Million Playlist Dataset, from your own copy",
    build="larpbench dataset build mpd --source spotify_million_playlist_dataset.zip --preset paper",
    card=DatasetCard(
        content="1,000,000 playlists of Spotify users (2010 to 2017), 66,346,428 entries, 2,262,292 tracks, 295,860 "
        "artists, 734,684 albums; titles, artists and albums, no audio",
        where="aicrowd.com, Spotify Million Playlist Dataset Challenge (an account is needed): "
        "spotify_million_playlist_dataset.zip, and the challenge set",
        licence=LICENCE,
        size="5.4 GB zipped, read as it is (about 33 GB of JSON); about 2 minutes of CPU time and 1.7 GB of memory to "
        "build all of it",
        paper="C.-W. Chen et al., RecSys Challenge 2018: Automatic Music Playlist Continuation, RecSys 2018",
        citation=("chen2018recsys",),
        without=(
            *OTHER_DATA,
            "listening logs with vectors of audio encoders, without an account: larpbench dataset fetch onion, or "
            "yambda-50m; playlists without sound: larpbench dataset fetch aotm",
            "text encoders (tfidf, bert) need no audio; Spotify gives new applications no previews since November 2024",
        ),
        page="docs/datasets/mpd.md",
    ),
)
NOTE = (
    "The split of the Million Playlist Dataset is a seeded draw of our own: which playlists a paper drew is published "
    "nowhere, so its numbers cannot be reproduced to the digit."
)
VISIBLE = 100
"""Challenge playlists with so many visible tracks can be test playlists: LARP's seem to have been drawn from these."""


def build_mpd(source: Path, options: DatasetOptions, output: Path, challenge: Path | None = None) -> Manifest:
    """Build a data set from slices of playlists.

    The slices are read one by one, and what is kept of each lies in a work folder beside `output` until the data set is
    written: after an interruption the same call goes on from there.

    Args:
        source: ``spotify_million_playlist_dataset.zip``, a folder with its slices, or one slice.
        options: How.
        output: Folder to write.
        challenge: ``challenge_set.json``: test playlists are drawn from those of its playlists that have 100 visible
            tracks, and none from the slices.

    Raises:
        DataError: If the source is damaged, has playlists twice, or nothing is left of it.
    """
    with open_slices(source) as slices:
        key = digest(["mpd 2", [asdict(each) for each in slices.slices], _stamp(challenge)])
        recipe = options.recipe(key)
        with storage.work_folder(output, digest(["pieces 2", key])) as work:
            if (done := already_built(output, recipe, options.rule)) is not None:
                return done
            raw, n_challenge = _raw_dataset(slices, challenge, work)
            return build_dataset(raw, options, output, assign=partial(draw, apart=n_challenge), recipe=recipe)


def _stamp(path: Path | None) -> list[int]:
    if path is None:
        return []
    if not path.is_file():
        raise DataError(f"there is no file {path}", allowed="challenge_set.json")
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _read(slices: SliceSource, challenge: Path | None, work: Path) -> Pieces:
    pieces = Pieces(work)
    total = len(slices.slices)
    with progress.stage("read playlists", total, "slices", min(len(pieces), total)) as advance:
        for each in slices.slices[len(pieces) :]:
            pieces.add(parse_slice(slices.read(each), f"{slices.path}: {each.name}"))
            advance(1)
    if challenge is not None and len(pieces) == total:
        with storage_errors(challenge, "read"):
            data = unzipped(challenge.read_bytes(), str(challenge))
        pieces.add(parse_slice(data, str(challenge)), shortest=VISIBLE)
    return pieces


def _raw_dataset(slices: SliceSource, challenge: Path | None, work: Path) -> tuple[RawDataset, int]:
    """Return everything that was read, and how many of the last playlists are those of the challenge set."""
    pieces = _read(slices, challenge, work)
    ids, offsets, tracks, n_challenge = pieces.playlists(last_apart=challenge is not None)
    if challenge is not None and not n_challenge:
        raise DataError(f"no playlist of the challenge set has {VISIBLE} visible tracks", allowed="challenge_set.json")
    different, times = np.unique(ids, return_counts=True)
    if len(different) < len(ids):
        raise DataError(
            f"playlists are there twice: the same pid is in several slices: {named(different[times > 1].tolist())}",
            where=str(slices.path),
            allowed="each playlist in one slice",
        )
    source = f"Million Playlist Dataset, {slices.words}"
    notes = [NOTE]
    if slices.missing:
        notes.append(_gaps(slices.missing))
        progress.say(notes[-1])
    counts = pieces.counts()
    if counts["contradicting"]:
        progress.say(f"warning: {counts['contradicting']} playlists hold another number of tracks than num_tracks says")
    if counts["without_albums"]:
        notes.append("The copy of the data set lacks albums: captions say nothing of them.")
        progress.say(f"warning: {counts['without_albums']} slices lack album_name: captions leave the album out")
    left_out = {
        "entries without a track id": counts["without_id"],
        "duplicate entries": counts["repeated"],
        "playlists without tracks": counts["without_tracks"],
    }
    return (
        RawDataset(
            pieces.tracks(),
            RawPlaylists(pl.Series(ids).cast(pl.String), offsets, tracks, "listed"),
            source + (" and the challenge set" if challenge is not None else ""),
            LICENCE,
            {reason: count for reason, count in left_out.items() if count},
            tuple(notes),
        ),
        n_challenge,
    )


def _gaps(missing: tuple[tuple[int, int], ...], most: int = 3) -> str:
    shown = ", ".join(f"{first} to {last}" for first, last in missing[:most])
    more = f" and {len(missing) - most} more gaps" if len(missing) > most else ""
    return f"Slices are missing from this copy of the data set: playlists {shown}{more}."
