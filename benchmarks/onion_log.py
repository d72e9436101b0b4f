"""A listening log in the layout of Music4All-Onion, and what a data set of it costs.

    python benchmarks/onion_log.py write FOLDER 25000000 [USERS TRACKS]   # userid_trackid_timestamp.tsv.bz2
    python benchmarks/onion_log.py unpack FOLDER                          # CPU seconds of bz2 alone
    python benchmarks/onion_log.py build FOLDER OUTPUT [OPTIONS]          # those of larpbench dataset build onion
    python benchmarks/onion_log.py pairs OUTPUT 10000000                  # a data set of so many pairs, without a log

Each but the first prints its CPU seconds and its peak memory in MB. A listener has played about 2,100 events in the
whole log (252,984,396 of 119,140 users and 56,512 tracks), newest first, most tracks several times: one pair of a
listener and a track is five events.
"""

from __future__ import annotations

import bz2
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from test_large_run import larpbench

from larpbench.datasets.pairs import PAIR_COLUMNS, Pairs
from larpbench.datasets.sources.collection import CollectionOptions
from larpbench.datasets.sources.onion import build as onion
from larpbench.datasets.sources.onion.log import Log

EVENTS, USERS, TRACKS = 252_984_396, 119_140, 56_512
LOG = "userid_trackid_timestamp.tsv.bz2"
_BEGIN, _END = 1_262_304_000, 1_584_662_400  # 2010-01-01 to 2020-03-20
_AT_ONCE = 2_000_000
_PAIR, _SKEW = 5, 2.5
_ALPHABET = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


def _names(count: int, letters: int, seed: int) -> pl.Series:
    """Return distinct ids like those of the collection, which do not compress."""
    generator = np.random.default_rng(seed)
    drawn = np.ascontiguousarray(_ALPHABET[generator.integers(62, size=(2 * count, letters))])
    found = np.unique(drawn.view(f"S{letters}").ravel())
    return pl.Series(generator.permutation(found)[:count].astype(f"U{letters}"))


def write_log(folder: Path, events: int, users: int | None = None, tracks: int = TRACKS) -> None:
    """Write a log; the listeners are as many as so many events of the whole log have, unless said."""
    folder.mkdir(parents=True, exist_ok=True)
    users = users or max(1, round(USERS * events / EVENTS))
    listeners, track_ids = _names(users, 8, 1).to_frame("user"), _names(tracks, 16, 2)
    generator = np.random.default_rng(0)
    of_user = np.maximum(1, generator.dirichlet(np.full(users, 0.7)) * events).astype(np.int64)
    with bz2.open(folder / LOG, "wb", compresslevel=9) as stream:
        stream.write(b"user_id\ttrack_id\ttimestamp\n")
        user = 0
        while user < users:
            stop = max(user + 1, int(np.searchsorted(np.cumsum(of_user[user:]), _AT_ONCE)) + user)
            counts = of_user[user:stop]
            rows = np.repeat(np.arange(user, stop), counts)
            liked = (tracks * generator.random(len(rows)) ** _SKEW).astype(np.int64)
            starts = np.repeat(np.cumsum(counts) - counts, counts)
            own = np.maximum(np.repeat(counts, counts) // _PAIR, 1)
            played = liked[starts + (own * generator.random(len(rows))).astype(np.int64)]
            seconds = np.repeat(generator.integers(_BEGIN, _END, stop - user), counts) // 2 + _BEGIN // 2
            seconds = seconds + generator.integers(0, 86_400 * 365, len(rows))
            frame = pl.DataFrame({"row": rows, "track": played, "time": seconds})
            frame = frame.sort("row", "time", descending=[False, True])
            table = pl.DataFrame(
                [
                    listeners["user"].gather(frame["row"]),
                    track_ids.gather(frame["track"]).alias("track"),
                    pl.from_epoch(frame["time"], time_unit="s").dt.strftime("%Y-%m-%d %H:%M:%S"),
                ]
            )
            stream.write(table.write_csv(separator="\t", include_header=False).encode())
            user = stop


def unpack(folder: Path) -> None:
    """Read the log to its end, and do nothing with it."""
    with bz2.open(folder / LOG) as stream:
        while stream.read(1 << 20):
            pass


def build_of_pairs(output: Path, count: int) -> None:
    """Build what a log of so many pairs becomes when it has been read; 420 pairs a listener, as in the whole log."""
    generator = np.random.default_rng(0)
    users = max(1, round(USERS * count / (EVENTS / _PAIR)))
    length = -(-count // users)
    parts = []
    for start in range(0, users, 1_024):
        rows = np.repeat(np.arange(start, min(start + 1_024, users), dtype=np.uint32), length)
        track = (TRACKS * generator.random(len(rows)) ** _SKEW).astype(np.uint32)
        part = pl.DataFrame({"listener": rows, "track": track}).unique().sort("listener", "track")
        parts.append(
            part.with_columns(
                period=pl.lit(0, dtype=pl.UInt8),
                count=pl.Series(generator.geometric(1 / _PAIR, part.height).astype(np.uint32)),
                first_time=pl.Series(generator.integers(_BEGIN, _END, part.height).astype(np.uint32)),
            ).select(*PAIR_COLUMNS)
        )
    pairs = Pairs(_names(users, 8, 1), _names(TRACKS, 16, 2), pl.concat(parts))
    print(f"{pairs.table.height} pairs")
    parts.clear()
    held = [pairs]
    del pairs

    def handed_over(*_: object) -> Log:
        return Log(held.pop(), {})

    onion.read_log = handed_over
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / LOG).write_bytes(bz2.compress(b"user_id\ttrack_id\ttimestamp\na\tb\t2015-01-01 00:00:00\n"))
        onion.build_onion(Path(folder), CollectionOptions("pairs"), onion.OnionOptions(), output)


if __name__ == "__main__":
    what, place, *more = sys.argv[1:]
    if what == "write":
        write_log(Path(place), *map(int, more))
        sys.exit()
    if what == "build":
        cpu_s, peak_mb = larpbench("dataset", "build", "onion", "--source", place, "--output", *more)
    else:
        if what == "unpack":
            unpack(Path(place))
        else:
            build_of_pairs(Path(place), int(more[0]))
        cpu_s = time.process_time()
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            1e6 if sys.platform == "darwin" else 1e3 / 1.024
        )
    print(f"{cpu_s:.1f} CPU s, {peak_mb:.0f} MB")
