"""What is missing before a cell can run: trainings, and vectors of its encoder and of what this builds upon."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from larpbench.benchmark.estimate import USUAL_DIM
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.run.scaling import needed
from larpbench.encoders.run.store import AUDIO_SHARD, TEXT_SHARD, EmbeddingStore
from larpbench.encoders.run.training import untrained
from larpbench.encoders.spec import EncoderSpec

_LEARNT_FROM: tuple[SplitName, ...] = ("train", "valid")


@dataclass(frozen=True)
class Encoding:
    """Vectors of one encoder that are missing of one split. Cells that need the same ones have equal keys.

    Attributes:
        key: Of the vectors.
        tracks: How many tracks have none.
        tracks_per_second: Speed of the encoder: measured here, or by its card; infinite if it only joins vectors.
        shard: Tracks of a shard.
        dim: Length of the vectors, a usual one where the card does not say it.
    """

    key: str
    tracks: int
    tracks_per_second: float
    shard: int
    dim: int

    @property
    def seconds(self) -> float:
        """Rough CPU seconds of all of them."""
        return self.tracks / self.tracks_per_second

    @property
    def bytes(self) -> int:
        """Rough size of all of them on disk."""
        return self.tracks * self.dim * 4


@dataclass(frozen=True)
class MissingTraining:
    """A training that has to be done first.

    Attributes:
        encoder: Identity of the encoder that is trained.
        seed: Its seed.
        checkpoint: Folder in which its weights will lie.
        seconds: Rough CPU seconds, without its vectors.
        encodings: Missing vectors that it learns from.
    """

    encoder: str
    seed: int
    checkpoint: Path
    seconds: float
    encodings: tuple[Encoding, ...]


@dataclass(frozen=True)
class Missing:
    """All that is missing before an encoder has the vectors of some splits.

    Attributes:
        tracks: How many have no vector of the encoder itself.
        trainings: Those that have to be done first, in order.
        encodings: Vectors, also those that the encoder builds upon.
    """

    tracks: int
    trainings: tuple[MissingTraining, ...]
    encodings: tuple[Encoding, ...]

    @classmethod
    def of(
        cls, store: EmbeddingStore, spec: EncoderSpec, dataset: Dataset, splits: Sequence[SplitName], seed: int
    ) -> Self:
        """Look into the store."""
        tracks = sum(store.missing_tracks(spec, dataset, dataset.split(name), seed) for name in splits)
        trainings = tuple(missing_trainings(store, spec, seed))
        return cls(tracks, trainings, tuple(encodings(store, spec, dataset, splits, seed)))


def encodings(
    store: EmbeddingStore, spec: EncoderSpec, dataset: Dataset, splits: Iterable[SplitName], seed: int
) -> Iterator[Encoding]:
    """Yield what is missing of some splits: the vectors of an encoder, and of the encoders that it builds upon.

    Args:
        store: Where embeddings are kept.
        spec: The encoder.
        dataset: The data set.
        splits: The splits.
        seed: Of the encoder.
    """
    for split in (dataset.split(name) for name in splits):
        missing = store.missing_tracks(spec, dataset, split, seed)
        if not missing:
            continue
        if spec.choice:
            yield _of(store, spec, store.keys.scaled(spec, dataset, split, seed), missing)
            continue
        for data, part in needed(spec, dataset, split):
            for each in spec.inputs:
                yield from encodings(store, each, data, (part.name,), spec.seed_of_inputs(seed))
            if not spec.shuffled:  # such vectors are not stored
                tracks = store.missing_tracks_of(spec, data, part, seed)
                yield _of(store, spec, store.keys.embedding(spec, data, part, seed), tracks)


def missing_trainings(store: EmbeddingStore, spec: EncoderSpec, seed: int) -> Iterator[MissingTraining]:
    """Yield the trainings that an encoder needs first, in order."""
    for each in untrained(store, spec, seed):
        if each.training and (source := each.source):
            vectors = [encodings(store, part, source, _LEARNT_FROM, seed) for part in each.training.inputs]
            yield MissingTraining(
                each.identity,
                seed,
                store.checkpoint(each, seed),
                each.training.seconds(len(source.split("train").track_ids)),
                tuple(itertools.chain(*vectors)),
            )


def _of(store: EmbeddingStore, spec: EncoderSpec, key: str, tracks: int) -> Encoding:
    speed = math.inf if spec.combined else store.speed(spec) or spec.card.tracks_per_second
    return Encoding(key, tracks, speed, AUDIO_SHARD if spec.reads_audio else TEXT_SHARD, spec.card.dim or USUAL_DIM)
