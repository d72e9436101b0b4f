"""Cold-start splits: which playlists and tracks are train, valid and test, and which tracks are seeds.

Protocol ``cold-start-v1``, rules 2 and 3: the split rule ``tracks`` draws tracks and playlists, the rule ``playlists``
draws playlists, which then take their tracks with them. All draws are orders of sha256 digests of the split seed and
the ids: they do not depend on the order of the rows, on a random generator's version, or on which other playlists there
are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl

from larpbench.datasets.schema import PLAYLIST_COLUMNS, SPLITS, Dataset
from larpbench.errors import DataError

TRAIN_FRACTION = 0.7
TEST_SHARE_OF_HELD_BACK = 2 / 3  # 20 of the 30 % that are not train


def draw_places(names: Iterable[str], seed: int, train_fraction: float, *before: str) -> np.ndarray:
    """Draw names to splits by ``uniform(seed, *before, name)``.

    Args:
        names: What is drawn.
        seed: Split seed.
        train_fraction: Share of train; of the rest two thirds are test, one third valid (0.7: 70 / 10 / 20 %).
            0 puts everything in test.
        before: What is drawn, in a word, such as ``track``; playlists have none. Draws of two kinds are independent.

    Returns:
        (n,) int8 places in `SPLITS`.

    Raises:
        DataError: If `train_fraction` is not in [0, 1).
    """
    if not 0 <= train_fraction < 1:
        raise DataError(f"the train fraction is {train_fraction}", allowed="0 <= fraction < 1")
    test_below = 1.0 if train_fraction == 0 else (1 - train_fraction) * TEST_SHARE_OF_HELD_BACK
    train, valid, test = range(len(SPLITS))
    numbers = uniforms(seed, *before, names=names)
    return np.select([numbers < test_below, numbers < 1 - train_fraction], [test, valid], train).astype(np.int8)


def draw_roles(entries: pl.DataFrame, seed: int, draw: int = 0) -> pl.DataFrame:
    """Draw seeds and held-out tracks of valid and test playlists (rule 3).

    Of n tracks, round(n / 2) are seeds, half to even: 1 -> 0, 2 -> 1, 3 -> 2, 5 -> 2. They are the first in the order
    of sha256(seed, playlist id, track id).

    Args:
        entries: Columns ``playlist_id``, ``track_id``, ``split``; no duplicates.
        seed: Split seed.
        draw: Number of the draw: 0 is the data set's own, others repeat it.

    Returns:
        The same rows with ``role``: member in train, seed or heldout elsewhere.
    """
    train = entries.filter(pl.col("split") == "train").with_columns(role=pl.lit("member"))
    evaluated = entries.filter(pl.col("split") != "train")
    prefix = (f"draw {draw}",) if draw else ()
    rows = evaluated.select("playlist_id", "track_id").iter_rows()
    keys = [_key(seed, *prefix, playlist, track) for playlist, track in rows]
    length = pl.len().over("playlist_id").cast(pl.Int64)
    half = length // 2
    seeds = half + ((length % 2 == 1) & (half % 2 == 1)).cast(pl.Int64)
    with_roles = (
        evaluated.with_columns(pl.Series("key", keys, dtype=pl.Binary))
        .sort("playlist_id", "key")
        .with_columns(
            role=pl.when(pl.int_range(pl.len()).over("playlist_id") < seeds)
            .then(pl.lit("seed"))
            .otherwise(pl.lit("heldout"))
        )
        .drop("key")
    )
    return pl.concat([train, with_roles])


def redraw_test(dataset: Dataset, draw: int) -> Dataset:
    """Return a data set whose test playlists have other seeds and held-out tracks, and no columns of their own.

    Args:
        dataset: The data set.
        draw: Number of the draw; 0 returns the data set itself.
    """
    if draw == 0:
        return dataset
    in_test, known = pl.col("split") == "test", dataset.playlists.select(list(PLAYLIST_COLUMNS))
    redrawn = draw_roles(known.filter(in_test).drop("role"), dataset.manifest.split.seed, draw)
    playlists = pl.concat([known.filter(~in_test), redrawn.select(known.columns)])
    return replace(dataset, playlists=playlists.sort("playlist_id", "track_id"))


def _key(seed: int, *names: str) -> bytes:
    return hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()


def uniform(seed: int, *names: str) -> float:
    """Return a number in [0, 1) drawn by sha256 of the seed and the names."""
    return int.from_bytes(_key(seed, *names)[:7], "big") / 2**56


def uniforms(seed: int, *before: str, names: Iterable[str]) -> np.ndarray:
    """Return ``uniform(seed, *before, name)`` of each name, (n,) float64."""
    begun = hashlib.sha256("\x1f".join([str(seed), *before, ""]).encode())

    def key(name: str) -> bytes:
        hasher = begun.copy()
        hasher.update(name.encode())
        return hasher.digest()

    first = np.fromiter(map(key, names), "S8")  # of 32 bytes, all at once: a number a name takes half as long again
    return (first.view(">u8") >> 8) / 2**56
