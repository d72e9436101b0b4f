"""LARP: what a step costs beside the bare towers, what sampling costs, and what gradient caching saves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from paired import cpu_seconds, paired_ratio

from larpbench.datasets.schema import Interactions
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.recipes import recipe
from larpbench.encoders.larp.settings import Recipe, TrainingSettings
from larpbench.encoders.larp.stage import StageTrainer
from larpbench.encoders.towers.inputs import TrackInputs
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.training.trainer import batches

TOKENS = 30


class Random:
    """Random inputs of a tower, the same for all tracks' rows."""

    def __init__(self, n: int, *columns: torch.Tensor) -> None:
        self._n, self._columns = n, columns

    def __len__(self) -> int:
        return self._n

    def take(self, rows: np.ndarray, training: bool) -> tuple[torch.Tensor, ...]:
        return tuple(each[: len(rows)] for each in self._columns)


def random_playlists(n_tracks: int, n_playlists: int, length: int, seed: int = 0) -> Interactions:
    draw = np.random.default_rng(seed)
    tracks = np.sort(draw.integers(0, n_tracks, (n_playlists, length)), axis=1)
    distinct = np.diff(tracks, axis=1, prepend=-1) > 0
    offsets = np.concatenate([[0], np.cumsum(distinct.sum(axis=1))])
    return Interactions(np.arange(n_playlists).astype(str), offsets.astype(np.int64), tracks[distinct].astype(np.int64))


def trainer(size: str, stage: str, batch: int, **settings) -> StageTrainer:
    made = recipe(size, stage)
    torch.manual_seed(0)
    model = Larp(Recipe(audio=made.audio, text=made.text, fusion=made.fusion, training=None))
    mel, n, rows = made.audio.mel, 400, 2 * batch
    ids, mask = torch.randint(5, 1_000, (rows, TOKENS)), torch.ones(rows, TOKENS, dtype=torch.int64)
    frames = 1 + round(mel.window_s * mel.sample_rate) // mel.hop
    inputs = TrackInputs(Random(n, torch.randn(rows, frames, mel.n_mels) * 10 - 40), Random(n, ids, mask))
    training = TrainingSettings(**{**made.training.model_dump(), "batch": batch, **settings})
    return StageTrainer(model, training, inputs, PlaylistGraph(random_playlists(n, 200, 12), n), seed=0)


def bare(made: StageTrainer, rows: np.ndarray) -> None:
    """Forward and backward of both towers, and the forward pass of their momentum copies."""
    made.train()
    online = made._features(made.model, rows)
    with torch.no_grad():
        made._features(made.momentum.model, rows)
    (online.audio.sum() + online.text.sum()).backward()
    made.optimiser.zero_grad(set_to_none=True)  # an update would add to gradients that are there


@pytest.mark.parametrize(
    ("size", "batch", "rounds"), [("tiny", 16, 5), pytest.param("paper", 4, 3, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("stage", ["wtc", "ttc", "tpc"])
def test_a_step_costs_little_more_than_its_towers(size, batch, rounds, stage, figure):
    made = trainer(size, stage, batch if stage == "wtc" else batch // 2, chunk=None, precision="float32")
    rows = np.arange(batch)
    anchors = made.graph.paired_tracks[: made.settings.batch]
    ratio = paired_ratio(lambda: made._update(anchors), lambda: bare(made, rows), rounds)
    figure(f"update of stage {stage} / bare towers, {size} size, {batch} tracks", "<= 1.15", ratio)


@pytest.mark.slow
def test_caching_costs_a_second_forward_pass(figure):
    with_caching = trainer("paper", "wtc", 10, chunk=5, precision="float32")
    without = trainer("paper", "wtc", 10, chunk=None, precision="float32")
    anchors = np.arange(10)
    ratio = paired_ratio(lambda: with_caching._update(anchors), lambda: without._update(anchors), 2)
    figure("update with gradient caching / without, paper size, 10 tracks in chunks of 5", "none", ratio)


def test_sampling_an_epoch_is_quick_and_linear(figure):
    seconds = {}
    for scale in (1, 2):
        playlists = random_playlists(50_000 * scale, 10_000 * scale, 50)

        def epoch(playlists=playlists, n=50_000 * scale) -> None:
            graph = PlaylistGraph(playlists, n)
            draw = np.random.default_rng(0)
            for anchors in batches(graph.paired_tracks, 50, draw):
                graph.sample(anchors, 10, draw)

        seconds[scale] = cpu_seconds(epoch)
    figure(
        "pairs and playlists of an epoch, 100,000 tracks, 1 M entries", "< 10 s",
        f"{seconds[2]:.1f} CPU s ({seconds[1]:.1f} for half of both)", value=seconds[2],
    )  # fmt: skip


MEMORY = """
import json, resource, sys
import numpy as np
sys.path.insert(0, {here!r})
from test_larp import trainer
made = trainer("paper", "wtc", 50, chunk={chunk}, precision="bfloat16")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made._update(np.arange(50))
print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


@pytest.mark.slow
def test_memory_of_a_batch_of_the_paper(figure):
    peaks = {}
    for chunk in (None, 10):
        code = MEMORY.format(here=str(Path(__file__).parent), chunk=chunk)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks[chunk] = json.loads(done.stdout)[1] / 2**20
    figure(
        "peak memory, paper size, batch of 50, bfloat16, chunks of 10", "<= 3.4 GB",
        f"{peaks[10]:.1f} GB (without caching {peaks[None]:.1f} GB)", value=peaks[10],
    )  # fmt: skip


def test_a_batch_is_compared_with_the_same_tracks_in_chunks():
    """The figures above are of the same computation: with everything random off, the loss is the same."""
    losses = []
    for chunk in (None, 5):
        made = trainer("tiny", "wtc", 16, chunk=chunk)
        made.eval()
        losses.append(float(made.losses(np.arange(16), np.random.default_rng(0))["wtc"].detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
