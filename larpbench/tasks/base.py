"""What a task is: it asks questions (queries) and scores the answers one by one; statistics are the same for all."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from larpbench.datasets.schema import Dataset, SplitName
from larpbench.datasets.splits.limited import first_playlists
from larpbench.encoders.names import DEFAULT_ENCODERS, get_encoder
from larpbench.encoders.provided import provided_encoders
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UsageError, schema_fault, shell_word
from larpbench.evaluation.metrics import MetricSpec
from larpbench.recommenders import DEFAULT_RECOMMENDERS
from larpbench.recommenders.base import Scorer, TrainData, ValidData
from larpbench.tasks.by_name import encoders_by_name, expanded_encoders, recommenders_by_name
from larpbench.tasks.result import TaskResult

M = TypeVar("M", bound=Scorer)
_TASK_OF_KIND = {"artist-graph": "artist-similarity", "listeners": "cold-tracks", "playlists": "continuation"}
_BUILDS = {
    "artist-graph": "larpbench dataset build artist-graph",
    "listeners": "larpbench dataset build csv --task cold-tracks",
    "playlists": "larpbench dataset build csv",
}


class TaskOptions(BaseModel):
    """Options of a task: none. A task that has some declares a subclass as its `Options`.

    Each field has a default, and a ``description`` that ``larpbench describe task`` prints. On the command line a value
    is text (``-O name=value``), which pydantic turns into the field's type.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def variant(self) -> str:
        """All values that are not the default, in words: the part of the protocol's name after a slash in results."""
        values = ((name, getattr(self, name), field.default) for name, field in type(self).model_fields.items())
        return ",".join(f"{name.replace('_', '-')}={value}" for name, value, default in values if value != default)


@dataclass(frozen=True)
class VisibleGroup:
    """Queries of which about as much is visible: playlists by their seeds, artists by their visible edges.

    Attributes:
        label: Name in tables.
        least: Smallest number of visible tracks or edges.
        most: Largest.
    """

    label: str
    least: int
    most: int


class Task(ABC, Generic[M]):
    """A kind of question about embeddings.

    Attributes:
        name: Name in results.
        version: Raised with every change that changes scores.
        summary: One line for lists.
        protocol: The rules that it follows.
        metrics: What it measures.
        splits: The splits whose embeddings it needs, whatever the recommender.
        kind: The kind of data set that it reads, as its manifest says.
        Options: What may be chosen of it.
        options: What was chosen.
        limit: Of each split, only so many queries are read, for a smoke run; None: all.
        device: Where most tracks are ruled out of a ranking, as torch names it; results do not depend on it.
        query: What is asked about, in the singular.
        item: What is ranked, in the singular.
        ranks_tracks: Whether what is ranked are the tracks of the test split, so that a second encoder can tell how
            similar they are.
        shown: Columns of its tables; rows are sorted by the first. Empty: all measures of quality.
        default_dataset: What it is tested on if nobody says what.
        visible_groups: By how much of a query is visible, tables break down their first column; empty: they do not.
        default_encoders: What is tested if nobody says what.
        default_recommenders: And with which recommenders.
        citation: Keys of larpbench's references (`larpbench.citations`), or whole BibTeX entries.
    """

    name: str
    version: int
    summary: str
    protocol: str
    metrics: tuple[MetricSpec, ...]
    splits: tuple[SplitName, ...]
    kind: ClassVar[str] = "playlists"
    Options: ClassVar[type[TaskOptions]] = TaskOptions
    options: TaskOptions = TaskOptions()
    limit: int | None = None
    device: str = "cpu"
    query: ClassVar[str] = "playlist"
    item: ClassVar[str] = "track"
    ranks_tracks: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ()
    visible_groups: ClassVar[tuple[VisibleGroup, ...]] = ()
    default_dataset: ClassVar[str] = "demo"
    default_encoders: tuple[str, ...] = DEFAULT_ENCODERS
    default_recommenders: tuple[str, ...] = DEFAULT_RECOMMENDERS
    citation: ClassVar[tuple[str, ...]] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its tables."""
        return self.shown or tuple(spec.column for spec in self.metrics if spec.quality)

    def configured(self, options: Mapping[str, Any]) -> Self:
        """Return the task with other options; its protocol names those that are not the default.

        Raises:
            UsageError: If it has no such option, or a value makes no sense.
        """
        fields = self.Options.model_fields
        if unknown := [name for name in options if name not in fields]:
            raise UsageError(
                f"the task {self.name!r} has no option {', '.join(unknown)}",
                allowed=", ".join(fields) or "none",
                next_step=f"larpbench describe task {self.name}",
            )
        try:
            chosen = self.Options(**{**self.options.model_dump(), **options})
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            raise UsageError(
                f"the option {name} of the task {self.name!r} is {options.get(name)!r}",
                allowed=fields[name].description or schema_fault(error),
            ) from error
        task = copy.copy(self)
        task.options = chosen
        return task._named()

    def limited(self, limit: int | None) -> Self:
        """Return the task on the first queries of each split only, for a smoke run; its protocol names the limit.

        Args:
            limit: Largest number of queries a split; None: all, the task itself.

        Raises:
            UsageError: If it is smaller than 1.
        """
        if limit is None:
            return self
        if limit < 1:
            raise UsageError(f"the limit is {limit}", allowed=f"1 {self.query} or more")
        task = copy.copy(self)
        task.limit = limit
        return task._named()

    def on(self, device: str) -> Self:
        """Return the task with its rankings on a device.

        Raises:
            UsageError: If there is no such device.
        """
        if device == self.device:
            return self
        from larpbench.evaluation.pruning import require_device  # loads torch

        require_device(device)
        task = copy.copy(self)
        task.device = device
        return task

    def _named(self) -> Self:
        """Give the protocol its full name."""
        limit = "" if self.limit is None else f"limit={self.limit}"
        variant = ",".join(part for part in (self.options.variant, limit) if part)
        self.protocol = "/".join(part for part in (type(self).protocol, variant) if part)
        return self

    def first_queries(self, dataset: Dataset, limit: int) -> Dataset:
        """Return the part of a data set that a smoke run reads. Of playlists: the first, and their tracks.

        A task with other queries has a method of its own, or cannot be limited.

        Args:
            dataset: What `view` has returned.
            limit: Largest number of queries a split, 1 or more.

        Raises:
            UsageError: If the task cannot be limited.
        """
        if dataset.playlists.is_empty():
            raise UsageError(
                f"the task {self.name!r} cannot be limited to {limit} {self.query}s: {dataset.name!r} has no playlists",
                allowed="--limit with data sets of playlists",
                next_step="leave --limit out, or test on a smaller data set",
            )
        return first_playlists(dataset, limit)

    def view(self, dataset: Dataset) -> Dataset:
        """Return what the task reads of a data set.

        Raises:
            UsageError: If it is of another kind.
        """
        if dataset.manifest.kind != self.kind:
            raise UsageError(
                f"the task {self.name!r} reads data sets of kind {self.kind}, and {dataset.name!r} is of kind "
                f"{dataset.manifest.kind}",
                allowed=f"a data set of kind {self.kind}",
                next_step=self._other_way(dataset),
            )
        return dataset

    def _other_way(self, dataset: Dataset) -> str:
        """Return the command that asks the question that a data set of another kind answers, or makes one."""
        task = _TASK_OF_KIND.get(dataset.manifest.kind)
        ask = f"larpbench run --task {task} --dataset {shell_word(dataset.name)}" if task else "larpbench list tasks"
        build = _BUILDS.get(self.kind)
        return f"{ask}; or build one of kind {self.kind}: {build}" if build else f"{ask}, larpbench list datasets"

    @property
    def variant(self) -> str:
        """What of the protocol is not as usual: the part of its name after a slash. It has tables of its own."""
        return self.protocol.partition("/")[2]

    def valid_data(self, train: TrainData, dataset: Dataset, embeddings: np.ndarray) -> ValidData:
        """Return what recommenders are selected by: playlists of valid.

        Args:
            train: What they learn from.
            dataset: The data set.
            embeddings: (n, dim) float32, the tracks of its valid split.
        """
        return ValidData(dataset.split("valid"), embeddings)

    def check_protocol(self, draws: int, removes: bool) -> None:
        """Check what a run asks for beside names.

        Args:
            draws: How many draws of seeds and held-out tracks are scored.
            removes: Whether tracks are removed from the test split because an encoder was trained on them.

        Raises:
            UsageError: If the task cannot do that.
        """

    def require_queries(self, dataset: Dataset) -> None:
        """Check, before anything is encoded for it, that a data set has something to ask.

        Args:
            dataset: What `view` has returned.

        Raises:
            DataError: If no query could be scored.
        """

    def encoders(self, names: Sequence[str], load: Callable[[], Dataset]) -> dict[str, EncoderSpec | MissingPartError]:
        """Return name -> encoder, or why it cannot be loaded; ``all`` and ``default`` are what they stand for.

        They also stand for the vectors that the data set brings, where it does.

        Args:
            names: Encoder names.
            load: Returns the data set, for tasks whose encoders depend on it. A data set can take long to make, and no
                typing error should have to wait for it.

        Raises:
            UnknownNameError: If there is no such encoder.
        """
        found = encoders_by_name(self.expanded(names))
        if {"all", "default"} & set(names):
            found |= {name: get_encoder(name) for name in provided_encoders(load()) if name not in found}
        return found

    def recommenders(self, names: Sequence[str]) -> dict[str, Scorer | MissingPartError]:
        """Return name -> recommender, or why it cannot be loaded; ``all`` and ``default`` are what they stand for.

        Raises:
            UnknownNameError: If there is no such recommender.
        """
        return recommenders_by_name(names, self.default_recommenders)

    def own_recommenders(self) -> Mapping[str, Scorer | MissingPartError]:
        """Return the recommenders that the task brings itself, and none of the registry."""
        return {} if type(self).recommenders is Task.recommenders else self.recommenders(["all"])

    def needed_encoders(self, recommenders: Sequence[str]) -> Sequence[str]:
        """Return the encoders without which recommenders that are asked for by name would have nothing to read."""
        return ()

    def pairs(self, spec: EncoderSpec, recommender: M) -> bool:
        """Return whether an encoder is tested with a recommender."""
        return True

    @abstractmethod
    def execute(self, dataset: Dataset, embeddings: Mapping[SplitName, np.ndarray], recommender: M) -> TaskResult:
        """Score one cell.

        Args:
            dataset: The data set.
            embeddings: Split -> (n, dim) float32, in the order of the split's tracks.
            recommender: How embeddings become scores.

        Raises:
            ProtocolError: If the data set cannot answer the question, or a result contradicts arithmetic.
        """

    def expanded(self, names: Sequence[str]) -> list[str]:
        """Return encoder names with ``all``, ``default`` and ``@all`` spelt out, each once."""
        return expanded_encoders(names, self.default_encoders)
