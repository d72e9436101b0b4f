"""The second encoder of a run, by whose vectors the tracks of a list are compared (``--similarity-by``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from larpbench.benchmark.missing import Encoding, Missing, MissingTraining
from larpbench.datasets.schema import Dataset
from larpbench.encoders.objects import EncoderLike, as_encoder
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UsageError
from larpbench.results.record import SimilarityPart
from larpbench.tasks.base import Task

SECOND_SEED = 0


@dataclass(frozen=True)
class SecondEncoder:
    """An encoder that is not tested: it says how similar the tracks of a list are.

    Attributes:
        spec: Which; what of it is random or trained runs with seed 0.
        key: Key of its vectors of the test tracks.
        tracks_to_encode: How many of these are not stored yet.
        trainings: Those that are missing before it can run, first to last.
        encodings: Vectors that are missing, also those that it builds upon.
    """

    spec: EncoderSpec
    key: str
    tracks_to_encode: int
    trainings: tuple[MissingTraining, ...]
    encodings: tuple[Encoding, ...]

    def part(self, dataset: Dataset, store: EmbeddingStore) -> SimilarityPart:
        """Return what a record says of it."""
        digest = self.spec.weights_digest(store.context(self.spec, dataset, SECOND_SEED))
        return SimilarityPart(encoder=self.spec.identity, embeddings_key=self.key, weights_digest=digest)


def second_encoder(encoder: EncoderLike, task: Task[Any], dataset: Dataset, store: EmbeddingStore) -> SecondEncoder:
    """Return the second encoder of a run.

    Args:
        encoder: Its name, or an object; see `as_encoder`.
        task: The task.
        dataset: The data set that is tested.
        store: Where embeddings and checkpoints are kept.

    Raises:
        UsageError: If the task does not rank tracks, or the name stands for several encoders.
        UnknownNameError: If there is no such encoder.
        MissingPartError: If it cannot run here.
        DataError: If it has no vectors for the test tracks.
    """
    if not task.ranks_tracks:
        raise UsageError(
            f"the task {task.name!r} does not rank the test tracks, so that no encoder can tell how similar they are",
            allowed="no --similarity-by, or a task that ranks tracks, such as continuation",
        )
    if isinstance(encoder, str) and encoder in ("all", "default"):
        raise UsageError(f"--similarity-by {encoder}", allowed="one encoder", next_step="larpbench list encoders")
    spec = as_encoder(encoder).tested_on(dataset)
    status = spec.status()
    if status.state != "ready":
        raise MissingPartError(
            f"the second encoder {spec.identity!r} cannot run: {status.text}", next_step=status.next_step
        )
    spec.require_possible(dataset, ["test"])
    spec = store.encode_in_memory(spec, dataset, ["test"], [SECOND_SEED])
    key = store.keys.scaled(spec, dataset, dataset.split("test"), SECOND_SEED)
    missing = Missing.of(store, spec, dataset, ["test"], SECOND_SEED)
    return SecondEncoder(spec, key, missing.tracks, missing.trainings, missing.encodings)
