"""A run over a large catalogue: the peak memory of the whole command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from published_shapes import track_ids
from safetensors.numpy import save_file

Figure = Callable[[str, str, str], None]
TRACKS, DIM, PLAYLISTS, LENGTH = 1_000_000, 256, 10_000, 20


def larpbench(*arguments: str | Path) -> tuple[float, float]:
    """Run a command in a process of its own and return its CPU seconds and its peak memory in MB."""
    process = subprocess.Popen([sys.executable, "-m", "larpbench", *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)


def write_world(folder: Path) -> np.ndarray:
    """Write the two tables of a catalogue, and return its track ids."""
    generator = np.random.default_rng(0)
    ids = track_ids(TRACKS)
    numbers = np.arange(TRACKS)
    pl.DataFrame({"track_id": ids, "number": numbers}).select(
        "track_id",
        title=pl.format("A song of number {}", "number"),
        artist=pl.format("Artist of number {}", pl.col("number") // 8),
        album=pl.format("The album of number {}", pl.col("number") // 3),
    ).write_csv(folder / "tracks.csv")
    drawn = generator.integers(TRACKS, size=PLAYLISTS * LENGTH)
    names = np.repeat(np.arange(PLAYLISTS), LENGTH)
    pl.DataFrame({"playlist_id": names, "track_id": ids[drawn]}).write_csv(folder / "playlists.csv")
    return ids


def write_vectors(path: Path, ids: np.ndarray) -> None:
    """Write a vector for every track, in the format that the suffix names."""
    vectors = np.random.default_rng(1).standard_normal((len(ids), DIM), dtype=np.float32)
    if path.suffix == ".npz":
        np.savez(path, ids=ids, embeddings=vectors)
    elif path.suffix == ".safetensors":
        save_file({"embeddings": vectors}, path)
        path.with_suffix(".ids.txt").write_text("\n".join(ids.tolist()) + "\n", encoding="utf-8")
    else:
        column = pl.Series("embedding", vectors, dtype=pl.Array(pl.Float32, DIM))
        pl.DataFrame([pl.Series("track_id", ids), column]).write_parquet(path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".parquet"])
def test_memory_of_a_large_run(tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    write_vectors(tmp_path / f"vectors{suffix}", write_world(tmp_path))
    tables = ("--tracks", tmp_path / "tracks.csv", "--playlists", tmp_path / "playlists.csv")
    larpbench("dataset", "build", "csv", *tables, "--train-fraction", "0", "--output", tmp_path / "large")
    options = ("--dataset", tmp_path / "large", "--output", tmp_path / "results")
    cpu_s, peak_mb = larpbench("run", "--encoders", f"precomputed:{tmp_path / f'vectors{suffix}'}", *options)
    name = f"run, precomputed {suffix}: {TRACKS:,} tracks x {DIM}, {PLAYLISTS:,} playlists"
    figure(name, "< 4000 MB", f"{peak_mb:.0f} MB, {cpu_s:.0f} CPU s", value=peak_mb)
    shutil.rmtree(tmp_path)  # gigabytes
