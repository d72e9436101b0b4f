"""What would run: cells, what is there already, what is missing, how long it may take. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from larpbench import storage
from larpbench.datasets.schema import Dataset
from larpbench.encoders import DEFAULT_ENCODERS, ENCODERS, get_encoder
from larpbench.encoders.base import EncoderSpec
from larpbench.encoders.keys import scaled_key
from larpbench.encoders.store import EmbeddingStore
from larpbench.encoders.training import untrained
from larpbench.errors import DataError, LarpbenchError, MissingPartError, UsageError
from larpbench.fingerprint import digest
from larpbench.recommenders import DEFAULT_RECOMMENDERS, RECOMMENDERS
from larpbench.recommenders.base import Recommender
from larpbench.results.store import read_record, record_path
from larpbench.runtime import versions
from larpbench.tasks import TASKS
from larpbench.tasks.base import Cell, Task

Condition = Literal["missing", "stale", "always"]
CellState = Literal["done", "missing", "failed", "stale"]
_RANKED_PAIRS_PER_SECOND = 2e8
_SECONDS_PER_CELL = 0.3
_LIST_BYTES_PER_PLAYLIST = 600


@dataclass(frozen=True)
class MissingTraining:
    """A training that has to be done first.

    Attributes:
        encoder: Identity of the encoder that is trained.
        seed: Its seed.
        checkpoint: Folder in which its weights will lie.
        seconds: Rough time.
    """

    encoder: str
    seed: int
    checkpoint: Path
    seconds: float


@dataclass(frozen=True)
class PlannedCell:
    """One cell of a plan.

    Attributes:
        cell: Which.
        key: Digest of all that its scores depend on.
        state: ``done``: its record is there; ``failed``: it was tried and failed; ``stale``: its record was written by
            other versions of larpbench or its libraries; ``missing``: no record.
        path: Where its record lies or will lie.
        spec: Its encoder.
        recommender: Its recommender.
        embedding_key: Key of the vectors that it needs.
        tracks_to_encode: How many of them are not stored yet.
        trainings: Checkpoints that are missing before its encoder can run, first to last.
        tracks_per_second: Speed of its encoder: measured here, or by its card.
        to_run: Whether a run would compute it.
    """

    cell: Cell
    key: str
    state: CellState
    path: Path
    spec: EncoderSpec
    recommender: Recommender
    embedding_key: str
    tracks_to_encode: int
    trainings: tuple[MissingTraining, ...]
    tracks_per_second: float
    to_run: bool


@dataclass(frozen=True)
class Unavailable:
    """An encoder or recommender that was asked for and cannot run here.

    Attributes:
        name: Its name.
        reason: Why.
        next_step: What mends it.
    """

    name: str
    reason: str
    next_step: str | None


@dataclass(frozen=True)
class Plan:
    """All cells of a run, in the order in which they would run.

    Attributes:
        task: The task.
        dataset: The data set.
        output: The results folder.
        cells: Cells, grouped by encoder.
        unavailable: Encoders and recommenders that cannot run here.
    """

    task: Task
    dataset: Dataset
    output: Path
    cells: tuple[PlannedCell, ...]
    unavailable: tuple[Unavailable, ...]

    @property
    def to_run(self) -> tuple[PlannedCell, ...]:
        """The cells that a run would compute."""
        return tuple(planned for planned in self.cells if planned.to_run)

    def estimated_seconds(self) -> float:
        """Return a rough time for all that is left: right within a factor of a few."""
        encode = {p.embedding_key: p.tracks_to_encode / p.tracks_per_second for p in self.to_run}
        pairs = len(self.dataset.split("test").track_ids) * self.dataset.manifest.counts["test.playlists"]
        train = {each.checkpoint: each.seconds for p in self.to_run for each in p.trainings}
        return (
            sum(train.values())
            + sum(encode.values())
            + len(self.to_run) * (pairs / _RANKED_PAIRS_PER_SECOND + _SECONDS_PER_CELL)
        )

    def estimated_bytes(self) -> int:
        """Return a rough size of all files that are left to write."""
        vectors = {p.embedding_key: p.tracks_to_encode * (p.spec.card.dim or 256) * 4 for p in self.to_run}
        lists = self.dataset.manifest.counts["test.playlists"] * _LIST_BYTES_PER_PLAYLIST
        return sum(vectors.values()) + len(self.to_run) * (lists + 10_000)


def make_plan(
    dataset: Dataset,
    *,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
    recommenders: Sequence[str] = DEFAULT_RECOMMENDERS,
    task: str = "continuation",
    seeds: int = 3,
    output: str | Path = "results",
    condition: Condition = "missing",
    store: EmbeddingStore | None = None,
) -> Plan:
    """Return the plan of a run.

    Args:
        dataset: What to test on.
        encoders: Encoder names; ``all`` stands for every one that needs no argument, ``default`` for the default ones.
        recommenders: Recommender names, or ``all``.
        task: Task name.
        seeds: How many seeds random and learned parts run over; the others run once.
        output: Results folder.
        condition: Which cells to run: those without a record (or with a failed one), also those whose record was
            written by other versions, or all.
        store: Where embeddings are kept; default under the home folder.

    Raises:
        UnknownNameError: If a name is unknown.
        UsageError: If an argument makes no sense.
    """
    if seeds < 1:
        raise UsageError(f"the number of seeds is {seeds}", allowed="1 or more")
    store, output = store or default_store(), Path(output)
    chosen_task = TASKS.get(task)
    specs, unavailable = _specs(encoders, dataset)
    chosen_recommenders, broken = _recommenders(recommenders)
    unavailable += broken
    cells: dict[Path, PlannedCell] = {}  # two names may mean one encoder
    for name, spec in specs.items():
        try:
            for seed in range(seeds if spec.card.stochastic else 1):
                key = embedding_key(spec, dataset, chosen_task, seed)
                for each in chosen_recommenders:
                    planned = _planned(chosen_task, dataset, spec, each, seed, key, output, condition, store)
                    cells.setdefault(planned.path, planned)
        except (MissingPartError, DataError) as error:
            unavailable.append(Unavailable(name, error.what, error.next_step))
        except LarpbenchError:
            raise
        except Exception as error:  # a plug-in's digest may raise anything
            unavailable.append(Unavailable(name, f"{type(error).__name__}: {error}", None))
    return Plan(chosen_task, dataset, output, tuple(cells.values()), tuple(unavailable))


def default_store() -> EmbeddingStore:
    """Return the embedding store under the home folder."""
    return EmbeddingStore(storage.home() / "embeddings")


def embedding_key(spec: EncoderSpec, dataset: Dataset, task: Task, seed: int) -> str:
    """Return the joint key of the vectors that a task needs."""
    return digest([scaled_key(spec, dataset, dataset.split(name), seed) for name in task.splits])


def _planned(
    task: Task,
    dataset: Dataset,
    spec: EncoderSpec,
    recommender: Recommender,
    seed: int,
    vectors_key: str,
    output: Path,
    condition: Condition,
    store: EmbeddingStore,
) -> PlannedCell:
    cell = Cell(task.name, dataset.name, spec.identity, recommender.name, seed)
    key = digest(
        {
            "protocol": task.protocol,
            "task": [task.name, task.version],
            "dataset": dataset.manifest.fingerprint,
            "encoder": spec.identity,
            "embeddings": vectors_key,
            "recommender": [recommender.name, recommender.version],
            "seed": seed,
        }
    )[:32]
    path = record_path(output, cell, key)
    state = _state(path)
    missing = sum(store.missing_tracks(spec, dataset, dataset.split(name), seed) for name in task.splits)
    wanted = {"missing": ("missing", "failed"), "stale": ("missing", "failed", "stale")}.get(condition)
    to_run = wanted is None or state in wanted
    speed = store.speed(spec) or spec.card.tracks_per_second
    trainings = tuple(
        MissingTraining(
            each.identity, seed, store.checkpoint(each, seed), each.training.seconds if each.training else 0
        )
        for each in untrained(store, spec, seed)
    )
    return PlannedCell(cell, key, state, path, spec, recommender, vectors_key, missing, trainings, speed, to_run)


def _state(path: Path) -> CellState:
    if not path.is_file():
        return "missing"
    try:
        record = read_record(path)
    except DataError:
        return "missing"
    if record.status == "failed":
        return "failed"
    return "done" if record.versions == versions() else "stale"


def _specs(names: Sequence[str], dataset: Dataset) -> tuple[dict[str, EncoderSpec], list[Unavailable]]:
    """Resolve names; an encoder that is not ready is listed, not raised."""
    specs: dict[str, EncoderSpec] = {}
    unavailable: list[Unavailable] = []
    for name in dict.fromkeys(_expanded(names)):
        try:
            spec = get_encoder(name)
        except MissingPartError as error:  # a plug-in that breaks
            unavailable.append(Unavailable(name, error.what, error.next_step))
            continue
        if spec.training and not spec.source:
            spec = spec.learning_from(dataset)
        status = spec.status()
        if status.state == "ready":
            specs[name] = spec
        else:
            unavailable.append(Unavailable(name, status.state, status.next_step))
    return specs, unavailable


def _expanded(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        if name == "all":
            found.extend(each for each in ENCODERS.names() if not _needs_argument(each))
        elif name == "default":
            found.extend(DEFAULT_ENCODERS)
        else:
            found.append(name)
    return found


def _needs_argument(name: str) -> bool:
    try:
        takes = ENCODERS.get(name).takes
        return takes is not None and not takes.startswith("[")
    except MissingPartError:
        return False


def _recommenders(names: Sequence[str]) -> tuple[list[Recommender], list[Unavailable]]:
    known = RECOMMENDERS.names()
    found: list[Recommender] = []
    unavailable: list[Unavailable] = []
    wanted = dict.fromkeys(each for asked in names for each in (known if asked == "all" else [asked]))
    for name in wanted:
        try:
            found.append(RECOMMENDERS.get(name))
        except MissingPartError as error:
            unavailable.append(Unavailable(name, error.what, error.next_step))
    return found, unavailable
