"""The shortest way from a model in memory to a table: plan, run and results in one call."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from larpbench.benchmark.choice import chosen_task
from larpbench.benchmark.plan import Plan, plan
from larpbench.benchmark.run import run
from larpbench.datasets.schema import Dataset
from larpbench.encoders.card import View
from larpbench.encoders.objects import EncoderLike
from larpbench.encoders.precomputed.memory import are_vectors
from larpbench.engine.base import Engine
from larpbench.errors import EmbeddingError, LarpbenchError, MissingPartError, UsageError
from larpbench.recommenders.base import DEFAULT_BUDGET, Scorer
from larpbench.results.removal import removal_part
from larpbench.results.results import Results, TemporaryFolder
from larpbench.results.rows import Table
from larpbench.results.store import Unusable, find_records
from larpbench.results.table import tables_beside
from larpbench.tasks.base import Task

logger = logging.getLogger(__name__)


def evaluate(
    encoders: EncoderLike | Sequence[EncoderLike] | Mapping[str, EncoderLike],
    data: Dataset | str | Path | None = None,
    *,
    recommenders: str | Scorer | Sequence[str | Scorer] | None = None,
    task: str | Task[Any] = "continuation",
    name: str | None = None,
    seeds: int = 3,
    limit: int | None = None,
    output: str | Path | None = None,
    task_options: Mapping[str, Any] = MappingProxyType({}),
    budget: int = DEFAULT_BUDGET,
    draws: int = 1,
    similarity_by: EncoderLike | None = None,
    device: str = "cpu",
    backend: str = "torch",
    modality: View | None = None,
    sample_rate: int | None = None,
    cache_key: str | None = None,
    allow_leaky: bool = False,
    report: Callable[[str], None] = logger.info,
    engine: str | Engine = "local",
) -> Results:
    """Test encoders on a data set and return the tables.

        >>> import larpbench, numpy as np
        >>> tracks = larpbench.load_dataset("demo").split("test").track_ids
        >>> vectors = np.random.default_rng(0).normal(size=(len(tracks), 64))
        >>> results = larpbench.evaluate({"mine": (tracks, vectors), "tfidf": "tfidf"})
        >>> results.compare("mine", "tfidf")

    Args:
        encoders: One encoder, several, or a mapping of labels to encoders. Each is a registered name, vectors
            (``(ids, array)``, a dict of id to vector, a frame of polars or pandas, a path), an object with ``encode``,
            a callable, or an `EncoderSpec`; see `larpbench.as_encoder`.
        data: A data set, its name or its folder; None: the embedded one of the task.
        recommenders: One or several, names or objects. None: itemknn, or the default ones of a task that has
            recommenders of its own, such as artist similarity and cold tracks.
        task: Name of the task, or the task itself.
        name: Label of the encoder, where there is only one.
        seeds: How many seeds random and learned parts run over; the others run once.
        limit: Of each split, only so many playlists are read, for a smoke run; None: all.
        output: Results folder: cells that have a result there are kept. None: a temporary folder, which goes with the
            results; `Results.save` keeps them.
        task_options: Options of the task.
        budget: How many trials the tuning of a learned recommender has.
        draws: How many draws of the test playlists' seeds and held-out tracks are scored.
        similarity_by: A second encoder, by whose vectors the intra-list similarity is measured; None: it is not.
        device: Where tracks are ranked: ``cpu``, or ``cuda``, which gives the same lists.
        backend: What computes encoders that have a variant for it, ``NAME:openvino``: ``torch`` or ``openvino``.
        modality: What callables read: ``text`` (a list of captions) or ``audio`` (an array of shape (n, samples)).
        sample_rate: Sample rate in Hz of the audio that they get.
        cache_key: Text that stands for the vectors of objects: they are stored under it and used again. Without it an
            object is encoded anew, and its key is the digest of its vectors.
        allow_leaky: Whether vectors that a data set brings are tested although they were made from listening.
        report: Receives one line for each cell.
        engine: What computes: ``local``, this process; ``ray`` or ``ray:HOST:PORT``, workers; see `larpbench.run`.
            Objects without a `cache_key` are encoded in this process.

    Returns:
        The tables of the output folder for the tested data. If some encoders fail, the others are there, and a warning
        names those that failed.

    Raises:
        UsageError: If an argument makes no sense.
        UnknownNameError: If a name is unknown.
        MissingPartError: If none of the encoders and recommenders can run here.
        EmbeddingError: If all of them fail. An only encoder's own error is raised as it is.
    """
    if name is not None:
        encoders = _named(encoders, name)
    temporary = TemporaryFolder() if output is None else None
    chosen = chosen_task(task)
    if recommenders is None:
        recommenders = "itemknn" if type(chosen).recommenders is Task.recommenders else "default"
    planned = plan(
        chosen.default_dataset if data is None else data,
        encoders=encoders,
        recommenders=recommenders,
        task=task,
        task_options=task_options,
        seeds=seeds,
        budget=budget,
        draws=draws,
        limit=limit,
        similarity_by=similarity_by,
        device=device,
        backend=backend,
        output=temporary.path if temporary else Path(output or "").absolute(),
        modality=modality,
        sample_rate=sample_rate,
        cache_key=cache_key,
        allow_leaky=allow_leaky,
    )
    if not planned.cells:
        raise _refusal(planned)
    summary = run(planned, report, engine=engine)
    lost = {
        each.name: each.reason + (f"; next: {each.next_step}" if each.next_step else "") for each in planned.unavailable
    }
    lost |= {str(cell.cell): message for cell, message in summary.failed}
    if len(summary.failed) == len(planned.cells):
        raise EmbeddingError("; ".join(f"{what}: {reason}" for what, reason in lost.items()))
    for what, reason in lost.items():
        warnings.warn(f"not tested: {what}: {reason}", stacklevel=2)
    tables, unusable = tables_of([planned])
    for each in unusable:
        warnings.warn(f"skipped, unusable: {each}", stacklevel=2)
    return Results(tables, planned.output, temporary)


def _refusal(planned: Plan) -> LarpbenchError:
    """Return the error for a plan without a cell: what an only encoder raised, or else all reasons together."""
    lost = planned.unavailable
    first = lost[0].error if lost else None
    if len(lost) == 1 and isinstance(first, LarpbenchError):
        return first
    error = (
        EmbeddingError
        if any(each.error and not isinstance(each.error, MissingPartError) for each in lost)
        else MissingPartError
    )
    refusal = error(
        "; ".join(f"{each.name}: {each.reason}" for each in lost) or "there is nothing to run",
        next_step="; ".join(each.next_step for each in lost if each.next_step) or None,
    )
    refusal.__cause__ = first
    return refusal


def tables_of(plans: Sequence[Plan]) -> tuple[list[Table], list[Unusable]]:
    """Return the tables of the data of plans with one output, and the other results in it that cannot be used.

    Raises:
        DataError: If there are no results.
    """
    found, unusable = find_records(plans[0].output)
    shown = []
    for planned in plans:
        own = {each.path for each in planned.cells}
        tested = next(record for path, record in found if path in own)
        shown += [table for table in tables_beside(found, tested) if table.removal == removal_part(planned.removal)]
    return shown, unusable


def _named(
    encoders: EncoderLike | Sequence[EncoderLike] | Mapping[str, EncoderLike], name: str
) -> Mapping[str, EncoderLike]:
    is_model = hasattr(encoders, "encode") or are_vectors(encoders)
    several = isinstance(encoders, list | tuple | Mapping) and not is_model
    if several and len(encoders) != 1:
        raise UsageError(
            f"name={name!r} is one label for {len(encoders)} encoders", allowed="a mapping of labels to encoders"
        )
    if several:
        encoders = next(iter(encoders.values() if isinstance(encoders, Mapping) else encoders))
    return {name: encoders}
