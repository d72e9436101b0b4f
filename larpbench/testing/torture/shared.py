"""Several workers share one encode and are killed: ``python -m larpbench.testing.torture.shared --help``.

Counted are shards that are lost, different or made again when they were there, and those whose work was done twice:
that of killed workers, as long as claims hold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field, fields, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from larpbench.testing.torture.shared_work import ALONE, SHARED, Scene, encode, work

_PRELOADED = ["larpbench.testing.torture.shared_work", "larpbench.datasets.files", "safetensors.numpy", "polars"]
_SECONDS_TO_END = 600.0


@dataclass
class SharedTally:
    """What came of it.

    Attributes:
        kills: Workers that were killed while they worked.
        shards: Shards that there are in the end.
        lost: Shards that are not there in the end, or cannot be trusted.
        different: Shards whose vectors are not those of one worker alone.
        again: Shards that were there and were written again.
        recomputed: How often a shard was begun that had been begun before.
        left: Temporary files and claims that are there in the end.
        failed: Workers that failed.
        seconds: Wall-clock seconds.
    """

    kills: int = 0
    shards: int = 0
    lost: int = 0
    different: int = 0
    again: int = 0
    recomputed: int = 0
    left: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether all is there, as one worker alone would have made it, and no more work lost than was killed."""
        return not (self.lost or self.different or self.again or self.left or self.failed)


@dataclass
class Workers:
    """Workers that encode into one store.

    Attributes:
        scene: What they encode.
        count: How many there are at a time.
        draw: Chooses whom to kill, and when.
    """

    scene: Scene
    count: int
    draw: random.Random
    _tally: SharedTally = field(default_factory=SharedTally)
    _marks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def torture(self, kills: int) -> SharedTally:
        """Let the workers encode, kill so many of them one after the other, each replaced by another, and count."""
        began, scene, tally = time.monotonic(), self.scene, self._tally
        expected = encode(replace(scene, pause_s=0.0), ALONE)
        scene.log.unlink()
        starting = multiprocessing.get_context("forkserver")
        starting.set_forkserver_preload(_PRELOADED)

        def started() -> BaseProcess:
            process = starting.Process(target=work, args=(scene,), daemon=True)
            process.start()
            return process

        workers = [started() for _ in range(self.count)]
        ended: list[BaseProcess] = []
        while not scene.log.exists() and any(each.is_alive() for each in workers):
            time.sleep(0.01)
        apart = scene.shards * scene.pause_s / self.count / (kills + 1)
        while tally.kills < kills and any(each.is_alive() for each in workers):
            time.sleep(self.draw.uniform(0.5 * apart, 1.2 * apart))
            place = self.draw.randrange(self.count)
            if workers[place].is_alive():
                os.kill(workers[place].pid or 0, signal.SIGKILL)
                workers[place].join()
                tally.kills += 1
                workers[place] = started()
            self._look()
        for each in workers:
            each.join(_SECONDS_TO_END)
            ended.append(each)
        tally.failed = sum(each.exitcode != 0 for each in ended)
        self._count(expected)
        tally.seconds = time.monotonic() - began
        return tally

    def _look(self) -> None:
        """Count the shards that were there before and are not any more the same file."""
        found = {
            path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.scene.root(SHARED).glob("*/*/shard-*.safetensors")
        }
        self._tally.again += sum(found.get(name) != mark for name, mark in self._marks.items())
        self._marks = found

    def _count(self, expected: np.ndarray) -> None:
        scene, tally = self.scene, self._tally
        self._look()
        encoded = len(scene.log.read_text(encoding="utf-8").splitlines())
        tally.shards = len(self._marks)
        tally.lost = scene.shards - tally.shards
        tally.recomputed = encoded - tally.shards
        found = encode(scene, SHARED)  # which also deletes what killed workers have left
        tally.lost += len(scene.log.read_text(encoding="utf-8").splitlines()) - encoded
        tally.different = int((found != expected).any(axis=1).reshape(-1, scene.tracks).any(axis=1).sum())
        tally.left = sum(1 for _ in scene.root(SHARED).rglob(".larpbench-*"))


def main() -> int:
    """Print what came of it; return 1 if anything was lost, different, written again or left, else 0."""
    parser = argparse.ArgumentParser(prog="python -m larpbench.testing.torture.shared", description=__doc__)
    for name, value, text in (
        ("workers", 8, "workers at a time"),
        ("kills", 50, "kills"),
        ("shards", 2_000, "shards"),
        ("tracks", 4, "tracks of a shard"),
        ("seed", 0, "draws whom to kill, and when"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{text} (default {value})")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds that a shard takes (default 0.05)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="larpbench-torture-", ignore_cleanup_errors=True) as folder:
        scene = Scene(Path(folder), asked.shards, asked.tracks, asked.pause)
        scene.prepare()
        tally = Workers(scene, asked.workers, random.Random(asked.seed)).torture(asked.kills)  # noqa: S311 - no secret
        if tally.failed:
            print(scene.printed.read_text(encoding="utf-8")[-2_000:], file=sys.stderr)  # noqa: T201 - a script
    for each in fields(tally):
        print(f"{each.name:<12}{getattr(tally, each.name):>10.6g}")  # noqa: T201 - a script
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
