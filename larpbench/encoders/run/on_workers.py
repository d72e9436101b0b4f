"""Encoding on the workers of an engine: one piece of work is one missing shard of the store.

A shard appears in the store whole or not at all, so that a worker that is killed, a second run beside this one and a
run after a kill are one case: what is missing is encoded. Encoders that can share a pass share it in a worker, too.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from larpbench import progress, storage
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.run import store as stores
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.together import Need, encoded_for, passes
from larpbench.encoders.spec import EncoderSpec
from larpbench.engine.base import Engine, Shared
from larpbench.engine.worker import require_places
from larpbench.errors import EngineError, LarpbenchError, StorageError, error_text

logger = logging.getLogger(__name__)
_LOOKS, _SECONDS_BETWEEN_LOOKS = 5, 2.0
"""How often, and how long apart, to look for a shard: a network file system hides a new file for a while."""


@dataclass(frozen=True)
class _Pass:
    """What a worker must know to encode shards of a split, of one encoder or of several that share a pass."""

    root: Path
    checkpoints: Path
    encoders: tuple[tuple[EncoderSpec, int], ...]
    dataset: Shared[Dataset]
    split_name: SplitName
    wait: float | None


class WorkerEncoding:
    """Encodes on an engine, and remembers what could not be encoded.

    Args:
        engine: Has workers.
        store: Where embeddings are kept: a folder that all workers see.
    """

    def __init__(self, engine: Engine, store: EmbeddingStore) -> None:
        self._engine, self._store = engine, store
        self._failed: dict[str, Exception] = {}  # by the key of the embeddings

    def encode(self, needs: Iterable[Need]) -> None:
        """Encode what is missing of vectors that somebody will ask for. What fails is raised by `require`.

        Args:
            needs: What will be asked for.

        Raises:
            StorageError: If the store cannot be written or read.
            EngineError: If the cluster is gone, or has no room.
        """
        passed = [self._not_failed(members) for members in passes(self._store, needs)]
        if not (groups := [members for members in passed if members]):
            return
        storage.make_folder(self._store.root)
        ended = self._encode(groups)
        alone = [[each] for members in ended for each in self._not_failed(members) if self._missing([each])]
        if alone:  # whoever ends the workers of a pass ends them alone, too, and the others of the pass do not
            self._encode(alone)
        for members in groups:
            self._require_seen(members)

    def _not_failed(self, members: Sequence[Need]) -> list[Need]:
        return [each for each in members if self._key(each) not in self._failed]

    def _encode(self, groups: Sequence[Sequence[Need]]) -> list[Sequence[Need]]:
        """Encode what is missing in passes; return the members of those that have ended as a whole."""
        shared: dict[int, Shared[Dataset]] = {}
        starts = [functools.partial(_ready, self._pass(members, shared)) for members in groups]
        items = [(kind, number) for kind, members in enumerate(groups) for number in self._missing(members)]
        sizes = [_tracks(groups[kind][0], number) for kind, number in items]
        what = f"encode {', '.join(dict.fromkeys(each.spec.identity for group in groups for each in group))}"
        named = what if len(what) < 60 else f"encode in {len(groups)} passes"
        ended: dict[int, Sequence[Need]] = {}
        with progress.stage(f"{named} on {self._engine.workers} workers", sum(sizes), "tracks") as advance:
            for outcome in self._engine.drain(starts, items):
                kind, number = items[outcome.item]
                members = groups[kind]
                for place, error in (outcome.value or {}).items():
                    self._fail(members[place], number, error)
                if outcome.error is not None and len(members) > 1:
                    ended[kind] = members
                elif outcome.error is not None:
                    self._fail(members[0], number, outcome.error)
                advance(sizes[outcome.item])
        return [*ended.values()]

    def require(self, need: Need) -> None:
        """Raise why vectors that are needed could not be encoded, if they could not.

        Raises:
            Exception: What ended the worker's try, or says that worker after worker was lost.
        """
        if self._failed:
            for each in encoded_for(self._store, need):
                if error := self._failed.get(self._key(each)):
                    raise error

    def _key(self, need: Need) -> str:
        return self._store.keys.embedding(need.spec, need.dataset, need.dataset.split(need.split_name), need.seed)

    def _pass(self, members: Sequence[Need], shared: dict[int, Shared[Dataset]]) -> _Pass:
        dataset = members[0].dataset
        if id(dataset) not in shared:
            shared[id(dataset)] = self._engine.share(dataset)
        encoders = tuple((each.spec, each.seed) for each in members)
        return _Pass(
            self._store.root.absolute(),
            self._store.checkpoints.absolute(),
            encoders,
            shared[id(dataset)],
            members[0].split_name,
            self._store.patience.seconds,
        )

    def _missing(self, members: Sequence[Need]) -> list[int]:
        found = (
            self._store.missing_numbers(each.spec, each.dataset, each.dataset.split(each.split_name), each.seed)
            for each in members
        )
        return sorted({number for numbers in found for number in numbers})

    def _fail(self, need: Need, number: int, error: Exception) -> None:
        """Keep why an encoder has failed, if it lacks the shard: in a pass it may be the others that have failed."""
        if number in self._missing([need]):
            self._failed.setdefault(self._key(need), _named(error, need, number))

    def _require_seen(self, members: Sequence[Need]) -> None:
        """Make sure that what workers have written is seen here."""
        lacking = self._not_failed(members)
        for _ in range(_LOOKS):
            if not (lacking := [each for each in lacking if self._missing([each])]):
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        for each in lacking:
            self._failed[self._key(each)] = EngineError(
                f"{len(self._missing([each]))} shards of {each.spec.identity} ({each.split_name}) that workers have "
                "written are not seen here",
                where=str(self._store.root),
                allowed="$LARPBENCH_HOME on a folder that all machines of the cluster share",
            )


def _named(error: Exception, need: Need, number: int) -> Exception:
    """Return an error that says which shard is missing, if it is one of the engine."""
    if not isinstance(error, EngineError):
        return error
    return EngineError(
        f"shard {number} of {need.spec.identity} ({need.split_name}) is missing: {error.what}",
        where=error.where,
        allowed=error.allowed,
        next_step=error.next_step or "run the same command again: it encodes what is missing",
    )


def _tracks(need: Need, number: int) -> int:
    size = stores.AUDIO_SHARD if need.spec.reads_audio else stores.TEXT_SHARD
    return min(size, len(need.dataset.split(need.split_name).track_ids) - number * size)


def _ready(what: _Pass) -> Callable[[int], dict[int, Exception]]:
    """Return what encodes a shard in this worker, with encoders that are built once.

    It returns why encoders of a pass have failed, by their places: the others go on. One that is alone raises that.
    """
    require_places([what.root])
    dataset = what.dataset.get()
    split = dataset.split(what.split_name)
    require_places([dataset.folder, *([split.audio.root] if split.audio else [])])
    store = EmbeddingStore(what.root, what.checkpoints, wait=what.wait)
    encoders = [(_built_once(spec), seed) for spec, seed in what.encoders]

    failed: dict[int, Exception] = {}

    def encode(number: int) -> dict[int, Exception]:
        going = {place: each for place, each in enumerate(encoders) if place not in failed}
        if len(going) > 1:
            try:
                store.encode_together([*going.values()], dataset, split, {number})
            except StorageError:
                raise
            except Exception:  # each meets it by itself, and says so
                logger.debug("a pass over %s failed", split.name, exc_info=True)
        for place, (spec, seed) in going.items():  # what is left, and the errors of those that have failed
            try:
                store.encode_shards(spec, dataset, split, seed, {number})
            except StorageError:
                raise
            except Exception as error:  # numerics, memory, or a plug-in: it may raise anything
                if len(encoders) == 1:
                    raise
                failed[place] = error if isinstance(error, LarpbenchError) else EngineError(error_text(error))
        return failed

    return encode


def _built_once(spec: EncoderSpec) -> EncoderSpec:
    """Return a spec that gives the same encoder each time, loaded and fitted once; none that starts processes."""
    return spec if spec.card.process_per_core else replace(spec, factory=_Once(spec.factory))


class _Once:
    """A factory that calls another one once."""

    def __init__(self, factory: Callable[[EncodeContext, str | None], Encoder]) -> None:
        self._factory = factory
        self._made: Encoder | None = None

    def __call__(self, context: EncodeContext, argument: str | None) -> Encoder:
        if self._made is None:
            made = self._made = self._factory(context, argument)
            for name in ("load", "fit"):
                if callable(getattr(made, name, None)):
                    with contextlib.suppress(AttributeError, TypeError):  # it cannot have attributes of others
                        setattr(made, name, _Call(getattr(made, name)))
        return self._made


class _Call:
    """A method that is called once, and again only with other arguments."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self._with: tuple[Any, ...] | None = None

    def __call__(self, *arguments: Any) -> None:  # noqa: ANN401
        if self._with is None or not _same(self._with, arguments):
            self._method(*arguments)
            self._with = arguments


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a is b or (isinstance(a, Path) and a == b) for a, b in pairs)
