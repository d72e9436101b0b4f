"""The part of a record beyond accuracy: how it is made of measures, and what contradicts it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from larpbench.errors import UsageError
from larpbench.evaluation.beyond.lists import gini
from larpbench.evaluation.beyond.measures import RANGES, SHARES, SIMILARITY, ListMeasurer, Measures
from larpbench.evaluation.statistics import bootstrap_interval, normal_interval
from larpbench.results.record import CellRecord, Metric
from larpbench.tasks.result import TaskResult

_TOLERANCE = 1e-9


def measured_result(result: TaskResult, measurer: ListMeasurer) -> tuple[TaskResult, tuple[Metric, ...]]:
    """Return a result with the measures of each query among its values, and the metrics of all of them.

    A task that does not say what its items are has no such metrics.
    """
    if result.context is None or result.heldout is None:
        return result, ()
    cutoffs = sorted(result.hits_at)
    measures = measurer.measure(result.lists, result.context, result.heldout, len(result.item_ids), cutoffs)
    return replace(result, values={**result.values, **measures.values}), _metrics(result, measures)


def _metrics(result: TaskResult, measures: Measures) -> tuple[Metric, ...]:
    columns = tuple(measures.values)
    ends: dict[str, tuple[float, float]] = {}
    if columns:
        lows, highs = column_intervals(np.stack([measures.values[each] for each in columns], axis=1)[None], columns)
        ends = {column: (float(low), float(high)) for column, low, high in zip(columns, lows, highs, strict=True)}
    found = []
    for column in sorted(measures.chance, key=_order):
        low, high = ends.get(column, (None, None))
        values, k = measures.values.get(column), cutoff(column)
        found.append(
            Metric(
                name=column,
                value=measures.totals[column] if values is None else float(values.mean()),
                ci_low=low,
                ci_high=high,
                chance=measures.chance[column],
                ceiling=None,
                n=len(result.query_ids),
                hits=result.hits_at[k],
                applicable=bool(k < result.n_candidates.min()),
            )
        )
    return tuple(found)


def column_intervals(values: np.ndarray, columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % intervals of means: score intervals of shares, normal intervals of what is no share.

    Args:
        values: (seeds, queries, columns) float64.
        columns: Metric names.

    Returns:
        Lower and upper end, each (columns,) float64.
    """
    lows, highs = (np.empty(len(columns)) for _ in range(2))
    unbounded = np.array([base(each) in RANGES and base(each) not in SHARES for each in columns])
    for chosen, interval in ((~unbounded, bootstrap_interval), (unbounded, normal_interval)):
        if chosen.any():
            lows[chosen], highs[chosen] = interval(values[:, :, chosen])
    return lows, highs


def by_one_encoder(found: Sequence[tuple[Path, CellRecord]]) -> list[tuple[Path, CellRecord]]:
    """Return records with the intra-list similarity by the newest second encoder only; that by others is dropped.

    Args:
        found: The records of one table, each with its path.
    """
    newest = max((each for _, each in found if each.similarity), key=lambda each: each.created, default=None)
    if newest is None:
        return list(found)
    return [
        (
            path,
            each if each.similarity in (None, newest.similarity) else each.model_copy(update={"beyond": _others(each)}),
        )
        for path, each in found
    ]


def _others(record: CellRecord) -> tuple[Metric, ...]:
    return tuple(metric for metric in record.beyond if base(metric.name) != SIMILARITY)


def similarity_notes(records: Sequence[CellRecord], columns: Sequence[str]) -> list[str]:
    """Return what must be known of the intra-list similarities of a table: by which encoder they are."""
    shown = [column for column in columns if base(column) == SIMILARITY]
    with_it = [record for record in records if len(_others(record)) < len(record.beyond)]
    by = {record.similarity.encoder for record in with_it if record.similarity}
    if not shown or not by:
        return []
    found = [f"{SIMILARITY}: the mean cosine of all pairs of a list, by the vectors of {', '.join(sorted(by))}."]
    if own := sorted(by & {record.cell.encoder for record in with_it}):
        found.append(f"The lists of {', '.join(own)} are compared by the same vectors that they were made with.")
    return found


def why_lacking(columns: Sequence[str]) -> str:
    """Return why results hold none of some metrics, and how they come to have them."""
    names = {base(column) for column in columns}
    if SIMILARITY in names:
        return "it comes with a new run (larpbench run --similarity-by ENCODER)"
    if names & RANGES.keys():
        return "an earlier version wrote them, and it comes with a new run (larpbench run --if always)"
    return "another version wrote them"


def require_measured(records: Iterable[CellRecord], lacking: Iterable[str]) -> None:
    """Refuse measures that no record holds, but that new ones would.

    Raises:
        UsageError: If there are some, with how they come to be there.
    """
    held = {base(metric.name) for record in records for metric in record.beyond}
    for name in lacking:
        if base(name) == SIMILARITY not in held:
            raise UsageError(f"no result holds {name}", next_step="larpbench run --similarity-by ENCODER")
        if base(name) in RANGES and not held:
            raise UsageError(
                f"no result holds {name}: an earlier version wrote them", next_step="larpbench run --if always"
            )


def beyond_faults(record: CellRecord) -> Iterator[str]:
    """Yield what is wrong with the measures of a record by themselves."""
    usual = {metric.name: metric.value for metric in record.metrics}
    names = [metric.name for metric in record.beyond]
    if len(set(names)) < len(names):
        yield "it holds a measure twice"
    for metric in record.beyond:
        low, high = RANGES.get(base(metric.name), (-math.inf, math.inf))
        numbers = [each for each in (metric.value, metric.ci_low, metric.ci_high, metric.chance) if each is not None]
        if not all(math.isfinite(each) for each in numbers):
            yield f"{metric.name} holds a number that is not finite"
        elif not all(low - _TOLERANCE <= each <= high + _TOLERANCE for each in (metric.value, metric.chance or 0.0)):
            yield f"{metric.name} or its chance is not in [{low:g}, {high:g}]"
        elif metric.ci_low is not None and not _between(metric.ci_low, metric.value, metric.ci_high):
            yield f"{metric.name} is {metric.value:.4g}, outside of its interval"
        if metric.chance is None:
            yield f"{metric.name} lacks a chance"
        if metric.name in usual and not math.isclose(usual[metric.name], metric.value, abs_tol=_TOLERANCE):
            yield f"{metric.name} is {usual[metric.name]:.6g} in one place and {metric.value:.6g} in another"
    if bool(record.similarity) != any(base(name) == SIMILARITY for name in names) and record.beyond:
        yield f"it names no encoder of its {SIMILARITY}, or has no such measure"


def concentration_faults(record: CellRecord, ranked: Iterable[tuple[int, np.ndarray]]) -> Iterator[str]:
    """Yield where the Gini coefficient of the tracks is not that of the ranked lists.

    Args:
        record: The record.
        ranked: K -> how often each listed item is in the first K of a list.
    """
    stated = {metric.name: metric.value for metric in record.beyond}
    for k, listed in ranked:
        name = f"gini@{k}"
        if record.counts is None or name not in stated or len(listed) > record.counts.tracks:
            continue
        counts = np.concatenate([listed, np.zeros(record.counts.tracks - len(listed), dtype=np.int64)])
        if not math.isclose(stated[name], right := float(gini(counts)), abs_tol=_TOLERANCE):
            yield f"{name} is {stated[name]:.6g}, and that of its lists {right:.6g}"


def base(column: str) -> str:
    """Return the name of a column without its K."""
    return column.partition("@")[0]


def cutoff(column: str) -> int:
    """Return the K of a column."""
    return int(column.partition("@")[2])


def _between(low: float, value: float, high: float | None) -> bool:
    return high is not None and low - _TOLERANCE <= value <= high + _TOLERANCE


def _order(column: str) -> tuple[int, int]:
    return list(RANGES).index(base(column)), cutoff(column)
