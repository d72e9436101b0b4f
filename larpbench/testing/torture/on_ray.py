"""Workers and the driver of a Ray engine are killed: ``python -m larpbench.testing.torture.on_ray --help``.

First a worker is killed every few seconds, then, in another store, the process that gives the work, which is run again.
Counted are shards that are lost or different, and those that were begun more than once: that is the work that kills
cost.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from larpbench.datasets.catalogue import load_dataset
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.run import store
from larpbench.encoders.run.on_workers import WorkerEncoding
from larpbench.encoders.run.together import Need
from larpbench.encoders.spec import EncoderSpec
from larpbench.engine.base import running
from larpbench.engine.choice import engine_named
from larpbench.testing.torture.shared_work import ALONE, Scene, Toy, encode, toy_spec

_SECONDS_TO_END = 900.0


@dataclass
class RayTally:
    """What came of it.

    Attributes:
        kills: Workers, or givers of work, that were killed.
        shards: Shards that there are to be.
        lost: Shards that are not there in the end.
        different: Shards whose vectors are not those of one process alone.
        recomputed: How often a shard was begun that had been begun before.
        left: Processes of Ray that are there in the end.
        exits: Exit codes of the givers of work, in order.
        seconds: Wall-clock seconds.
    """

    kills: int = 0
    shards: int = 0
    lost: int = 0
    different: int = 0
    recomputed: int = 0
    left: int = 0
    exits: tuple[int, ...] = ()
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether all is there, as one process alone would have made it, and the last giver of work ended well."""
        return not (self.lost or self.different or self.left) and self.exits[-1:] == (0,)


class Noting(Toy):
    """The toy, which also notes in which process it is."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._pids = scene.folder / "pids.txt"

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 8) float32."""
        with self._pids.open("a", encoding="utf-8") as pids:
            pids.write(f"{os.getpid()}\n")
        return super().encode(batch)


class SmallShards:
    """A factory of the toy; the process that unpickles it has shards as small as the scene's."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self._scene,)

    def __call__(self, context: EncodeContext, argument: str | None) -> Noting:
        """Return the encoder."""
        return Noting(self._scene)


def _unpickled(scene: Scene) -> SmallShards:
    store.TEXT_SHARD = scene.tracks
    return SmallShards(scene)


def drive(scene: Scene, name: str, workers: int) -> None:
    """Encode all tracks on workers, into the store of a name."""
    spec = EncoderSpec(toy_spec(scene).card, factory=SmallShards(scene))
    with mock.patch.object(store, "TEXT_SHARD", scene.tracks):
        need = Need(spec, load_dataset(scene.data), "test", 0)
        with running(engine_named("ray", workers=workers)) as engine:
            encoding = WorkerEncoding(engine, store.EmbeddingStore(scene.root(name)))
            encoding.encode([need])
            encoding.require(need)


@contextmanager
def _driver(scene: Scene, name: str, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "larpbench.testing.torture.on_ray", "--drive", name, "--workers", str(workers)]
    command += ["--folder", str(scene.folder), "--shards", str(scene.shards)]
    command += ["--tracks", str(scene.tracks), "--pause", str(scene.pause_s)]
    around = {**os.environ, "RAY_TMPDIR": str(scene.folder / "ray")}
    with scene.printed.open("ab") as printed, subprocess.Popen(command, stderr=printed, env=around) as process:  # noqa: S603
        yield process


def kill_workers(scene: Scene, workers: int, every: float, seconds: float) -> RayTally:
    """Kill the worker that has begun the last shard, every few seconds for a while; then let the others finish."""
    tally, pids, began = RayTally(shards=scene.shards), scene.folder / "pids.txt", time.monotonic()
    with _driver(scene, "workers", workers) as process:
        _wait(process, pids.exists)
        until = time.monotonic() + seconds
        while time.monotonic() < until and process.poll() is None:
            time.sleep(every)
            last = int(pids.read_text(encoding="utf-8").split()[-1])
            if process.poll() is None and Path(f"/proc/{last}").exists():
                os.kill(last, signal.SIGKILL)
                tally.kills += 1
        tally.exits = (process.wait(_SECONDS_TO_END),)
    return _counted(tally, scene, "workers", began)


def kill_driver(scene: Scene, workers: int) -> RayTally:
    """Kill the giver of work when about a third is done, and run it again."""
    tally, began, root = RayTally(shards=scene.shards), time.monotonic(), scene.root("driver")
    with _driver(scene, "driver", workers) as process:
        _wait(process, lambda: len([*root.glob("*/*/shard-*.safetensors")]) > scene.shards / 3)
        process.kill()
        tally.kills, first = 1, process.wait()
    with _driver(scene, "driver", workers) as process:
        tally.exits = (first, process.wait(_SECONDS_TO_END))
    return _counted(tally, scene, "driver", began)


def _require_begun(scene: Scene) -> None:
    if not scene.log.exists():
        raise SystemExit(scene.printed.read_text(encoding="utf-8", errors="replace"))


def _wait(process: subprocess.Popen[bytes], there: Any) -> None:  # noqa: ANN401
    until = time.monotonic() + _SECONDS_TO_END
    while not there() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)


def _counted(tally: RayTally, scene: Scene, name: str, began: float) -> RayTally:
    tally.seconds = time.monotonic() - began
    _require_begun(scene)
    lines = len(scene.log.read_text(encoding="utf-8").splitlines())
    found = {path.name for path in scene.root(name).glob("*/*/shard-*.safetensors")}
    tally.lost, tally.recomputed = scene.shards - len(found), lines - len(found)
    scene.log.unlink()
    quick = Scene(scene.folder, scene.shards, scene.tracks, 0.0)
    vectors = [encode(quick, each) for each in (name, ALONE)]
    tally.different = int((vectors[0] != vectors[1]).any(axis=1).reshape(-1, scene.tracks).any(axis=1).sum())
    scene.log.unlink(missing_ok=True)
    (scene.folder / "pids.txt").unlink(missing_ok=True)
    time.sleep(30)  # what belongs to a killed process ends by and by
    tally.left = sum(1 for _ in _processes_of(scene.folder / "ray"))
    return tally


def _processes_of(folder: Path) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                yield int(path.parent.name)


def main() -> int:
    """Print what came of it; return 1 if anything was lost, different or left, else 0."""
    parser = argparse.ArgumentParser(prog="python -m larpbench.testing.torture.on_ray", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="workers at a time (default 2)")
    parser.add_argument("--shards", type=int, default=400, help="shards (default 400)")
    parser.add_argument("--tracks", type=int, default=4, help="tracks of a shard (default 4)")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds that a shard takes (default 0.5)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills (default 5)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long workers are killed (default 60)")
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.drive:
        drive(Scene(asked.folder, asked.shards, asked.tracks, asked.pause), asked.drive, asked.workers)
        return 0
    with tempfile.TemporaryDirectory(prefix="lb-ray-", ignore_cleanup_errors=True) as folder:
        scene = Scene(Path(folder), asked.shards, asked.tracks, asked.pause)
        scene.prepare()
        (scene.folder / "ray").mkdir()
        found = {
            "workers killed": kill_workers(scene, asked.workers, asked.every, asked.seconds),
            "driver killed": kill_driver(scene, asked.workers),
        }
    for name in ("", *(each.name for each in fields(RayTally))):
        values = [str(getattr(tally, name)) if name else what for what, tally in found.items()]
        print(f"{name:<12}" + "".join(f"{value:>22}" for value in values))  # noqa: T201 - a script
    return 0 if all(tally.sound for tally in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
