"""Names: one lazy table of built-ins, plug-ins by entry point, and objects of this process that `register` adds.

Listing names imports nothing, and only the plug-ins that are asked for are imported: first in another process. A
plug-in that cannot be loaded, or that takes a built-in's name, is a `Problem` in a list and never an exception for
anybody else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Generic, TypeVar

from larpbench.errors import MissingPartError, UnknownNameError, UsageError
from larpbench.packages import import_endings
from larpbench.streams import aside, foreign

T = TypeVar("T")
_BUILT_IN = "larpbench"
_IN_MEMORY = "in memory"


@dataclass(frozen=True)
class Origin:
    """Where a name comes from.

    Attributes:
        distribution: The package that brought it, as pip knows it.
        version: That package's version.
        target: ``module:attribute``.
    """

    distribution: str
    version: str
    target: str

    @property
    def built_in(self) -> bool:
        """Whether larpbench itself brings it."""
        return self.distribution == _BUILT_IN

    @property
    def in_memory(self) -> bool:
        """Whether it is an object of this process, that no package brings."""
        return self.distribution == _IN_MEMORY

    @classmethod
    def of_object(cls, value: object) -> Origin:
        """Return the origin of an object of this process."""
        kind = value if inspect.isroutine(value) or isinstance(value, type) else type(value)
        return cls(_IN_MEMORY, "0", f"{kind.__module__}:{kind.__qualname__}")

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.target})"


@dataclass(frozen=True)
class Problem:
    """Something wrong with a plug-in: `kind` is ``clash`` or ``broken``."""

    kind: str
    name: str
    message: str


class Registry(Generic[T]):
    """Objects of one kind, by name.

    Args:
        kind: What it holds, in the singular, such as ``encoder``.
        base: Class that every object must be an instance of.
        builtins: name -> ``module:attribute``.
        group: Entry-point group of the plug-ins.
        name_of: What an object calls itself, in results; a plug-in must be registered under that name;
            None where objects have no name of their own.
    """

    def __init__(
        self,
        kind: str,
        base: type[T],
        builtins: Mapping[str, str],
        group: str,
        name_of: Callable[[T], str] | None = None,
    ) -> None:
        self.kind, self.group = kind, group
        self._name_of = name_of
        self._base = base
        self._builtins = dict(builtins)
        self._loaded: dict[str, T] = {}
        self._endings: dict[Origin, str | None] = {}
        self._objects: dict[str, Origin] = {}
        self._lock = threading.RLock()

    def names(self) -> list[str]:
        """Return all names, built-ins first, each part sorted."""
        return [*sorted(self._builtins), *sorted({*self._plugins(), *self._objects} - set(self._builtins))]

    def register(self, name: str, value: T, origin: Origin | None = None) -> None:
        """Add an object of this process; one of that name that was added before is replaced.

        Args:
            name: Its name.
            value: The object.
            origin: Where it comes from; by default its own class.

        Raises:
            UsageError: If a built-in or a plug-in has that name, or the object is of another kind.
        """
        if name in self._builtins or name in self._plugins():
            raise UsageError(
                f"{self.kind} {name!r} is taken by {self.origin(name)}", allowed="a name that nothing else has"
            )
        if not isinstance(value, self._base):
            raise UsageError(f"{self.kind} {name!r} is no {self._base.__name__} but a {type(value).__name__}")
        with self._lock:
            self._loaded[name] = value
            self._objects[name] = origin or Origin.of_object(value)

    def origin(self, name: str) -> Origin:
        """Return where `name` comes from.

        Raises:
            UnknownNameError: If nothing has that name.
        """
        if name in self._builtins:
            return Origin(_BUILT_IN, own_version(), self._builtins[name])
        if name in self._objects:
            return self._objects[name]
        if name in (plugins := self._plugins()):
            return plugins[name][0]
        raise UnknownNameError(self.kind, name, self.names())

    def get(self, name: str) -> T:
        """Import and return the object called `name`.

        Raises:
            UnknownNameError: If nothing has that name.
            MissingPartError: If it is there but cannot be loaded.
        """
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name, self.origin(name))
            return self._loaded[name]

    def probe(self, names: Iterable[str]) -> None:
        """Import the plug-ins among these names in another process, all in one before `get` takes one after the other.

        A single one needs no such call.
        """
        with self._lock:
            plugins = self._plugins()
            wanted = dict.fromkeys(name for name in names if name in plugins and name not in self._builtins)
            origins = {name: plugins[name][0] for name in wanted if name not in self._loaded}
            missing = {name: origin for name, origin in origins.items() if origin not in self._endings}
            entries = {self._entry(name, origin): origin for name, origin in missing.items()}
            self._endings |= {entries[entry]: how for entry, how in import_endings([*entries]).items()}

    def clashes(self) -> list[Problem]:
        """Return what names are taken from whom, where several bring one. Imports nothing."""
        found = []
        for name, brought in sorted(self._plugins().items()):
            origins = [*map(str, brought)]
            if name in self._builtins:
                message = f"{self.kind} {name!r} is built in; ignored: {', '.join(origins)}"
                found.append(Problem("clash", name, message))
            elif len(brought) > 1:
                message = f"{self.kind} {name!r} is taken from {origins[0]}; ignored: {', '.join(origins[1:])}"
                found.append(Problem("clash", name, message))
        return found

    def problems(self) -> list[Problem]:
        """Return all clashes and all plug-ins that cannot be loaded. Imports the plug-ins, not the built-ins."""
        found = self.clashes()
        names = sorted(set(self._plugins()) - set(self._builtins) - set(self._objects))
        self.probe(names)
        for name in names:
            try:
                self.get(name)
            except MissingPartError as error:
                found.append(Problem("broken", name, error.what))
        return found

    def _plugins(self) -> Mapping[str, list[Origin]]:
        """Return what brings each name; of several, the distribution first in the alphabet counts."""
        return _plugins_of(self.group, _changed())

    def _entry(self, name: str, origin: Origin) -> metadata.EntryPoint:
        return metadata.EntryPoint(name, origin.target, self.group)

    def _ending(self, entry: metadata.EntryPoint, origin: Origin) -> str | None:
        """Return how importing a plug-in ends a process; it is imported anew the next time if it does."""
        if origin not in self._endings:
            self._endings[origin] = import_endings([entry])[entry]
        return self._endings.pop(origin) if self._endings[origin] else None

    def _load(self, name: str, origin: Origin) -> T:
        entry = self._entry(name, origin)
        if not origin.built_in and (how := self._ending(entry, origin)):
            raise MissingPartError(
                f"{self.kind} {name!r} of {origin} cannot be loaded: importing it {how}",
                next_step=f"fix or uninstall it: pip uninstall {origin.distribution}",
            )
        try:
            with aside() if origin.built_in else foreign():
                value = entry.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in may raise anything while it is imported
            if origin.built_in:
                raise
            raise MissingPartError(
                f"{self.kind} {name!r} of {origin} cannot be loaded: {type(error).__name__}: {error}",
                next_step=f"fix or uninstall it: pip uninstall {origin.distribution}",
            ) from error
        if not isinstance(value, self._base):
            raise MissingPartError(
                f"{self.kind} {name!r} of {origin} is no {self._base.__name__} but a {type(value).__name__}",
                next_step=f"fix or uninstall it: pip uninstall {origin.distribution}",
            )
        if self._name_of and self._name_of(value) != name:
            raise MissingPartError(
                f"{self.kind} {name!r} of {origin} calls itself {self._name_of(value)!r}",
                next_step=f"fix or uninstall it: pip uninstall {origin.distribution}",
            )
        return value


@functools.cache
def own_version() -> str:
    """Return the version of larpbench that is installed."""
    try:
        return metadata.version(_BUILT_IN)
    except metadata.PackageNotFoundError:
        return "uninstalled"


def _changed() -> tuple[tuple[str, int], ...]:
    """Return the folders on the path, and when each has changed."""
    found = []
    for path in sys.path:
        with contextlib.suppress(OSError, ValueError):
            found.append((path, os.stat(path or ".").st_mtime_ns))  # noqa: PTH116 - at every look-up
    return tuple(found)


@functools.cache
def _plugins_of(group: str, changed: tuple[tuple[str, int], ...]) -> Mapping[str, list[Origin]]:
    found: dict[str, set[Origin]] = {}
    for entry in _entry_points(changed).select(group=group):
        found.setdefault(entry.name, set()).add(_origin_of(entry))
    return {name: sorted(origins, key=str) for name, origins in found.items()}


@functools.cache
def _entry_points(changed: tuple[tuple[str, int], ...]) -> Any:  # noqa: ANN401 - the class depends on Python's version
    """Read the metadata of all distributions, once as long as no folder on the path changes."""
    try:
        return metadata.entry_points()
    except Exception:  # some distribution's metadata make no sense: leave out that one
        found: dict[tuple[str, str, str], metadata.EntryPoint] = {}
        for distribution in metadata.distributions():
            with contextlib.suppress(Exception):
                for entry in distribution.entry_points:
                    found.setdefault((distribution.name, entry.group, entry.name), entry)
        return metadata.EntryPoints(found.values())


def _origin_of(entry: metadata.EntryPoint) -> Origin:
    distribution = entry.dist
    if distribution is None:
        return Origin("unknown", "0", entry.value)
    return Origin(distribution.name or "unknown", distribution.version or "0", entry.value)


def resolve(target: str) -> Any:  # noqa: ANN401 - it may be anything
    """Import and return what ``module:attribute`` names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
