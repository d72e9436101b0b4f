"""The Million Playlist Dataset at its full counts without its 33 GB of JSON: slices come parsed, the rest is as ever.

    python benchmarks/whole_mpd.py read WORK                  # all slices, numbered and kept
    python benchmarks/whole_mpd.py build WORK OUTPUT [paper]  # the data set of what is kept

Each prints its CPU seconds and its peak memory in MB. Parsing adds the memory of one slice.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from published_shapes import MPD_LENGTH, MPD_PLAYLISTS, MPD_TRACKS, track_ids

from larpbench.datasets.build import DatasetOptions
from larpbench.datasets.sources.mpd import build as mpd
from larpbench.datasets.sources.mpd.pieces import Pieces
from larpbench.datasets.sources.mpd.slice_json import Entry, ParsedSlice, Playlist
from larpbench.datasets.sources.mpd.slices import Slice, SliceSource
from larpbench.datasets.splits.presets import Sizes, split_rule

_SLICE = 1_000


def parsed_slices(skew: float = 12.0) -> Iterator[ParsedSlice]:
    """Yield what `published_shapes.write_slices` would write: every track is somewhere, few are nearly everywhere."""
    generator = np.random.default_rng(0)
    ids = track_ids(MPD_TRACKS)
    unseen = np.array_split(generator.permutation(MPD_TRACKS), MPD_PLAYLISTS // _SLICE)
    for number, fresh in enumerate(unseen):
        lengths = 5 + generator.exponential(MPD_LENGTH - 5, _SLICE).astype(int)
        drawn = (MPD_TRACKS * generator.random(lengths.sum()) ** skew).astype(int)
        drawn[generator.choice(len(drawn), len(fresh), replace=False)] = fresh
        texts = pl.DataFrame({"track_id": ids[drawn], "track": drawn}).select(
            artist_name=pl.format("Artist of number {}", pl.col("track") // 8),
            track_uri=pl.format("spotify:track:{}", "track_id"),
            track_name=pl.format("A song of number {}", "track"),
            album_name=pl.format("The album of number {}", pl.col("track") // 3),
        )
        entries = [Entry(*row) for row in texts.iter_rows()]
        ends = np.cumsum(lengths).tolist()
        playlists = [
            Playlist(pid, entries[start:stop], stop - start)
            for pid, (start, stop) in enumerate(zip([0, *ends], ends, strict=False), number * _SLICE)
        ]
        yield ParsedSlice(playlists, _SLICE, 0, 0, f"slice {number}")


def read(work: Path) -> None:
    """Number and keep all slices."""
    work.mkdir(parents=True)
    pieces = Pieces(work)
    for parsed in parsed_slices():
        pieces.add(parsed)


def build(work: Path, output: Path, *, paper: bool) -> None:
    """Build a data set of what `read` has kept."""
    slices = tuple(
        Slice(f"mpd.slice.{first}-{first + _SLICE - 1}.json", (0, 0)) for first in range(0, MPD_PLAYLISTS, _SLICE)
    )

    @contextmanager
    def opened(path: Path) -> Iterator[SliceSource]:
        yield SliceSource(path, slices, f"{len(slices)} slices", (), None)

    @contextmanager
    def kept(_output: Path, _key: str) -> Iterator[Path]:
        yield work

    mpd.open_slices, mpd.storage.work_folder = opened, kept
    collection: Literal["mpd"] = "mpd"
    rule = split_rule(collection, Sizes(), paper=paper, seed=0, artist_disjoint=False)
    mpd.build_mpd(work, DatasetOptions(name="whole", rule=rule, caption_template="paper"), output)


if __name__ == "__main__":
    if sys.argv[1] == "read":
        read(Path(sys.argv[2]))
    else:
        build(Path(sys.argv[2]), Path(sys.argv[3]), paper=sys.argv[4:] == ["paper"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
    print(f"{time.process_time():.0f} CPU s, {peak:.0f} MB")
