"""Records are checked as they are read: against arithmetic, and against the playlists that lie beside them.

A record that says what no ranking can score, or what its own playlists do not say, is not used (protocol rule 10).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.errors import LarpbenchError
from larpbench.evaluation import bounds
from larpbench.evaluation.arithmetic import check_scores
from larpbench.evaluation.metrics import list_quality
from larpbench.fingerprint import digest_file_once
from larpbench.results.beyond import beyond_faults, column_intervals, concentration_faults
from larpbench.results.record import CellRecord, Metric
from larpbench.table_files import TABLE_ERRORS, parquet_schema, read_parquet
from larpbench.tasks import TASKS

_TOLERANCE = 1e-9
_SHARES = ("recall", "ndcg", "hit_rate", "mrr", "map", "unique_artist_share", "coverage")
"""Metrics that lie in [0, 1], whatever the task."""
_CARD = {"modalities": list, "weights": str, "licence": str, "training_data": str, "control": bool}
_SIZES = ("n_seeds", "n_heldout", "n_candidates")


def record_faults(record: CellRecord) -> tuple[str, ...]:
    """Return what is wrong with a record by itself, in words; nothing if it may be right."""
    if lacking := [name for name, kind in _CARD.items() if not isinstance(record.encoder.card.get(name), kind)]:
        return (f"the card of its encoder lacks {', '.join(lacking)}, or has another kind of value there",)
    tested = record.encoder.label or record.encoder.identity
    if (record.cell.encoder, record.cell.recommender) != (tested, record.recommender.name):
        return ("it names one encoder or recommender as its cell, and another one as what was tested",)
    if record.cell.dataset != record.dataset.name:
        return ("it names one data set as its cell, and another one as what was tested on",)
    if record.status == "failed":
        return () if record.failure else ("it failed, and does not say why",)
    if not record.metrics:
        return ("it has no metrics",)
    if record.counts is None:
        return ("it does not say what was counted",)
    found = [fault for metric in record.metrics for fault in _metric_faults(metric)]
    found += _spec_faults(record) if _is_built_in(record.cell.task) else ()
    names = [metric.name for metric in record.metrics]
    found += [f"{name} is there twice" for name in sorted({name for name in names if names.count(name) > 1})]
    found += [
        f"{metric.name} counts {metric.n} playlists, and the record {record.counts.playlists}"
        for metric in record.measured
        if metric.n != record.counts.playlists
    ]
    found += beyond_faults(record)
    found += _draw_faults(record)
    found += _cost_faults(record)
    draws = record.draws.values.values() if record.draws else ()
    shares = [*record.counts.tie_share.values(), *(each for values in draws for each in values)]
    found += [f"it holds a share of {each:.4g}" for each in shares if not -_TOLERANCE <= each <= 1 + _TOLERANCE]
    for name in ("recall", "hit_rate"):
        series = sorted((_cutoff(metric), metric.value) for metric in record.metrics if _base(metric) == name)
        found += [
            f"{name}@{large} is {high:.4g}, less than {name}@{small}, {low:.4g}"
            for (small, low), (large, high) in itertools.pairwise(series)
            if not low <= high + _TOLERANCE
        ]
    return tuple(found)


def playlist_faults(record: CellRecord, path: Path) -> tuple[str, ...]:
    """Return where a record and the Parquet file beside it contradict each other; its ranked lists are not read.

    Args:
        record: A record without `record_faults`.
        path: The Parquet file.
    """
    if record.status == "failed" or record.counts is None:
        return ()
    if not path.is_file():
        return (f"{path.name} is gone",)
    try:
        if record.playlists_sha256 and digest_file_once(path) != record.playlists_sha256:
            return (f"{path.name} is not the file that was written with it: its digest differs",)
        schema = parquet_schema(path)
        wanted = [metric.name for metric in record.measured if metric.name in schema]
        frame = read_parquet(path, [next(iter(schema)), *_SIZES, *wanted])
    except (OSError, *TABLE_ERRORS) as error:
        return (f"{path.name} cannot be read: {(str(error).splitlines() or [type(error).__name__])[0]}",)
    if frame.height != record.counts.playlists or frame[:, 0].is_duplicated().any():
        return (f"{path.name} does not hold {record.counts.playlists} different playlists",)
    values = _numbers(frame, (*_SIZES, *wanted))
    means = {name: float(values[name].mean()) for name in wanted}
    found = [
        f"{metric.name} is {metric.value:.6g}, and the mean over its playlists {means[metric.name]:.6g}"
        for metric in record.measured
        if metric.name in means and not math.isclose(metric.value, means[metric.name], abs_tol=_TOLERANCE)
    ]
    return (*found, *(_bound_faults(record, values) if _is_built_in(record.cell.task) else ()))


def list_faults(record: CellRecord, path: Path) -> tuple[str, ...]:
    """Return where the numbers of a record are not those that its ranked lists give.

    Args:
        record: A record without `playlist_faults`, of a task that larpbench brings.
        path: The Parquet file.
    """
    if record.status == "failed" or not _is_built_in(record.cell.task):
        return ()
    frame = read_parquet(path)
    return (*_interval_faults(record, frame), *_ranking_faults(record, frame))


def is_checked(record: CellRecord) -> bool:
    """Return whether a record holds the digest of its Parquet file; those of earlier versions do not."""
    return record.status == "failed" or record.playlists_sha256 is not None


def _draw_faults(record: CellRecord) -> Iterator[str]:
    values = {metric.name: metric.value for metric in record.metrics}
    for name, found in record.draws.values.items() if record.draws else ():
        if record.draws and len(found) != record.draws.n:
            yield f"it has {len(found)} draws of {name}, and says {record.draws.n}"
        elif name in values and not math.isclose(found[0], values[name], abs_tol=_TOLERANCE):
            yield f"the first draw of {name} is {found[0]:.4g}, and its value {values[name]:.4g}"


def _cost_faults(record: CellRecord) -> Iterator[str]:
    for name, value in record.costs.model_dump().items() if record.costs else ():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(each, int | float) and not 0 <= each < math.inf for each in numbers):
            yield f"its {name} is {value}"


def _spec_faults(record: CellRecord) -> Iterator[str]:
    """Yield what a record of a task that larpbench brings says or lacks, and no such record does."""
    smallest = record.counts.candidates_min if record.counts else 0
    metrics = {metric.name: metric for metric in record.metrics}
    for spec in TASKS.get(record.cell.task).metrics:
        metric = metrics.get(spec.column)
        if metric is None:
            continue  # an earlier version may not have had it: tables print n/a
        if (metric.ci_low is not None) != spec.per_query:
            yield f"{metric.name} {'lacks' if spec.per_query else 'has'} an interval"
        if (metric.chance is not None, metric.ceiling is not None) != (spec.quality, spec.quality):
            yield f"{metric.name} {'lacks' if spec.quality else 'has'} a chance or a ceiling"
        if metric.applicable != bool(spec.whole_list or spec.k < smallest):
            yield f"{metric.name} is {'' if metric.applicable else 'not '}applicable with {smallest} candidates"


def _metric_faults(metric: Metric) -> Iterator[str]:
    shown = (metric.value, metric.ci_low, metric.ci_high, metric.chance, metric.ceiling)
    numbers = [each for each in shown if each is not None]
    if not all(math.isfinite(each) for each in numbers):
        yield f"{metric.name} holds a number that is not finite"
        return
    share = metric.chance is not None or _base(metric) in _SHARES
    if share and not all(-_TOLERANCE <= each <= 1 + _TOLERANCE for each in numbers):
        yield f"{metric.name} holds {next(each for each in numbers if not 0 <= each <= 1):.4g}, which is not in [0, 1]"
    if metric.ci_low is not None and metric.ci_high is not None:
        if not metric.ci_low - _TOLERANCE <= metric.value <= metric.ci_high + _TOLERANCE:
            interval = f"[{metric.ci_low:.4g}, {metric.ci_high:.4g}]"
            yield f"{metric.name} is {metric.value:.4g}, outside of its interval {interval}"
    elif metric.ci_low is not metric.ci_high:
        yield f"the interval of {metric.name} lacks an end"
    if metric.ceiling is not None and max(metric.value, metric.chance or 0.0) > metric.ceiling + _TOLERANCE:
        yield f"{metric.name} or its chance is above the ceiling of {metric.ceiling:.4g}"
    if metric.hits < 0:
        yield f"{metric.name} rests on {metric.hits} hits"


def _bound_faults(record: CellRecord, values: dict[str, np.ndarray]) -> Iterator[str]:
    """Yield where chance, ceiling or the scores of single playlists are not what the playlists' sizes allow."""
    candidates, heldout = (values[name].astype(np.int64) for name in ("n_candidates", "n_heldout"))
    if (heldout < 1).any() or (candidates < heldout).any():
        yield "a playlist has no held-out track, or more of them than candidates"
        return
    yield from _count_faults(record, values)
    cutoffs = _cutoffs(record)
    chance, ceiling = (function(candidates, heldout, cutoffs) for function in (bounds.chance, bounds.ceiling))
    for metric in record.metrics:
        for what, stated, exact in (("chance", metric.chance, chance), ("ceiling", metric.ceiling, ceiling)):
            if metric.name in exact and stated is not None:
                right = float(exact[metric.name].mean())
                if not math.isclose(stated, right, abs_tol=_TOLERANCE):
                    yield f"the {what} of {metric.name} is {stated:.6g}, and for these playlists it is {right:.6g}"
    columns = {name: values[name] for name in ceiling if name in values}
    if columns.keys() == ceiling.keys():
        try:
            check_scores(columns, ceiling, heldout, cutoffs)
        except LarpbenchError as error:
            yield error.what


def _count_faults(record: CellRecord, values: dict[str, np.ndarray]) -> Iterator[str]:
    candidates, heldout, counts = values["n_candidates"], values["n_heldout"], record.counts
    if counts:
        stated = (counts.candidates_min, counts.candidates_mean, counts.heldout_mean)
        exact = (float(candidates.min()), float(candidates.mean()), float(heldout.mean()))
        if not np.allclose(stated, exact, rtol=0, atol=_TOLERANCE):
            yield f"it counts {stated} candidates and held-out tracks, and its playlists have {exact}"
    for metric in record.metrics:
        recall = values.get(f"recall@{_cutoff(metric)}")
        if recall is not None and metric.hits != (hits := round(float(recall @ heldout))):
            yield f"{metric.name} rests on {metric.hits} hits, and its playlists have {hits}"


def _interval_faults(record: CellRecord, frame: pl.DataFrame) -> Iterator[str]:
    metrics = [metric for metric in record.measured if metric.name in frame.columns and metric.ci_low is not None]
    if not metrics:
        return
    values = _numbers(frame, [metric.name for metric in metrics])
    stacked = np.stack([values[metric.name] for metric in metrics], axis=1)
    ends = column_intervals(stacked[None], [metric.name for metric in metrics])
    for metric, low, high in zip(metrics, *ends, strict=True):
        stated = (metric.ci_low, metric.ci_high)
        if not np.allclose(np.array(stated, dtype=np.float64), (low, high), rtol=0, atol=_TOLERANCE):
            yield f"the interval of {metric.name} is {list(stated)}, and that of its playlists {[low, high]}"


def _ranking_faults(record: CellRecord, frame: pl.DataFrame) -> Iterator[str]:
    """Yield where metrics differ from those of the ranked lists against the held-out tracks."""
    ranked = frame.select(pl.int_range(pl.len()).alias("row"), pl.col("ranked"), pl.col("scores"))
    flat = ranked.explode("ranked", "scores").drop_nulls("ranked")
    flat = flat.with_columns(place=pl.int_range(pl.len()).over("row"))
    if flat.select("row", "ranked").is_duplicated().any():
        yield "a list holds a track twice"
    falls = flat.select((pl.col("scores").diff().over("row") <= 0).fill_null(value=True).all()).item()
    if not falls:
        yield "the scores of a list do not fall"
    for name, metric in ((each.name, each) for each in record.measured if _base(each) == "coverage"):
        listed = flat.filter(pl.col("place") < _cutoff(metric))["ranked"].n_unique()
        share = listed / record.counts.tracks if record.counts else math.nan
        if not math.isclose(metric.value, share, abs_tol=_TOLERANCE):
            yield f"{name} is {metric.value:.6g}, and its lists hold {share:.6g} of all tracks"
    cuts = ((k, flat.filter(pl.col("place") < k)["ranked"].value_counts()) for k in _cutoffs(record))
    yield from concentration_faults(record, ((k, counts["count"].to_numpy()) for k, counts in cuts))
    if "heldout" not in frame.columns:
        return
    hidden = frame.select(pl.int_range(pl.len()).alias("row"), ranked=pl.col("heldout")).explode("ranked")
    n_heldout = frame["n_heldout"].to_numpy()
    if (frame["heldout"].list.n_unique().to_numpy() != n_heldout).any():
        yield "n_heldout is not the number of held-out tracks"
        return
    cutoffs = _cutoffs(record)
    found = flat.join(hidden, on=["row", "ranked"], how="semi").filter(pl.col("place") < cutoffs[-1])
    hits = np.zeros((frame.height, cutoffs[-1]), dtype=bool)
    hits[found["row"].to_numpy(), found["place"].to_numpy()] = True
    exact = list_quality(hits, n_heldout, cutoffs)
    stored = _numbers(frame, [metric.name for metric in record.metrics if metric.name in exact])
    for metric in record.metrics:
        if metric.name in exact and not np.allclose(exact[metric.name], stored[metric.name], rtol=0, atol=_TOLERANCE):
            yield f"{metric.name} of its playlists is not that of their lists: {exact[metric.name].mean():.6g}"
        if metric.hits != (count := int(hits[:, : _cutoff(metric)].sum())):
            yield f"{metric.name} rests on {metric.hits} hits, and the lists hold {count}"


def _is_built_in(task: str) -> bool:
    return task in TASKS.names() and TASKS.origin(task).built_in


def _cutoffs(record: CellRecord) -> tuple[int, ...]:
    return tuple(sorted({_cutoff(metric) for metric in record.metrics if _base(metric) == "recall"}))


def _base(metric: Metric) -> str:
    return metric.name.partition("@")[0]


def _cutoff(metric: Metric) -> int:
    digits = metric.name.partition("@")[2]
    return int(digits) if digits.isdecimal() else 0


def _numbers(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return columns by name as float64, NaN where there is none; one pass over all takes the time of one over each."""
    wanted = list(dict.fromkeys(names))
    found = frame.select(pl.col(wanted).cast(pl.Float64, strict=False).fill_null(math.nan))
    return {name: found[name].to_numpy() for name in wanted}
