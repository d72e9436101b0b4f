"""A service's catalogue, 200,000 tracks x 512 and 500,000 playlists: build, estimate, CPU seconds and memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from service_catalogue import write_catalogue
from test_large_run import estimate, larpbench, sampled

Figure = Callable[..., None]
SPLITS = {"by date": ("--split-by", "release_year:2020,2022"), "by hash": ()}


@pytest.mark.slow
def test_a_catalogue_of_a_service(tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "home"))
    write_catalogue(tmp_path / "service")
    tables = ("--tracks", tmp_path / "service/tracks.parquet", "--playlists", tmp_path / "service/playlists.parquet")
    for name, split in SPLITS.items():
        folder = tmp_path / name.replace(" ", "-")
        cpu_s, peak_mb = larpbench("dataset", "build", "csv", *tables, *split, "--output", folder)
        counts = json.loads((folder / "dataset.json").read_text())["counts"]
        assert min(counts[f"{part}.playlists"] for part in ("train", "valid", "test")) > 1_000
        figure(
            f"build of 200,000 tracks, 500,000 playlists, split {name}",
            "< 2000 MB",
            f"{peak_mb:.0f} MB, {cpu_s:.0f} CPU s",
            value=peak_mb,
        )
        for recommender in ("itemknn", "ridge"):
            vectors = f"precomputed:{tmp_path / 'service/vectors'}"
            options = ("--dataset", folder, "--encoders", vectors, "--limit", "10000")
            more = ("--recommenders", recommender, "--budget", "2", "--seeds", "1", "--output", tmp_path / "results")
            planned = estimate(*options, *more)
            cpu_s, peak_mb = sampled("run", *options, *more)
            what = f"anonymous memory of run {recommender}, 200,000 tracks x 512, 10,000 playlists, {name}"
            figure(what, "< 2000 MB", f"{peak_mb:.0f} MB", value=peak_mb)
            ratio, what = (
                planned / cpu_s,
                f"estimate / CPU, run {recommender}, 200,000 tracks x 512, 10,000 playlists, {name}",
            )
            figure(what, "0.67 to 1.5", f"{ratio:.2f} ({cpu_s:.0f} CPU s)", value=ratio)
    shutil.rmtree(tmp_path)  # gigabytes
