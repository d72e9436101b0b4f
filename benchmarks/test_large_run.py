"""A run over a large catalogue: the memory of the whole command, its CPU seconds, those of the product, the estimate.

    python benchmarks/test_large_run.py FOLDER 1000000 1024 10000 .npy   # tracks, dimensions, playlists, format

Memory is the peak of what is anonymous (``RssAnon``): pages of files can be taken away at any time, and do not count.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from paired import cpu_seconds
from problems import make_problem, run_product
from published_shapes import track_ids
from safetensors.numpy import save_file

Figure = Callable[..., None]
LENGTH = 20
_PRODUCT_ROWS = 1_000
_SAMPLED_S = 0.02


@dataclass(frozen=True)
class LargeRun:
    """What a whole ``larpbench run`` took.

    Attributes:
        cpu_s: CPU seconds.
        anonymous_mb: Peak of anonymous memory.
        product_s: CPU seconds of the bare product of all playlists and tracks, by that of some playlists.
        estimate_s: What ``larpbench plan`` said.
    """

    cpu_s: float
    anonymous_mb: float
    product_s: float
    estimate_s: float

    def __str__(self) -> str:
        return (
            f"{self.cpu_s:.0f} CPU s ({self.cpu_s / self.product_s:.2f}x the product, {self.product_s:.0f}; plan said "
            f"{self.estimate_s:.0f}, {self.estimate_s / self.cpu_s:.2f}x), {self.anonymous_mb:.0f} MB anonymous"
        )


def larpbench(*arguments: str | Path) -> tuple[float, float]:
    """Run a command in a process of its own and return its CPU seconds and its peak memory in MB."""
    return _watched("VmHWM", *arguments)


def sampled(*arguments: str | Path) -> tuple[float, float]:
    """Run a command in a process of its own and return its CPU seconds and its peak of anonymous memory in MB."""
    return _watched("RssAnon", *arguments)


def _watched(field: str, *arguments: str | Path) -> tuple[float, float]:
    """Return CPU seconds, and the largest value of a field of ``/proc/PID/status`` in MB, 0 where there is none.

    `ru_maxrss` would be no less than the memory of this process, of which the child is a copy before it begins.
    """
    process = subprocess.Popen([sys.executable, "-m", "larpbench", *map(str, arguments)], stdout=subprocess.DEVNULL)
    peak, ended = 0, (0, 0, None)
    while not ended[0]:
        time.sleep(_SAMPLED_S)
        with suppress(OSError, TypeError):  # it has ended, or has no memory any longer
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            peak = max(peak, int(re.search(rf"{field}:\s+(\d+)", status)[1]))
        ended = os.wait4(process.pid, os.WNOHANG)
    assert ended[1] == 0
    return ended[2].ru_utime + ended[2].ru_stime, peak * 1024 / 1e6


def estimate(*arguments: str | Path) -> float:
    """Return the seconds that a plan says."""
    command = [sys.executable, "-m", "larpbench", "plan", "--json", *map(str, arguments)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(printed)["estimated_seconds"])


def measure(folder: Path, tracks: int, dim: int, playlists: int, suffix: str) -> LargeRun:
    """Write a catalogue and its vectors into a folder, and run `itemknn` on them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_vectors(folder / f"vectors{suffix}", write_world(folder, tracks, playlists), dim)
    tables = ("--tracks", folder / "tracks.csv", "--playlists", folder / "playlists.csv")
    larpbench("dataset", "build", "csv", *tables, "--train-fraction", "0", "--output", folder / "large")
    options = ("--dataset", folder / "large", "--output", folder / "results")
    command = ("--encoders", f"precomputed:{folder / f'vectors{suffix}'}", *options)
    planned = estimate(*command)
    cpu_s, anonymous_mb = sampled("run", *command)
    part = make_problem(min(playlists, _PRODUCT_ROWS), tracks, dim)
    product_s = cpu_seconds(lambda: run_product(part)) * playlists / len(part.queries)
    return LargeRun(cpu_s, anonymous_mb, product_s, planned)


def write_world(folder: Path, tracks: int, playlists: int) -> np.ndarray:
    """Write the two tables of a catalogue, and return its track ids."""
    generator = np.random.default_rng(0)
    ids = track_ids(tracks)
    numbers = np.arange(tracks)
    pl.DataFrame({"track_id": ids, "number": numbers}).select(
        "track_id",
        title=pl.format("A song of number {}", "number"),
        artist=pl.format("Artist of number {}", pl.col("number") // 8),
        album=pl.format("The album of number {}", pl.col("number") // 3),
    ).write_csv(folder / "tracks.csv")
    drawn = generator.integers(tracks, size=playlists * LENGTH)
    names = np.repeat(np.arange(playlists), LENGTH)
    pl.DataFrame({"playlist_id": names, "track_id": ids[drawn]}).write_csv(folder / "playlists.csv")
    return ids


def write_vectors(path: Path, ids: np.ndarray, dim: int) -> None:
    """Write a vector for every track, in another order than theirs, in the format that the suffix names."""
    ids = np.random.default_rng(2).permutation(ids)
    vectors = np.random.default_rng(1).standard_normal((len(ids), dim), dtype=np.float32)
    if path.suffix == ".npz":
        np.savez(path, ids=ids, embeddings=vectors)
    elif path.suffix in (".npy", ".safetensors"):
        if path.suffix == ".npy":
            np.save(path, vectors)
        else:
            save_file({"embeddings": vectors}, path)
        path.with_suffix(".ids.txt").write_text("\n".join(ids.tolist()) + "\n", encoding="utf-8")
    else:
        column = pl.Series("embedding", vectors, dtype=pl.Array(pl.Float32, dim))
        pl.DataFrame([pl.Series("track_id", ids), column]).write_parquet(path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("suffix", "dim"), [(".npy", 1_024), (".parquet", 1_024), (".npz", 256), (".safetensors", 256)]
)
def test_memory_of_a_large_run(
    tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch, suffix: str, dim: int
) -> None:
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    run = measure(tmp_path / "large", 1_000_000, dim, 10_000, suffix)
    shutil.rmtree(tmp_path)  # gigabytes
    name = f"run, precomputed {suffix}: 1,000,000 tracks x {dim:,}, 10,000 playlists"
    figure(f"anonymous memory of {name}", "< 1500 MB", str(run), value=run.anonymous_mb)
    ratio = run.estimate_s / run.cpu_s
    figure(f"estimate / CPU of {name}", "0.67 to 1.5", f"{ratio:.2f}", value=ratio)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_time_of_a_large_run(tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    run = measure(tmp_path / "large", 200_000, 512, 100_000, ".npy")
    shutil.rmtree(tmp_path)
    name = "whole run, 100,000 playlists x 200,000 tracks x 512"
    figure(f"{name} / bare product", "<= 1.3", str(run), value=run.cpu_s / run.product_s)
    ratio = run.estimate_s / run.cpu_s
    figure(f"estimate / CPU, {name}", "0.67 to 1.5", f"{ratio:.2f}", value=ratio)


if __name__ == "__main__":
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = "1"  # of the child process
    torch.set_num_threads(1)
    where, *sizes, form = sys.argv[1:]
    print(measure(Path(where), *map(int, sizes), form))
