"""The cells of a plan: what each depends on, and what is there of it already."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from larpbench.benchmark.learned import splits_read, tuning_key
from larpbench.benchmark.missing import Encoding, Missing, MissingTraining
from larpbench.benchmark.similarity import SecondEncoder
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec
from larpbench.fingerprint import digest
from larpbench.recommenders.base import Scorer
from larpbench.results.store import Unusable, record_path, usable_record
from larpbench.runtime import versions
from larpbench.tasks.base import Task
from larpbench.tasks.cells import BoundCell, Cell
from larpbench.tasks.overlap import Removal

Condition = Literal["missing", "stale", "always"]
CellState = Literal["done", "missing", "failed", "stale", "damaged"]


@dataclass(frozen=True)
class PlannedCell(BoundCell):
    """One cell of a plan.

    Attributes:
        state: ``done``: its record is there; ``failed``: it was tried and failed; ``stale``: its record was written by
            other versions of larpbench or its libraries; ``damaged``: its record cannot be used, and is set aside
            before the cell is run anew; ``missing``: no record.
        path: Where its record lies or will lie.
        tracks_to_encode: How many of the tracks that it needs are not stored yet.
        trainings: Checkpoints that are missing before its encoder can run, first to last.
        encodings: Vectors that are missing, also those that its encoder builds upon.
        to_run: Whether a run would compute it.
    """

    state: CellState
    path: Path
    tracks_to_encode: int
    trainings: tuple[MissingTraining, ...]
    encodings: tuple[Encoding, ...]
    to_run: bool


@dataclass(frozen=True)
class Planner:
    """What all cells of a plan share; see `larpbench.benchmark.plan.Plan`."""

    task: Task[Any]
    dataset: Dataset
    removal: Removal | None
    budget: int
    draws: int
    similarity: SecondEncoder | None
    output: Path
    condition: Condition
    store: EmbeddingStore
    object_keys: Mapping[str, Sequence[str]]

    def cells(self, spec: EncoderSpec, recommenders: Sequence[Scorer], seeds: int) -> Iterator[PlannedCell]:
        """Yield the cells of one encoder."""
        paired = [each for each in recommenders if self.task.pairs(spec, each)]
        spec.require_possible(
            self.dataset, list(dict.fromkeys(split for each in paired for split in splits_read(self.task, each)))
        )
        spec = self._encoded(spec, paired, seeds)
        look = functools.cache(functools.partial(Missing.of, self.store, spec, self.dataset))
        for seed in range(max(seeds, spec.least_seeds)):
            for each in paired:
                if seed == 0 or spec.card.stochastic or each.stochastic:
                    yield self._cell(spec, each.seeded(seed), seed, look)

    def _encoded(self, spec: EncoderSpec, paired: Sequence[Scorer], seeds: int) -> EncoderSpec:
        """Return an encoder that can be keyed: objects are encoded now."""
        splits = dict.fromkeys(split for each in paired for split in splits_read(self.task, each))
        return self.store.encode_in_memory(spec, self.dataset, splits, range(seeds))

    def _cell(
        self,
        spec: EncoderSpec,
        recommender: Scorer,
        seed: int,
        look: Callable[[tuple[SplitName, ...], int], Missing],
    ) -> PlannedCell:
        cell = Cell(self.task.name, self.dataset.name, spec.identity, recommender.name, seed)
        splits = splits_read(self.task, recommender)
        encoder_seed = seed if spec.card.stochastic else 0
        vectors_key = self._embeddings(spec, splits, encoder_seed)
        row = {
            "protocol": self.task.protocol,
            "task": [self.task.name, self.task.version, *self.object_keys[""]],
            "dataset": self.dataset.scored_digest,
            "encoder": spec.identity,
            "embeddings": self._embeddings(spec, splits, 0),
            "recommender": [
                recommender.name,
                recommender.version,
                *tuning_key(recommender, self.budget),
                *self.object_keys.get(recommender.name, ()),
            ],
            **({"draws": [self.draws, self.dataset.manifest.split.seed]} if self.draws > 1 else {}),
            **({"removal": self.removal.key} if self.removal else {}),
            **({"similarity": [self.similarity.spec.identity, self.similarity.key]} if self.similarity else {}),
        }
        key, row_key = (digest(each)[:32] for each in ({**row, "embeddings": vectors_key, "seed": seed}, row))
        path = record_path(self.output, cell, key)
        state = cell_state(path)
        missing = look(splits, encoder_seed)
        kept = {"missing": ("done", "stale"), "stale": ("done",)}.get(self.condition, ())
        return PlannedCell(
            cell,
            key,
            row_key,
            spec,
            recommender,
            vectors_key,
            state,
            path,
            tracks_to_encode=missing.tracks,
            trainings=missing.trainings,
            encodings=missing.encodings,
            to_run=state not in kept,
        )

    def _embeddings(self, spec: EncoderSpec, splits: Sequence[SplitName], seed: int) -> str:
        """Return the joint key of the vectors of some splits."""
        return digest([self.store.keys.scaled(spec, self.dataset, self.dataset.split(name), seed) for name in splits])


def cell_state(path: Path) -> CellState:
    """Return what is there of a cell whose record would lie at a path."""
    if not path.exists():
        return "missing"
    record = usable_record(path)
    if isinstance(record, Unusable):
        return "damaged"
    if record.status == "failed":
        return "failed"
    return "done" if record.versions == versions() else "stale"
