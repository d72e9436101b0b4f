"""An encode that several workers share: the tracks, the encoder, and what one worker does."""

from __future__ import annotations

import csv
import os
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.sources.csv import build_csv
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.run import store
from larpbench.encoders.spec import EncoderSpec

ALONE, SHARED = "alone", "shared"
_DIM = 8


@dataclass(frozen=True)
class Scene:
    """What is encoded, and where.

    Attributes:
        folder: Where everything lies.
        shards: How many shards there are.
        tracks: How many tracks each has.
        pause_s: Seconds that the encoder takes for a shard.
    """

    folder: Path
    shards: int
    tracks: int
    pause_s: float

    @property
    def data(self) -> Path:
        """The data set."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The file with one line for each shard that somebody began to encode."""
        return self.folder / "encoded.txt"

    @property
    def printed(self) -> Path:
        """The file of what workers print."""
        return self.folder / "printed.txt"

    def root(self, name: str) -> Path:
        """Return the root of a store."""
        return self.folder / name

    def prepare(self) -> None:
        """Build the data set."""
        tables = self.folder / "tables"
        tables.mkdir(parents=True)
        ids = [f"t{number:06d}" for number in range(self.shards * self.tracks)]
        tracks = [("track_id", "title", "artist", "album", "split"), *((each, each, "a", "b", "test") for each in ids)]
        entries = [("playlist_id", "track_id", "split"), *(("p", each, "test") for each in ids[:4])]
        for name, rows in (("tracks.csv", tracks), ("playlists.csv", entries)):
            with (tables / name).open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(rows)
        build_csv(
            tables / "tracks.csv", tables / "playlists.csv", BuildOptions("shared", "invented", "none"), self.data
        )


class Toy:
    """Vectors that depend on the ids of the tracks; it takes its time."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, 8) float32."""
        with self._scene.log.open("a", encoding="utf-8") as log:
            log.write(f"{batch.track_ids[0]}\n")
        time.sleep(self._scene.pause_s)
        seeds = [int(track_id[1:]) for track_id in batch.track_ids]
        return np.stack([np.random.default_rng(seed).normal(size=_DIM) for seed in seeds]).astype(np.float32)


def toy_spec(scene: Scene) -> EncoderSpec:
    """Return the encoder of a scene."""
    card = EncoderCard(
        name="toy", version=1, summary="invented", modalities=("text",), dim=_DIM, weights="none", licence="none",
        tracks_per_second=1,
    )  # fmt: skip

    def build(context: EncodeContext, argument: str | None) -> Toy:
        return Toy(scene)

    return EncoderSpec(card, factory=build)


def encode(scene: Scene, name: str) -> np.ndarray:
    """Encode all tracks into the store of a name, beside whoever does the same; return the vectors."""
    with mock.patch.object(store, "TEXT_SHARD", scene.tracks):
        dataset = load_dataset(scene.data)
        return store.EmbeddingStore(scene.root(name)).embed(toy_spec(scene), dataset, "test", 0).vectors


def work(scene: Scene) -> None:
    """Encode into the shared store; what is printed goes to a file."""
    with scene.printed.open("ab") as printed:
        os.dup2(printed.fileno(), 2)
    encode(scene, SHARED)
