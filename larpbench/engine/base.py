"""What an engine is: it computes independent pieces of work, here or elsewhere. The usual one is this process.

Whoever has pieces of work asks `current` for the engine of the run, and gives it a function and items; what they
compute is the same to the bit on every engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, Self, TypeVar, cast

from larpbench.errors import StorageError

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What came of one piece of work.

    Attributes:
        item: Its place among the items.
        value: What the function returned.
        error: Why there is no value; None if there is one.
        attempts: How many times it was begun: more than once where workers were lost.
    """

    item: int
    value: R | None = None
    error: Exception | None = None
    attempts: int = 1

    def get(self) -> R:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return cast("R", self.value)


class Shared(Generic[T]):
    """Data that many items need: it travels as a stand-in, and an engine that sends it somewhere sends it once.

    Args:
        value: The data.
    """

    def __init__(self, value: T) -> None:
        self._value = value

    def get(self) -> T:
        """Return the data; in a worker its arrays are read-only."""
        return self._value


class Engine(ABC):
    """Computes pieces of work between its beginning and its end, as a context.

    Attributes:
        name: What it is called in messages.
        is_local: Whether it is this process: then nothing is gained by preparing work for it.
        workers: How many pieces it computes at once; known when it has begun.
        cpu_s: CPU seconds that other processes have spent on finished pieces.
    """

    name: str
    is_local: bool = False
    workers: int = 1
    cpu_s: float = 0.0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:  # noqa: B027 - there may be nothing to end
        """End, whatever has happened."""

    def expected_workers(self) -> int:
        """Return how many workers there would be, for estimates; nothing is started for it."""
        return self.workers

    def share(self, value: T) -> Shared[T]:
        """Return a stand-in for data, to be part of items, or of an argument that is bound to a function."""
        return Shared(value)

    @abstractmethod
    def outcomes(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[Outcome[R]]:
        """Yield what comes of ``function(item)``, in the order of the items; an error is a result.

        Where there are workers, items are taken and begun a few ahead of what is asked for, the first ones at once.

        Args:
            function: A function of a module, or a `functools.partial` of one.
            items: What it takes; what is large, or the same for many, is `share`d.

        Raises:
            StorageError: If a file cannot be written.
        """

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` in the order of the items, and raise the first error; see `outcomes`."""
        for outcome in self.outcomes(function, items):
            yield outcome.get()

    @abstractmethod
    def drain(
        self, starts: Sequence[Callable[[], Callable[[T], R]]], items: Sequence[tuple[int, T]]
    ) -> Iterator[Outcome[R]]:
        """Yield what comes of items as they are done, each by a worker that has made ready for its kind.

        Of a kind of which an item has failed by itself, no further item is begun: their outcomes are missing.

        Args:
            starts: For each kind a function that makes ready (builds an encoder, say) and returns what takes items.
            items: For each its kind, an index of `starts`, and what it is.

        Raises:
            StorageError: If a file cannot be written.
        """


class LocalEngine(Engine):
    """This process: one piece after the other, when it is asked for."""

    name = "local"
    is_local = True

    def outcomes(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[Outcome[R]]:
        """Yield outcomes in order, see `Engine.outcomes`."""
        for number, item in enumerate(items):
            yield _tried(number, function, item)

    def drain(
        self, starts: Sequence[Callable[[], Callable[[T], R]]], items: Sequence[tuple[int, T]]
    ) -> Iterator[Outcome[R]]:
        """Yield outcomes as they are done, see `Engine.drain`."""
        ready: tuple[int, Callable[[T], R]] | None = None
        failed: set[int] = set()
        for number, (kind, item) in enumerate(items):
            if kind in failed:
                continue
            if ready is None or ready[0] != kind:
                ready = (kind, starts[kind]())
            outcome = _tried(number, ready[1], item)
            failed |= {kind} if outcome.error else set()
            yield outcome


def _tried(number: int, function: Callable[[T], R], item: T) -> Outcome[R]:
    try:
        return Outcome(number, function(item))
    except StorageError:
        raise
    except Exception as error:
        return Outcome(number, error=error)


LOCAL = LocalEngine()
_current: ContextVar[Engine] = ContextVar("larpbench_engine", default=LOCAL)


def current() -> Engine:
    """Return the engine of the run that this code is a part of; in threads, and in workers, it is this process."""
    return _current.get()


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """Begin an engine, and let it be the current one as long as the block runs; then end it."""
    with engine:
        before = _current.set(engine)
        try:
            yield engine
        finally:
            _current.reset(before)
