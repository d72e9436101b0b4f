"""Building mpd, lfm and onion from files of the published shapes: throughput, growth, and peak memory."""

from __future__ import annotations

import bz2
import json
import multiprocessing
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from onion_log import LOG as ONION_LOG
from onion_log import write_log as write_onion
from paired import cpu_seconds, paired_ratio
from published_shapes import MPD_PLAYLISTS, MPD_TRACKS, write_lfm, write_slices

from larpbench.datasets.reading.packed_tables import find_table
from larpbench.datasets.sources.lfm.tables import EVENTS
from larpbench.datasets.sources.mpd.pieces import Pieces
from larpbench.datasets.sources.mpd.slice_json import parse_slice
from larpbench.datasets.sources.mpd.slices import open_slices

Figure = Callable[[str, str, str], None]
MPD_TARGET, LFM_TARGET, LFM_WALL = "<= 1.0x", "<= 1.2x", "<= 0.7x on two cores"
MPD_SIZES = ("--preset", "paper", "--train-tracks", "50000")


@dataclass(frozen=True)
class Cost:
    """What a process took: CPU and wall seconds, and its peak memory in MB."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def build(collection: str, source: Path, output: Path, *more: str) -> Cost:
    """Build a data set in a process of its own."""
    command = [sys.executable, "-m", "larpbench", "dataset", "build", collection, "--source", str(source)]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--output", str(output), *more], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    peak_mb = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - start, peak_mb)


def read_and_parse(path: Path) -> None:
    """What nobody can do without: every slice out of the zip and through json."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            json.loads(archive.read(name))


def unpack(path: Path) -> None:
    """What nobody can do without: the log out of bz2."""
    with bz2.open(path) as stream:
        while stream.read(1 << 25):
            pass


def test_reading_slices(tmp_path: Path, figure: Figure) -> None:
    path = tmp_path / "mpd.zip"
    size = write_slices(path, 3_000, tracks=60_000)
    runs = iter(range(100))

    def ours() -> None:
        folder = tmp_path / str(next(runs))
        folder.mkdir()
        pieces = Pieces(folder)
        with open_slices(path) as slices:
            for each in slices.slices:
                pieces.add(parse_slice(slices.read(each), each.name))

    ratio = paired_ratio(ours, lambda: read_and_parse(path), rounds=5)
    figure(f"mpd slices read and kept / unzip + json.loads, {size / 1e6:.0f} MB of JSON", MPD_TARGET, ratio)


def test_reading_a_log(tmp_path: Path, figure: Figure) -> None:
    size = write_lfm(tmp_path, 1_000_000, users=1_000, tracks=200_000)
    table = find_table(tmp_path, EVENTS)
    assert table is not None
    ratio = paired_ratio(lambda: list(map(len, table.chunks())), lambda: unpack(table.path), rounds=5)
    figure(f"lfm log read as a table / bz2, {size / 1e6:.0f} MB unpacked", LFM_TARGET, ratio)


@pytest.mark.slow
def test_growth_of_mpd(tmp_path: Path, figure: Figure) -> None:
    for playlists in (25_000, 50_000, 100_000):
        path = tmp_path / "mpd.zip"
        size = write_slices(path, playlists, tracks=9 * playlists)
        bare = cpu_seconds(lambda path=path: read_and_parse(path))
        cost = build("mpd", path, tmp_path / str(playlists), *MPD_SIZES)
        measured = f"{cost.cpu_s / bare:.2f}x ({cost.cpu_s:.1f} against {bare:.1f} CPU s), peak {cost.peak_mb:.0f} MB"
        figure(
            f"whole build / unzip + json.loads: mpd, {playlists:,} playlists, {size / 1e9:.1f} GB",
            MPD_TARGET,
            measured,
            value=cost.cpu_s / bare,
        )


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--preset", "paper"), ()], ids=["paper", "protocol"])
def test_memory_of_mpd_at_full_counts(tmp_path: Path, figure: Figure, more: tuple[str, ...]) -> None:
    path = tmp_path / "mpd.zip"
    write_slices(path, MPD_PLAYLISTS, tracks=MPD_TRACKS, length=12)
    cost = build("mpd", path, tmp_path / "out", *more)
    name = f"mpd, {MPD_PLAYLISTS:,} playlists of 12, {MPD_TRACKS:,} tracks, {' '.join(more) or 'protocol'}"
    figure(name, "< 2000 MB", f"{cost.peak_mb:.0f} MB, {cost.cpu_s:.0f} CPU s", value=cost.peak_mb)


@pytest.mark.slow
@pytest.mark.parametrize("events", [12_500_000, 25_000_000, 50_000_000])
def test_growth_of_lfm(tmp_path: Path, figure: Figure, events: int) -> None:
    size = apart(write_lfm, tmp_path, events, users=events // 4_000, tracks=1_000_000)
    log = tmp_path / "listening-events.tsv.bz2"
    against_bz2(f"lfm, {events:,} events, {size / 1e9:.1f} GB", log, figure, "lfm", "--preset", "paper")


@pytest.mark.slow
@pytest.mark.parametrize("events", [12_500_000, 25_000_000])
def test_growth_of_onion(tmp_path: Path, figure: Figure, events: int) -> None:
    apart(write_onion, tmp_path, events)
    against_bz2(f"onion, {events:,} events", tmp_path / ONION_LOG, figure, "onion")


def apart(function: Callable[..., Any], *arguments: object, **named: object) -> Any:
    """Call a function in a process of its own: Linux counts what this one holds as memory of those that it starts."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **named).result()


def against_bz2(name: str, log: Path, figure: Figure, collection: str, *more: str) -> None:
    """Note what a build from the folder of a log takes, and Python's own reader of bz2 for the log alone."""
    start = time.perf_counter()
    bare = cpu_seconds(lambda: unpack(log))
    bare_wall = time.perf_counter() - start
    cost = build(collection, log.parent, log.parent / "out", *more)
    name = f"whole build / bz2 of the log: {name}"
    measured = f"{cost.cpu_s / bare:.2f}x ({cost.cpu_s:.1f} against {bare:.1f} CPU s), peak {cost.peak_mb:.0f} MB"
    figure(name, LFM_TARGET, measured, value=cost.cpu_s / bare)
    wall = f"{cost.wall_s / bare_wall:.2f}x ({cost.wall_s:.1f} against {bare_wall:.1f} s)"
    figure(f"{name}, wall time", LFM_WALL, wall, value=cost.wall_s / bare_wall)


@pytest.mark.slow
def test_memory_of_the_whole_mpd(tmp_path: Path, figure: Figure) -> None:
    work = tmp_path / "work"
    for name, arguments in {
        "read": ("read", work),
        "build, protocol": ("build", work, tmp_path / "protocol"),
        "build, paper": ("build", work, tmp_path / "paper", "paper"),
    }.items():
        command = [sys.executable, str(Path(__file__).parent / "whole_mpd.py"), *map(str, arguments)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        figure(f"mpd, 66 M entries, {MPD_TRACKS:,} tracks, {name}", "< 2000 MB", printed.splitlines()[-1])
