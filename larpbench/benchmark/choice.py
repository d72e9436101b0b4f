"""What a plan is made of, by name or as objects: the task, its encoders and its recommenders."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from larpbench.benchmark.learned import lacking
from larpbench.datasets.schema import Dataset
from larpbench.encoders.precision import named_for
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UsageError, clipped
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import Recommender, Scorer
from larpbench.tasks import TASKS
from larpbench.tasks.base import Task


@dataclass(frozen=True)
class Unavailable:
    """An encoder or recommender of the request that cannot run here.

    Attributes:
        name: Its name.
        reason: Why.
        next_step: What to do about it.
        error: What was raised, if anything was.
    """

    name: str
    reason: str
    next_step: str | None
    error: BaseException | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """Reason and next step."""
        return self.reason + (f"; next: {self.next_step}" if self.next_step else "")


_objects: dict[int, tuple[object, str]] = {}


def chosen_task(task: str | Task[Any]) -> Task[Any]:
    """Return a task by name, or as it is.

    Raises:
        UnknownNameError: If nothing has that name.
        UsageError: If it is no task, or an object with the name of another one.
    """
    if isinstance(task, str):
        return TASKS.get(task)
    if not isinstance(task, Task):
        raise UsageError(f"{clipped(repr(task), 80)} is no task", allowed="a name, or an object of a class of Task")
    _require_own_name(task)
    return task


def chosen_encoders(
    task: Task[Any],
    encoders: Iterable[str | EncoderSpec],
    load: Callable[[], Dataset],
    recommenders: str | Scorer | Sequence[str | Scorer] = (),
    backend: str = "torch",
) -> dict[str, EncoderSpec | MissingPartError]:
    """Return name -> encoder, or why it cannot be loaded.

    Args:
        task: The task, which knows what names stand for.
        encoders: Names and specs.
        load: Returns the data set.
        recommenders: What they are tested with: some need an encoder that nobody lists.
        backend: What computes those named that have such a variant.

    Raises:
        UnknownNameError: If nothing has one of the names.
        UsageError: If two objects have one name, or there is no such backend.
    """
    found: dict[str, EncoderSpec | MissingPartError] = {}
    named = [recommenders] if isinstance(recommenders, str | Scorer) else recommenders
    for each in [*encoders, *task.needed_encoders([name for name in named if isinstance(name, str)])]:
        if isinstance(each, str):
            for name, spec in task.encoders([each], load).items():
                computed = named_for(name, backend)
                found |= {name: spec} if computed == name else task.encoders([computed], load)
        elif found.setdefault(each.identity, each) is not each:
            raise UsageError(
                f"two encoders are called {each.identity!r}", allowed="a mapping of labels to encoders: {'mine': ..}"
            )
    return found


def chosen_recommenders(
    task: Task[Any], recommenders: str | Scorer | Sequence[str | Scorer]
) -> dict[str, Scorer | MissingPartError]:
    """Return name -> recommender, or why it cannot be loaded.

    Args:
        task: The task, which knows what names stand for.
        recommenders: One or several names and objects.

    Raises:
        UnknownNameError: If nothing has one of the names.
        UsageError: If an object is no recommender, or has the name of another one.
    """
    found: dict[str, Scorer | MissingPartError] = {}
    for each in [recommenders] if isinstance(recommenders, str | Scorer) else recommenders:
        if isinstance(each, str):
            found |= task.recommenders([each])
            continue
        if not isinstance(each, Scorer):
            raise UsageError(
                f"{clipped(repr(each), 80)} is no recommender", allowed="a name, or an object of a class of Recommender"
            )
        _require_own_name(each)
        if found.setdefault(each.name, each) is not each:
            raise UsageError(f"two recommenders are called {each.name!r}", allowed="a name of its own for each")
    return found


def object_keys(
    scorers: Iterable[Scorer], recommenders: str | Scorer | Sequence[str | Scorer]
) -> dict[str, tuple[str, ...]]:
    """Return name -> what tells a recommender apart that is an object of this process, for those that are.

    Args:
        scorers: The recommenders.
        recommenders: How they were given.
    """
    given = [recommenders] if isinstance(recommenders, str | Scorer) else recommenders
    objects = {id(each) for each in given if not isinstance(each, str)}
    registered = {name for name in RECOMMENDERS.names() if RECOMMENDERS.origin(name).in_memory}
    return {each.name: _key_of(each) for each in scorers if id(each) in objects or each.name in registered}


def task_key(task: Task[Any]) -> tuple[str, ...]:
    """Return what tells a task apart that is an object of this process; nothing for one that a package brings."""
    return () if task.name in TASKS.names() and not TASKS.origin(task.name).in_memory else _key_of(task)


def _key_of(part: Scorer | Task[Any]) -> tuple[str, ...]:
    name, registry = part.name, TASKS if isinstance(part, Task) else RECOMMENDERS
    if name in registry.names() and not registry.origin(name).in_memory:
        return ()  # the registry's own object
    # The object is kept alive, since an id may be used again.
    return (_objects.setdefault(id(part), (part, f"in memory {uuid.uuid4().hex}"))[1],)


def _require_own_name(part: Scorer | Task[Any]) -> None:
    """Refuse an object that calls itself as something else does that the registry knows."""
    name, registry = part.name, TASKS if isinstance(part, Task) else RECOMMENDERS
    if name in registry.names() and registry.get(name) is not part:
        kind = registry.kind
        raise UsageError(f"an object calls itself {name!r}, as another {kind} does", allowed="a name of its own")


def ready_encoders(
    specs: Mapping[str, EncoderSpec | MissingPartError], dataset: Dataset
) -> tuple[dict[str, EncoderSpec], list[Unavailable]]:
    """Return the encoders that can run, bound to the data set that they learn from, and why the others cannot."""
    ready: dict[str, EncoderSpec] = {}
    unavailable: list[Unavailable] = []
    for name, spec in specs.items():
        if isinstance(spec, MissingPartError):
            unavailable.append(Unavailable(name, spec.what, spec.next_step, spec))
            continue
        bound = spec.tested_on(dataset)
        status = bound.status()
        if status.state == "ready":
            ready[name] = bound
        else:
            unavailable.append(Unavailable(name, status.text, status.next_step))
    return ready, unavailable


def ready_recommenders(
    scorers: Mapping[str, Scorer | MissingPartError], dataset: Dataset
) -> tuple[list[Scorer], list[Unavailable]]:
    """Return the recommenders that can run, and why the others cannot."""
    ready: list[Scorer] = []
    unavailable: list[Unavailable] = []
    for name, recommender in scorers.items():
        if isinstance(recommender, MissingPartError):
            unavailable.append(Unavailable(name, recommender.what, recommender.next_step, recommender))
        elif isinstance(recommender, Recommender) and (split := lacking(recommender, dataset)):
            reason = f"it learns from playlists, and the {split} split of {dataset.name!r} has none"
            unavailable.append(Unavailable(name, reason, "build the data set with train and valid playlists"))
        elif (lack := recommender.lacks(dataset)) is not None:
            unavailable.append(Unavailable(name, lack, None))
        else:
            ready.append(recommender)
    return ready, unavailable
