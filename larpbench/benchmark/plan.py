"""What would run: cells, what is there already, what is missing, how long it may take. Nothing is computed here."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from larpbench import storage
from larpbench.benchmark import estimate
from larpbench.benchmark.cells import Condition, PlannedCell, Planner
from larpbench.benchmark.choice import (
    Unavailable,
    chosen_encoders,
    chosen_recommenders,
    chosen_task,
    object_keys,
    ready_encoders,
    ready_recommenders,
    task_key,
)
from larpbench.benchmark.learned import fit_seconds, remembered_seconds, scored_dim, splits_read
from larpbench.benchmark.missing import Encoding, MissingTraining
from larpbench.benchmark.similarity import SecondEncoder, second_encoder
from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.schema import Dataset
from larpbench.encoders.card import View
from larpbench.encoders.names import get_encoder
from larpbench.encoders.objects import EncoderLike, ObjectOptions, requested_encoders
from larpbench.encoders.precision import named_for
from larpbench.encoders.provided import refuse_leaks
from larpbench.encoders.run.place import default_store as default_store
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError, LarpbenchError, MissingPartError, UsageError, error_text
from larpbench.mapped import mapped_bytes
from larpbench.recommenders.base import DEFAULT_BUDGET, Scorer
from larpbench.streams import aside
from larpbench.tasks.base import Task
from larpbench.tasks.cells import Cell
from larpbench.tasks.overlap import Removal, find_removal

_LIST_BYTES_PER_PLAYLIST = 600


@dataclass(frozen=True, repr=False)
class Plan:
    """All cells of a run, in the order in which they would run.

    Attributes:
        task: The task.
        dataset: The data set; the part of it that is read, where the task has a limit.
        output: The results folder.
        cells: Cells, grouped by encoder.
        unavailable: Encoders and recommenders that cannot run here.
        store: Where embeddings and checkpoints are kept.
        budget: Trials of each tuning.
        draws: How many draws of seeds and held-out tracks are scored.
        removal: What is removed because an encoder was trained on it elsewhere; None if nothing.
        similarity: The second encoder, by which the tracks of a list are compared; None: they are not.
        config: Digest of the file that describes the run; None where there is none.
    """

    task: Task[Any]
    dataset: Dataset
    output: Path
    cells: tuple[PlannedCell, ...]
    unavailable: tuple[Unavailable, ...]
    store: EmbeddingStore
    budget: int = DEFAULT_BUDGET
    draws: int = 1
    removal: Removal | None = None
    similarity: SecondEncoder | None = None
    config: str | None = None

    def __repr__(self) -> str:
        to_run = f"{len(self.to_run)} to run" if self.to_run else "all done"
        lacking = f", {len(self.unavailable)} unavailable" if self.unavailable else ""
        return f"<Plan {self.task.name} on {self.dataset.name}: {len(self.cells)} cells, {to_run}{lacking}>"

    @cached_property
    def tested(self) -> Dataset:
        """The data set on which every cell is tested: without what is removed."""
        return self.removal.applied_to(self.dataset) if self.removal else self.dataset

    @property
    def to_run(self) -> tuple[PlannedCell, ...]:
        """The cells that a run would compute."""
        return tuple(planned for planned in self.cells if planned.to_run)

    @property
    def queries(self) -> int:
        """The largest number of queries (playlists, or artists)."""
        counts = self.dataset.manifest.counts
        stated = counts.get(f"test.{self.task.query}s", counts.get("test.playlists", 0))
        return min(stated, self.task.limit or stated)

    def estimated_seconds(self) -> float:
        """Return the CPU seconds that all that is left takes, roughly: speeds of encoders may be those of their cards.

        Networks that stop early take as long as was usual where that was measured.
        """
        if not self.to_run:
            return 0.0
        items = len(self.dataset.split("test").track_ids)
        read = {p.embedding_key: self._reading_seconds(p) for p in self.to_run}
        train = sum(each.seconds for each in self.trainings)
        cells = 0.0
        for p in self.to_run:
            dim = estimate.dim_of(p.spec)
            cells += fit_seconds(p.recommender, self.dataset, p.cell.seed, self.budget, dim)
            cells += estimate.cell_seconds(self.queries, items, scored_dim(p.recommender, dim), self.draws)
        begin = estimate.START_SECONDS + estimate.dataset_seconds(self.dataset.manifest.counts)
        encode = sum(each.seconds for each in self.encodings)
        return begin + train + encode + sum(read.values()) + cells - self.remembered_seconds()

    @cached_property
    def trainings(self) -> tuple[MissingTraining, ...]:
        """All trainings that have to be done first, each once."""
        return tuple({made.checkpoint: made for each in self._encoded for made in each.trainings}.values())

    @cached_property
    def encodings(self) -> tuple[Encoding, ...]:
        """All vectors that are missing, each once."""
        parts = [each.encodings for each in (*self._encoded, *self.trainings)]
        return tuple({each.key: each for each in itertools.chain(*parts)}.values())

    @property
    def _encoded(self) -> tuple[PlannedCell | SecondEncoder, ...]:
        """What needs vectors."""
        return (*self.to_run, *([self.similarity] if self.similarity and self.to_run else []))

    def remembered_seconds(self) -> float:
        """Return what all fits together take less than each alone."""
        return remembered_seconds(((p.recommender, p.cell.seed) for p in self.to_run), self.dataset, self.budget)

    def _reading_seconds(self, planned: PlannedCell) -> float:
        """Return the time of looking up the vectors of a cell in a file."""
        if not estimate.lies_in_file(planned.spec):
            return 0.0
        splits = splits_read(self.task, planned.recommender)
        return estimate.file_seconds(planned.spec, sum(len(self.dataset.split(name).track_ids) for name in splits))

    def estimated_bytes(self) -> int:
        """Return a rough size of all files that are left to write, with the largest temporary ones of a cell."""
        vectors = sum(each.bytes for each in self.encodings)
        lists = self.queries * _LIST_BYTES_PER_PLAYLIST
        temporary = max((self._temporary_bytes(p) for p in self.to_run), default=0)
        return vectors + len(self.to_run) * (lists + 10_000) + temporary

    def _temporary_bytes(self, planned: PlannedCell) -> int:
        """Return the size of unnamed temporary files in the home folder: large arrays, and their unit rows."""
        dim = estimate.dim_of(planned.spec)
        splits = splits_read(self.task, planned.recommender)
        return sum(2 * mapped_bytes(len(self.dataset.split(name).track_ids), dim) for name in splits)


@aside()
def plan(
    dataset: Dataset | str | Path,
    *,
    encoders: EncoderLike | Sequence[EncoderLike] | Mapping[str, EncoderLike] = "default",
    recommenders: str | Scorer | Sequence[str | Scorer] = "default",
    task: str | Task[Any] = "continuation",
    task_options: Mapping[str, Any] = MappingProxyType({}),
    seeds: int = 3,
    budget: int = DEFAULT_BUDGET,
    draws: int = 1,
    limit: int | None = None,
    device: str = "cpu",
    backend: str = "torch",
    similarity_by: EncoderLike | None = None,
    output: str | Path = "results",
    allow_leaky: bool = False,
    condition: Condition = "missing",
    store: EmbeddingStore | None = None,
    modality: View | None = None,
    sample_rate: int | None = None,
    cache_key: str | None = None,
) -> Plan:
    """Return the plan of a run.

    Encoders that are objects are encoded here, unless they have a `cache_key`: the digest of their vectors is what
    tells them apart from others.

    Args:
        dataset: What to test on: a data set, its name or its folder. It is loaded when all names have been checked.
        encoders: One, several, or a mapping of labels to encoders. Each is a name, vectors, an object with ``encode``,
            a callable or a spec (`larpbench.as_encoder`). Of names, ``all`` stands for every one that needs no
            argument, ``default`` for the task's own choice, and ``LABEL=ENCODER`` has a label.
        recommenders: One or several names or objects; ``all`` or ``default``.
        task: Name of the task, or the task itself.
        task_options: Options of that task.
        seeds: How many seeds random and learned parts run over; the others run once.
        budget: How many trials the tuning of a learned recommender has, the same for every encoder.
        draws: How many draws of the test playlists' seeds and held-out tracks are scored; the first is the data set's
            own, on which the scores rest; the others say how much depends on it.
        limit: For a smoke run: read only so many playlists of each split, and only their tracks. Its results stand in
            tables of their own. None: all.
        device: Where tracks are ranked: ``cpu``, or ``cuda``, which gives the same lists.
        backend: What computes encoders that have a variant for it, ``NAME:openvino``: ``torch`` or ``openvino``.
        similarity_by: A second encoder, by whose vectors the intra-list similarity is measured; None: it is not.
        output: Results folder.
        allow_leaky: Whether vectors that a data set brings are tested although they were made from listening.
        condition: Which cells to run: those without a record (or with a failed one), also those whose record was
            written by other versions, or all.
        store: Where embeddings are kept; default under the home folder.
        modality: What encoders that are callables read: ``text`` or ``audio``.
        sample_rate: Sample rate in Hz of the audio that they get.
        cache_key: Text that stands for the vectors of encoders that are objects: they are stored and used again.

    Raises:
        UnknownNameError: If a name is unknown.
        UsageError: If an argument makes no sense.
        MissingPartError: If the second encoder cannot run here.
        DataError: If the data set has nothing to ask.
        ProtocolError: If the encoders were trained on so many tested tracks that nothing is left.
    """
    if seeds < 1:
        raise UsageError(f"the number of seeds is {seeds}", allowed="1 or more")
    if budget < 1:
        raise UsageError(f"the tuning budget is {budget}", allowed="1 or more trials")
    if draws < 1:
        raise UsageError(f"the number of draws is {draws}", allowed="1 or more")
    store, output = store or default_store(), Path(output)
    with storage.storage_errors(output, "use"):
        output.exists()
    unconfigured = chosen_task(task)
    chosen = unconfigured.configured(task_options).limited(limit).on(device)
    load = cache(lambda: _read(chosen, dataset if isinstance(dataset, Dataset) else load_dataset(dataset)))
    requested = requested_encoders(encoders, ObjectOptions(modality, sample_rate, cache_key))
    scorers = chosen_recommenders(chosen, recommenders)
    named_encoders = chosen_encoders(chosen, requested, load, recommenders, backend)
    tested = load()
    chosen.require_queries(tested)
    specs, unavailable = ready_encoders(named_encoders, tested)
    if not allow_leaky:
        refuse_leaks(specs.values(), tested)
    paired_with, broken = ready_recommenders(scorers, tested)
    unavailable += broken
    removal = find_removal(tested, [source for spec in specs.values() for source in spec.sources])
    chosen.check_protocol(draws, removal is not None)
    if isinstance(similarity_by, str):
        similarity_by = named_for(similarity_by, backend)
    second = None if similarity_by is None else second_encoder(similarity_by, chosen, tested, store)
    keys = {"": task_key(unconfigured), **object_keys(paired_with, recommenders)}
    planner = Planner(chosen, tested, removal, budget, draws, second, output, condition, store, keys)
    cells: dict[Path, PlannedCell] = {}  # two names may mean one encoder
    for name, spec in specs.items():
        try:
            for planned in planner.cells(spec, paired_with, seeds):
                cells.setdefault(planned.path, planned)
        except (MissingPartError, DataError, EmbeddingError) as error:
            unavailable.append(Unavailable(name, error.what, error.next_step, error))
        except LarpbenchError:
            raise
        except (Exception, SystemExit) as error:  # a plug-in's digest may raise anything, and so may an object
            unavailable.append(Unavailable(name, error_text(error), None, error))
    _require_one_encoder_a_name(cells.values())
    return Plan(
        chosen, tested, output, tuple(cells.values()), tuple(unavailable), store, budget, draws, removal, second
    )


def _read(task: Task[Any], dataset: Dataset) -> Dataset:
    """Return what a task reads of a data set."""
    seen = task.view(dataset)
    return seen if task.limit is None else task.first_queries(seen, task.limit)


def _require_one_encoder_a_name(cells: Iterable[PlannedCell]) -> None:
    """Refuse two encoders of one name, such as those that were trained on two data sets of one name."""
    seen: dict[Cell, PlannedCell] = {}
    for planned in cells:
        other = seen.setdefault(planned.cell, planned)
        if other is not planned:
            folders = {str(source.folder) for each in (other, planned) for source in each.spec.sources}
            raise UsageError(
                f"two different encoders are called {planned.spec.identity!r}",
                where=", ".join(sorted(folders)) or None,
                allowed="a label of its own for each, LABEL=ENCODER, and names of their own for data sets",
            )


def encoder_for(name: str, dataset: Dataset) -> EncoderSpec:
    """Return an encoder by name; one that is trained learns from `dataset` unless its name says from what."""
    return get_encoder(name).tested_on(dataset)
