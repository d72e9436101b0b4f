"""The way from audio files to stored vectors, against the encoder alone. Wall clock: run it on a quiet machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from larpbench.audio.clips import load_clip
from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.schema import Dataset
from larpbench.datasets.sources.folder.build import build_folder
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.store import EmbeddingStore

CLIPS = 128
ROUNDS = 3
RATE = 44_100


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set of 30-s stereo files."""
    root = tmp_path_factory.mktemp("library")
    generator = np.random.default_rng(0)
    time_s = np.arange(30 * RATE) / RATE
    (root / "audio").mkdir()
    for number in range(CLIPS):
        tones = sum(np.sin(2 * np.pi * f * time_s + f) for f in generator.uniform(80, 4_000, 6)) / 12
        noise = 0.05 * generator.standard_normal((len(time_s), 2))
        suffix = ("mp3", "ogg", "flac")[number % 3]
        soundfile.write(root / "audio" / f"{number:03d}.{suffix}", tones[:, None] + noise, RATE)
    (root / "lists").mkdir()
    names = sorted(path.name for path in (root / "audio").iterdir())
    (root / "lists" / "all.m3u").write_text("".join(f"../audio/{name}\n" for name in names))
    options = BuildOptions(name="library", source="benchmark", licence="none", train_fraction=0, min_length=2)
    return build_folder(root / "audio", root / "lists", options, AudioPolicy(), root / "data")


def pipeline_seconds(name: str, data: Dataset, folder: Path) -> float:
    """Wall seconds of the pipeline, the start of encoder and workers left out: they are started by a first run."""
    shutil.rmtree(folder, ignore_errors=True)
    store = EmbeddingStore(folder)
    started = time.perf_counter()
    store.embed(get_encoder(name), data, "test", 0)
    return time.perf_counter() - started


def shown(ratios: list[float]) -> str:
    """Median, smallest and largest."""
    return f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def batches(name: str, data: Dataset) -> list[TrackBatch]:
    """All clips, decoded."""
    rate, audio = get_encoder(name).card.sample_rate, data.split("test").audio
    assert rate is not None
    assert audio is not None
    clips = [
        load_clip(audio.root / path, start, audio.policy.clip_seconds, rate)
        for path, start in audio.files.select("audio", "clip_start_s").iter_rows()
    ]
    ids = data.split("test").track_ids
    return [TrackBatch(ids[i : i + 16], ids[i : i + 16], np.stack(clips[i : i + 16])) for i in range(0, len(clips), 16)]


def test_musicnn_pipeline_against_encode_alone(
    library: Dataset, tmp_path: Path, figure: Callable[[str, str, str], None]
) -> None:
    encoder = get_encoder("musicnn-msd").build(EncodeContext(0, tmp_path))
    decoded = batches("musicnn-msd", library)
    torch.set_num_threads(os.cpu_count() or 1)
    encoder.encode(decoded[0])
    pipeline_seconds("musicnn-msd", library, tmp_path / "warm")
    ratios = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        for batch in decoded:
            encoder.encode(batch)
        alone = time.perf_counter() - started
        ratios.append(alone / pipeline_seconds("musicnn-msd", library, tmp_path / str(number)))
    figure(
        "musicnn-msd pipeline / encode() alone, all cores, wall clock",
        ">= 0.95",
        shown(ratios),
        value=float(np.median(ratios)),
    )


def test_handcrafted_pipeline_against_a_plain_loop(
    library: Dataset, tmp_path: Path, figure: Callable[[str, str, str], None]
) -> None:
    encoder = get_encoder("handcrafted").build(EncodeContext(0, tmp_path))
    encoder.encode(batches("handcrafted", library)[0])
    pipeline_seconds("handcrafted", library, tmp_path / "warm")
    ratios = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        for batch in batches("handcrafted", library):
            encoder.encode(batch)
        loop = time.perf_counter() - started
        ratios.append(loop / pipeline_seconds("handcrafted", library, tmp_path / str(number)))
    figure(
        "handcrafted pipeline / decode-then-encode loop, wall clock",
        ">= 1.7",
        shown(ratios),
        value=float(np.median(ratios)),
    )
