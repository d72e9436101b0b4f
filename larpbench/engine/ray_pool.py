"""Ray actors that drain a queue: each makes ready for a kind of item once, and is replaced if it is lost.

What an actor had begun when it was lost is begun again by another one, three times at most, whatever the reason: a
kill, the end of its machine, memory, the time-out. So one item that kills whoever takes it ends, and the others go on.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from larpbench import progress
from larpbench.engine.base import Outcome
from larpbench.engine.ray_cluster import require_ray, unsent
from larpbench.engine.worker import Answer, Surroundings, answered
from larpbench.errors import EngineError, StorageError, clipped, printable

RETRIES = 3
START_SECONDS = 300.0
"""How long to wait for a worker where there is none."""
_LOOK_SECONDS = 0.5
_LOW_ON_MEMORY = "running low on memory"


def reason_of(error: BaseException) -> str:
    """Return why Ray lost a worker, or could not send something, in a line."""
    error = getattr(error, "cause", None) or error  # of what a worker raised, Ray prints the whole way there
    exceptions, text = require_ray().exceptions, " ".join(str(error).split())
    if isinstance(error, exceptions.OutOfMemoryError) or _LOW_ON_MEMORY in text:
        return "its machine ran low on memory"
    if isinstance(error, exceptions.NodeDiedError):
        return "its machine is gone"
    if isinstance(error, (exceptions.WorkerCrashedError, exceptions.RayActorError)):
        return "its process ended: killed, out of memory, or a crash"
    return clipped(printable(text) or type(error).__name__, 200)


@dataclass
class _Work:
    number: int
    kind: int
    item: Any
    attempts: int = 0


@dataclass
class _Actor:
    handle: Any
    call: Any  # what it is doing
    kind: int | None = None
    work: _Work | None = None  # None: it is starting, or idle
    ready: bool = False
    began: float = field(default_factory=time.monotonic)


class Actors:
    """Actors of one queue.

    Args:
        around: What they must have.
        resources: CPUs and GPUs of each.
        most: How many at most.
        seconds: How long an item may take; None: there is no limit.
    """

    def __init__(self, around: Surroundings, resources: dict[str, float], most: int, seconds: float | None) -> None:
        self._ray = require_ray()
        self._around, self._most, self._seconds = around, most, seconds
        self._class = self._ray.remote(_Worker).options(**resources, max_restarts=0, max_task_retries=0)
        self._actors: list[_Actor] = []
        self._queue: deque[_Work] = deque()
        self._failed: set[int] = set()
        self._lost_at_start = 0

    def drained(
        self, starts: Sequence[Callable[[], Callable[[Any], Any]]], items: Sequence[tuple[int, Any]]
    ) -> Iterator[Outcome[Answer]]:
        """Yield the outcome of each item as it is done; see `larpbench.engine.base.Engine.drain`.

        Raises:
            EngineError: If no worker starts, or worker after worker is lost at its start.
            StorageError: If a worker cannot write.
        """
        self._queue.extend(_Work(number, kind, item) for number, (kind, item) in enumerate(items))
        kinds = []
        for kind, start in enumerate(starts):
            reference, error = self._sent(start)
            kinds.append(reference)
            first = next((work.number for work in self._queue if work.kind == kind), None)
            if error and first is not None:
                self._drop(kind)
                yield Outcome(first, error=error)
        seen = time.monotonic()  # a worker, or the beginning
        while self._queue or any(actor.work for actor in self._actors):
            self._hire()
            for actor in self._actors:
                if actor.ready and actor.work is None:
                    self._give(actor, kinds)
            if any(actor.ready for actor in self._actors):
                seen = time.monotonic()
            elif time.monotonic() - seen > START_SECONDS:
                raise EngineError(
                    f"no worker has started within {START_SECONDS:.0f} s: the cluster has no room",
                    next_step="ray status    (or fewer --workers, or run without --engine)",
                )
            for actor, is_late in self._done():
                if outcome := self._settled(actor, is_late):
                    yield outcome

    def end(self) -> None:
        """End all actors."""
        for actor in self._actors if self._ray.is_initialized() else ():  # else Ray would start anew
            self._kill(actor)
        self._actors = []

    def _sent(self, start: Callable[[], Any]) -> tuple[Any, EngineError | None]:
        """Return a reference to what makes a worker ready, or why there is none."""
        try:
            return self._ray.put(start), None
        except Exception as error:  # code of objects says how they are sent, and may raise anything
            return None, unsent("what a worker needs", error)

    def _hire(self) -> None:
        """Start actors for what waits."""
        idle = sum(actor.work is None for actor in self._actors)
        while len(self._actors) < self._most and idle < len(self._queue):
            handle = self._class.remote(self._around)
            self._actors.append(_Actor(handle, handle.begin.remote()))
            idle += 1

    def _give(self, actor: _Actor, kinds: Sequence[Any]) -> None:
        """Give an idle actor an item, best of the kind that it has made ready for."""
        if not self._queue:
            return
        work = next((each for each in self._queue if each.kind == actor.kind), self._queue[0])
        self._queue.remove(work)
        work.attempts += 1
        actor.work, actor.kind, actor.began = work, work.kind, time.monotonic()
        actor.call = actor.handle.take.remote(work.kind, [kinds[work.kind]], work.item)

    def _done(self) -> list[tuple[_Actor, bool]]:
        """Wait a little; return the actors that have something to say, and, as late, those that took too long."""
        calls = {actor.call: actor for actor in self._actors if actor.call is not None}
        if not calls:
            return []
        self._ray.wait([*calls], num_returns=1, timeout=_LOOK_SECONDS)
        ready, _ = self._ray.wait([*calls], num_returns=len(calls), timeout=0)  # what is done is not late
        late = [
            actor
            for call, actor in calls.items()
            if self._seconds and actor.work and call not in ready and time.monotonic() - actor.began > self._seconds
        ]
        for actor in late:
            self._kill(actor)
        return [*((calls[call], False) for call in ready), *((actor, True) for actor in late)]

    def _settled(self, actor: _Actor, is_late: bool) -> Outcome[Answer] | None:
        """Take what an actor has to say: an outcome, if it has ended a piece of work."""
        work, actor.work = actor.work, None
        call, actor.call = actor.call, None
        reason = f"it took more than {self._seconds:g} s" if is_late else ""
        try:
            answer = self._ray.get(call) if not reason else None
        except self._ray.exceptions.RayTaskError as error:  # what it got or gave cannot be sent
            answer = Answer(None, EngineError(reason_of(error)), 0.0, (), "")
        except self._ray.exceptions.RayError as error:
            answer, reason = None, reason_of(error)
        if answer is None:
            return self._lost(actor, work, reason)
        if isinstance(answer.error, StorageError):
            raise answer.error
        if work is None:
            if answer.error is not None:
                raise answer.error
            actor.ready, self._lost_at_start = True, 0
            return None
        if answer.error is not None:
            self._drop(work.kind)
        return Outcome(work.number, answer, answer.error, work.attempts)

    def _lost(self, actor: _Actor, work: _Work | None, reason: str) -> Outcome[Answer] | None:
        self._kill(actor)
        self._actors.remove(actor)
        if work is None:
            self._lost_at_start += not actor.ready
            if self._lost_at_start > RETRIES * self._most:
                raise EngineError(f"worker after worker is lost when it starts, the last one: {reason}")
            return None
        if work.attempts > RETRIES:
            return Outcome(
                work.number,
                error=EngineError(f"{work.attempts} workers were lost with it, the last one: {reason}"),
                attempts=work.attempts,
            )
        progress.say(f"warning: a worker was lost ({reason}); what it had begun is begun again")
        if work.kind not in self._failed:
            self._queue.append(work)
        return None

    def _drop(self, kind: int) -> None:
        """Begin no further item of a kind that has failed by itself."""
        self._failed.add(kind)
        self._queue = deque(each for each in self._queue if each.kind != kind)

    def _kill(self, actor: _Actor) -> None:
        with contextlib.suppress(Exception):  # it may be gone, and the cluster too
            self._ray.kill(actor.handle)


class _Worker:
    """An actor: what it has made ready for one kind, until an item of another one comes."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._kind: int | None = None
        self._ready: Callable[[Any], Any] | None = None

    def begin(self) -> Answer:
        """Make this process ready, and say where it is."""
        return answered(self._around, lambda: None)

    def take(self, kind: int, start: Sequence[Any], item: Any) -> Answer:  # noqa: ANN401
        """Compute one item; `start` holds a reference, which is looked at when it is needed."""
        return answered(self._around, lambda: self._made_ready(kind, start[0])(item))

    def _made_ready(self, kind: int, start: Any) -> Callable[[Any], Any]:  # noqa: ANN401
        if self._ready is None or self._kind != kind:
            self._ready, self._kind = None, kind  # the former is gone before the next is there
            self._ready = require_ray().get(start)()
        return self._ready
