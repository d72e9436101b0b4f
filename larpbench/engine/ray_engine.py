"""Ray as the engine: tasks for ordered work, actors for what must be made ready first. Ray schedules both."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, cast

from larpbench import progress
from larpbench.engine.base import Engine, Outcome, Shared
from larpbench.engine.ray_cluster import connect, is_running, put, require_ray, room, room_here, unsent
from larpbench.engine.ray_pool import RETRIES, Actors, reason_of
from larpbench.engine.worker import Answer, Surroundings, answered, surroundings, threads
from larpbench.errors import EngineError, StorageError

T = TypeVar("T")
R = TypeVar("R")


class RayEngine(Engine):
    """The machines of a Ray cluster.

    Each worker computes with as many threads as this process does, so that results are the same to the bit; it
    takes as many CPUs. A worker that is lost (killed, out of memory, its machine gone) is replaced, and what it had
    begun is begun again, three times at most.

    Args:
        address: ``auto`` or HOST:PORT of a cluster that is running; None: the one that ``$RAY_ADDRESS`` names, else
            one is started on this machine and ends with the block. Where the calling program has called ``ray.init``,
            that is used.
        workers: How many workers compute at once; None: as many as there is room for.
        gpus_per_worker: GPUs of a worker, also a part of one; None: 1 where the cluster has GPUs, else 0.
        shard_timeout: Seconds after which an item of `drain` is given up, and its worker ended; None: never.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        gpus_per_worker: float | None = None,
        shard_timeout: float | None = None,
    ) -> None:
        self.address, self.shard_timeout = address, shard_timeout
        self._wanted, self._gpus = workers, gpus_per_worker
        self._leaves, self._entered = False, 0
        self._around: Surroundings | None = None

    def __enter__(self) -> Self:
        """Connect, and see what room there is; inside a block of its own nothing happens.

        Raises:
            MissingPartError: If Ray is not installed.
            EngineError: If the cluster cannot be used.
            UsageError: If it has no room for such workers.
        """
        self._entered += 1
        if self._entered > 1:
            return self
        try:
            require_ray()
            self._leaves = connect(self.address, self._wanted)
        except BaseException:
            self._entered = 0
            raise
        try:
            found = room(max(threads()), self._wanted, self._gpus)
        except BaseException:
            self.__exit__()
            raise
        self.workers, self.cpu_s = found.workers, 0.0
        self._around = surroundings(found.cpus)
        self._resources = {"num_cpus": found.cpus, "num_gpus": found.gpus}
        return self

    def __exit__(self, *error: object) -> None:
        """Disconnect; a cluster that was started here ends."""
        self._entered -= 1
        if self._entered:
            return
        self._around = None
        if self._leaves:
            self._leaves = False
            require_ray().shutdown()

    def expected_workers(self) -> int:
        """Return how many workers there would be: a cluster that is running is asked, none is started.

        Raises:
            MissingPartError: If Ray is not installed.
            EngineError: If the cluster cannot be used.
            UsageError: If there is no room for such workers.
        """
        require_ray()
        if is_running(self.address):
            with self:
                return self.workers
        return room_here(max(threads()), self._wanted, self._gpus).workers

    def share(self, value: T) -> Shared[T]:
        """Put data into Ray's object store, and return a stand-in.

        Raises:
            EngineError: If it cannot be sent to another process, or there is no room for it.
        """
        return _InObjectStore(put(value, f"data of type {type(value).__name__}"))

    def outcomes(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[Outcome[R]]:
        """Yield outcomes in order, see `Engine.outcomes`: items are Ray tasks, and Ray places them."""
        return _Tasks(self, function).outcomes(iter(items), self.workers + 1)

    def drain(
        self, starts: Sequence[Callable[[], Callable[[T], R]]], items: Sequence[tuple[int, T]]
    ) -> Iterator[Outcome[R]]:
        """Yield outcomes as they are done, see `Engine.drain`: workers are Ray actors."""
        actors = Actors(self._surroundings, self._resources, min(self.workers, len(items)), self.shard_timeout)
        try:
            for outcome in actors.drained(starts, items):
                yield Outcome(outcome.item, self._taken(outcome.value), outcome.error, outcome.attempts)
        finally:
            actors.end()

    @property
    def _surroundings(self) -> Surroundings:
        if self._around is None:
            raise EngineError("the engine has not begun", next_step="use it as a context: with engine: ..")
        return self._around

    def _taken(self, answer: Any) -> Any:  # noqa: ANN401 - of any function
        """Return the value of an answer, after counting what it took and printing what it says."""
        if not isinstance(answer, Answer):
            return answer
        self.cpu_s += answer.cpu_s
        for line in answer.lines:
            progress.say(line)
        return answer.value


class _InObjectStore(Shared[T]):
    """Data in Ray's object store, which a machine fetches once."""

    def __init__(self, reference: Any) -> None:  # noqa: ANN401 - a ray.ObjectRef
        self._reference = reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InObjectStore) and bool(self._reference == other._reference)

    def __hash__(self) -> int:
        return hash(self._reference)

    def get(self) -> T:
        """Return the data, with arrays where they lie."""
        return cast("T", require_ray().get(self._reference))


class _Tasks:
    """The tasks of one call of `RayEngine.outcomes`."""

    def __init__(self, engine: RayEngine, function: Callable[[Any], Any]) -> None:
        self._ray, self._engine = require_ray(), engine
        # Lost workers are counted here: Ray itself begins what ran out of memory again without end.
        self._remote = self._ray.remote(_task).options(**engine._resources, max_retries=0)
        self._function = put(function, "a piece of work")
        self._around = engine._surroundings

    def outcomes(self, items: Iterator[Any], ahead: int) -> Iterator[Outcome[Any]]:
        begun: deque[tuple[Any, Any]] = deque()
        begun.extend((item, self._begin(item)) for item in itertools.islice(items, ahead))
        return self._ended(begun, items)

    def _begin(self, item: Any) -> Any:  # noqa: ANN401
        """Return a reference to what will come of an item, or why it cannot be sent."""
        try:
            return self._remote.remote(self._around, [self._function], item)
        except Exception as error:  # code of objects says how they are sent, and may raise anything
            return unsent("a piece of work", error)

    def _ended(self, begun: deque[tuple[Any, Any]], items: Iterator[Any]) -> Iterator[Outcome[Any]]:
        try:
            for number in itertools.count():
                if not begun:
                    return
                item, task = begun[0]
                outcome = self._outcome(number, item, task)
                begun.popleft()
                begun.extend((each, self._begin(each)) for each in itertools.islice(items, 1))
                yield outcome
        finally:
            for _, task in begun if self._ray.is_initialized() else ():  # else Ray would start anew
                if not isinstance(task, EngineError):
                    self._ray.cancel(task, force=True)

    def _outcome(self, number: int, item: Any, task: Any) -> Outcome[Any]:  # noqa: ANN401
        for attempt in range(1, RETRIES + 2):
            if isinstance(task, EngineError):
                return Outcome(number, error=task, attempts=attempt)
            try:
                answer = self._ray.get(task)
            except self._ray.exceptions.RayTaskError as error:  # what it got or gave cannot be sent
                return Outcome(number, error=EngineError(reason_of(error)), attempts=attempt)
            except self._ray.exceptions.RayError as error:
                reason = reason_of(error)
                if attempt <= RETRIES:
                    progress.say(f"warning: a worker was lost ({reason}); what it had begun is begun again")
                    task = self._begin(item)
                continue
            value = self._engine._taken(answer)
            if isinstance(answer.error, StorageError):
                raise answer.error
            return Outcome(number, value, answer.error, attempt)
        lost = EngineError(
            f"{RETRIES + 1} workers were lost with the same piece of work, the last one: {reason}",
            next_step="larpbench run again, with fewer --workers if memory is short",
        )
        return Outcome(number, error=lost, attempts=RETRIES + 1)


def _task(around: Surroundings, function: Sequence[Any], item: Any) -> Answer:  # noqa: ANN401
    """Compute one item in a worker; `function` holds a reference, since its module may be found only afterwards."""
    return answered(around, lambda: require_ray().get(function[0])(item))
