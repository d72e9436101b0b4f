"""Trainings that are cut off, and what they must come to all the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file
from support.small_data import split_tables
from support.sounds import write_tone

from larpbench.audio.policy import AudioPolicy
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.schema import Dataset
from larpbench.datasets.sources.csv import build_csv
from larpbench.training.trainer import Trainer


def checkpoints(home: Path) -> dict[str, Path]:
    """The folders of what has been trained, by encoder."""
    return {path.parent.parent.name: path.parent for path in home.glob("checkpoints/*/*/card.json")}


def states(home: Path) -> list[Path]:
    """What killed trainings have left to go on from."""
    return list(home.glob("checkpoints/*/.*.work/state.safetensors"))


def log_of(folder: Path) -> list[dict]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for entry in entries:
        entry.pop("seconds")
    return entries


def require_same(found: Path, expected: Path) -> None:
    """Assert that two homes hold the same weights and the same logs, every epoch once."""
    whole, resumed = checkpoints(expected), checkpoints(found)
    assert {name: folder.name for name, folder in resumed.items()} == {n: folder.name for n, folder in whole.items()}
    assert whole
    for name, folder in whole.items():
        weights, same = (load_file(each / "model.safetensors") for each in (folder, resumed[name]))
        assert weights.keys() == same.keys()
        for tensor, values in weights.items():
            np.testing.assert_allclose(same[tensor], values, rtol=1e-6, atol=1e-6, err_msg=f"{name}: {tensor}")
        log, again = log_of(folder), log_of(resumed[name])
        assert [entry["epoch"] for entry in again] == list(range(len(log)))
        for one, other in zip(log, again, strict=True):
            assert one.pop("stage", None) == other.pop("stage", None)
            assert other.pop("loss") == pytest.approx(one.pop("loss"), rel=1e-5)
            assert other == pytest.approx(one, rel=1e-5)
        cards = [json.loads((each / "card.json").read_text()) for each in (folder, resumed[name])]
        for known in ("updates", "updates_in_all", "best_epoch", "start", "ended", "valid"):
            assert cards[0].get(known) == cards[1].get(known)


class Interrupter:
    """Presses Ctrl-C in the middle of chosen updates of a kind of trainer, counted over all trainings and runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type[Trainer], *places: int) -> None:
        self.count = 0
        losses = kind.losses

        def counted(trainer, anchors, draw):
            self.count += 1
            terms = losses(trainer, anchors, draw)
            if self.count in places:
                raise KeyboardInterrupt
            return terms

        monkeypatch.setattr(kind, "losses", counted)


def heard_data(folder: Path) -> Dataset:
    """A data set of a second of sound a track."""
    tables = split_tables(folder / "tables", tracks=16)
    for number, name in enumerate(pl.read_csv(tables.tracks)["audio"]):
        write_tone(folder / "sound" / name, 200 + 20 * number, seconds=1.2, rate=8_000)
    made = BuildOptions("heard", "a test", "none")
    policy = AudioPolicy(clip_seconds=1.0)
    return build_csv(tables.tracks, tables.playlists, made, folder / "heard", audio=folder / "sound", policy=policy)
