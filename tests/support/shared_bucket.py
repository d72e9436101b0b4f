"""Machines that encode one split into one object store, some of which are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
from fsspec.core import url_to_fs
from support import disk_bucket

from larpbench import owners
from larpbench.datasets.catalogue import load_dataset
from larpbench.encoders.run import keeping, store
from larpbench.encoders.run.remote import Remote
from larpbench.encoders.run.remote_claims import RemoteClaims
from larpbench.testing.torture.shared_work import Scene, encode, toy_spec

PRELOADED = ["support.shared_bucket", "larpbench.datasets.files", "safetensors.numpy", "polars"]


@dataclass(frozen=True)
class Machine:
    """One of them.

    Attributes:
        scene: What is encoded.
        url: The object store.
        number: Tells machines apart.
        alike: Whether all are processes of one machine: then others see at once that one has ended.
        claims: Seconds between signs of life, and until a claim lapses.
    """

    scene: Scene
    url: str
    number: int
    alike: bool
    claims: tuple[float, float] = (0.05, 1.0)

    def encode(self) -> np.ndarray:
        """Encode all tracks beside the others; return the vectors."""
        disk_bucket.register()
        with ExitStack() as changed:
            if not self.alike:
                changed.enter_context(mock.patch.object(owners, "_machine", lambda: f"{self.number:08x}"))
            changed.enter_context(mock.patch.object(RemoteClaims, "beat_seconds", self.claims[0]))
            changed.enter_context(mock.patch.object(keeping, "LAPSE_SECONDS", self.claims[1]))
            changed.enter_context(mock.patch.object(store, "TEXT_SHARD", self.scene.tracks))
            root = self.scene.root(f"machine-{self.number}")
            embeddings = store.EmbeddingStore(root, remote=Remote(self.url, root))
            return embeddings.embed(toy_spec(self.scene), load_dataset(self.scene.data), "test", 0).vectors


def work(machine: Machine) -> None:
    """Encode in a process of its own; what is printed goes to a file."""
    with machine.scene.printed.open("ab") as printed:
        os.dup2(printed.fileno(), 2)
    machine.encode()


def torture(scene: Scene, url: str, workers: int, kills: int, *, alike: bool, seed: int = 0) -> dict[str, int]:
    """Let machines encode, kill so many, each replaced by a new one; return what became of the shards."""
    disk_bucket.register()
    scene.prepare()
    expected = encode(replace(scene, pause_s=0.0), "alone")
    scene.log.unlink()
    draw, starting = (
        random.Random(seed),
        multiprocessing.get_context("spawn" if url.startswith("s3:") else "forkserver"),
    )
    if starting.get_start_method() == "forkserver":
        starting.set_forkserver_preload(PRELOADED)
    started = []

    def start():
        process = starting.Process(target=work, args=(Machine(scene, url, len(started), alike),), daemon=True)
        process.start()
        started.append(process)
        return process

    running, killed = [start() for _ in range(workers)], 0
    while not scene.log.exists() and any(each.is_alive() for each in running):
        time.sleep(0.01)
    apart = scene.shards * scene.pause_s / workers / (kills + 1)
    while killed < kills and any(each.is_alive() for each in running):
        time.sleep(draw.uniform(0.5 * apart, 1.2 * apart))
        place = draw.randrange(workers)
        if running[place].is_alive():
            os.kill(running[place].pid, signal.SIGKILL)
            running[place].join()
            killed += 1
            running[place] = start()
    for each in running:
        each.join(120)
    begun = len(scene.log.read_text().splitlines())
    found = Machine(scene, url, len(started), alike).encode()
    files, root = url_to_fs(url)
    files.invalidate_cache()
    objects = files.find(root)
    return {
        "kills": killed,
        "failed": sum(each.exitcode != 0 for each in running),
        "lost": len(scene.log.read_text().splitlines()) - begun,  # what the last machine had to encode
        "different": int((found != expected).any(axis=1).reshape(-1, scene.tracks).any(axis=1).sum()),
        "recomputed": begun - scene.shards,
        "left": sum("/.larpbench-" in each for each in objects),
    }
