"""Small data sets as tables on disk."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from larpbench.datasets.schema import Dataset


HEARD_TRACKS = 12


@dataclass(frozen=True)
class Tables:
    """Two CSV files and vectors for their tracks."""

    tracks: Path
    playlists: Path
    vectors: Path
    folder: Path


def write_tables(
    folder: Path,
    features: np.ndarray,
    seeds: list[tuple[int, int]],
    heldout: list[tuple[int, int]],
) -> Tables:
    """Write a test split with given roles, and the vectors of its tracks."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"t{number:05d}" for number in range(len(features))]
    pl.DataFrame(
        {
            "track_id": ids,
            "title": [f"Song {number}" for number in range(len(ids))],
            "artist": [f"Artist {number % 7}" for number in range(len(ids))],
            "album": ["" if number % 3 else f"Album {number % 5}" for number in range(len(ids))],
            "split": ["test"] * len(ids),
        }
    ).write_csv(folder / "tracks.csv")
    rows = [(f"p{p:05d}", ids[t], "test", "seed") for p, t in seeds]
    rows += [(f"p{p:05d}", ids[t], "test", "heldout") for p, t in heldout]
    pl.DataFrame(rows, schema=["playlist_id", "track_id", "split", "role"], orient="row").write_csv(
        folder / "playlists.csv"
    )
    np.savez(folder / "vectors.npz", ids=np.array(ids), embeddings=features)
    return Tables(folder / "tracks.csv", folder / "playlists.csv", folder / "vectors.npz", folder)


def random_tables(folder: Path, *, tracks: int = 120, playlists: int = 30, dim: int = 16, seed: int = 0) -> Tables:
    """Write random vectors and random playlists of 4 to 12 tracks."""
    generator = np.random.default_rng(seed)
    seeds, heldout = [], []
    for playlist in range(playlists):
        chosen = generator.permutation(tracks)[: generator.integers(4, 13)]
        half = len(chosen) // 2
        seeds += [(playlist, int(track)) for track in chosen[:half]]
        heldout += [(playlist, int(track)) for track in chosen[half:]]
    features = generator.normal(size=(tracks, dim)).astype(np.float32)
    return write_tables(folder, features, seeds, heldout)


def split_tables(
    folder: Path,
    *,
    tracks: int = 24,
    playlists: int = 10,
    lengths: tuple[int, int] = (4, 8),
    dim: int = 6,
    seeds: Mapping[str, int] | None = None,
    playlist_seeds: Mapping[str, int] | None = None,
    words: str | None = None,
    without: Collection[str] = (),
) -> Tables:
    """Write train, valid and test splits with given roles, of as many tracks and playlists each.

    Args:
        folder: Where.
        tracks: Tracks of a split.
        playlists: Playlists of a split.
        lengths: Fewest and most tracks of a playlist.
        dim: Length of the vectors.
        seeds: Split -> another number gives it other tracks, vectors and playlists, and changes no other split.
        playlist_seeds: Split -> another number gives it other playlists of the same tracks.
        words: Title, artist and album of all tracks; default: some of their own.
        without: Splits that have no playlists.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed, entries, features = [], [], []
    for number, split in enumerate(("train", "valid", "test")):
        seed = (seeds or {}).get(split, 0)
        ids = [f"{split}-{seed}-{track:03d}" for track in range(tracks)]
        features.append(np.random.default_rng([number, seed]).normal(size=(tracks, dim)).astype(np.float32))
        for track, name in enumerate(ids):
            own = (f"Song {track * 7 % 11}", f"Artist {track % 5 + seed} {split}", f"Album {track // 4 + seed}")
            listed.append((name, *(own if words is None else [words] * 3), split, f"{name}.wav"))
        draw = np.random.default_rng([number, seed, (playlist_seeds or {}).get(split, 0)])
        for playlist in range(0 if split in without else playlists):
            chosen = draw.permutation(tracks)[: draw.integers(lengths[0], lengths[1] + 1)]
            for place, track in enumerate(chosen):
                role = "" if split == "train" else "seed" if place < len(chosen) // 2 else "heldout"
                entries.append((f"{split}-{seed}-p{playlist}", ids[track], split, role))
    columns = ["track_id", "title", "artist", "album", "split", "audio"]
    pl.DataFrame(listed, schema=columns, orient="row").write_csv(folder / "tracks.csv")
    columns = ["playlist_id", "track_id", "split", "role"]
    pl.DataFrame(entries, schema=columns, orient="row").write_csv(folder / "playlists.csv")
    np.savez(folder / "vectors.npz", ids=np.array([row[0] for row in listed]), embeddings=np.concatenate(features))
    return Tables(folder / "tracks.csv", folder / "playlists.csv", folder / "vectors.npz", folder)


def build_split_tables(output: Path, **options: Any) -> Dataset:
    """Build a data set of what `split_tables` writes, which lies beside it in ``NAME-tables``."""
    from larpbench.datasets.assemble import BuildOptions
    from larpbench.datasets.sources.csv import build_csv

    def build(output: Path) -> None:
        tables = split_tables(output.with_name(f"{output.name}-tables"), **options)
        build_csv(tables.tracks, tables.playlists, BuildOptions(output.name, "a test", "none"), output)

    return _built_once(output, repr(sorted(options.items())), build)


def _built_once(output: Path, options: str, build: Callable[[Path], None]) -> Dataset:
    """Copy a data set and its tables to where a test wants it; each is built once in a process, which takes longer."""
    from larpbench.datasets.files import read_dataset

    if output.exists():
        build(output)
        return read_dataset(output)
    made = _MADE.setdefault((output.name, options), made_folder() / str(len(_MADE)))
    if not (made / output.name).exists():
        build(made / output.name)
    for name in (output.name, f"{output.name}-tables"):
        shutil.copytree(made / name, output.with_name(name), dirs_exist_ok=True)
    return read_dataset(output)


_MADE: dict[tuple[str, str], Path] = {}
_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def made_folder() -> Path:
    """Where data sets lie that are made once in a process."""
    _KEPT.append(tempfile.TemporaryDirectory(prefix="larpbench-tests-data-"))  # removed when the process ends
    return Path(_KEPT[0].name)


def write_library(folder: Path, tracks: int = HEARD_TRACKS) -> Path:
    """Write a second of sound for every track of what `build_heard` builds, and return where it lies."""
    from support.sounds import write_tone

    tables = split_tables(folder / "tables", tracks=tracks)
    for number, name in enumerate(pl.read_csv(tables.tracks)["audio"]):
        write_tone(folder / "sound" / name, 200 + 20 * number, seconds=1.2, rate=8_000)
    return folder / "sound"


def build_heard(output: Path, library: Path, tracks: int = HEARD_TRACKS, **options: Any) -> Dataset:
    """Build a data set with audio, a dozen tracks a split."""
    from larpbench.audio.policy import AudioPolicy
    from larpbench.datasets.assemble import BuildOptions
    from larpbench.datasets.sources.csv import build_csv

    def build(output: Path) -> None:
        tables = split_tables(output.with_name(f"{output.name}-tables"), tracks=tracks, playlists=6, **options)
        made = BuildOptions(output.name, "a test", "none")
        policy = AudioPolicy(clip_seconds=1.0)
        build_csv(tables.tracks, tables.playlists, made, output, audio=library, policy=policy)

    return _built_once(output, repr([str(library), tracks, sorted(options.items())]), build)
