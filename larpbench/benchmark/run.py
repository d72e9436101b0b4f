"""Carries a plan out: encode, rank, score, record; cell by cell, each written as soon as it is done."""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.benchmark.learned import splits_read
from larpbench.benchmark.plan import Plan, PlannedCell, cell_state, default_store
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.datasets.splits.rules import redraw_test
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import encoder_origin
from larpbench.encoders.run.store import EmbeddingStore, StoredEmbeddings
from larpbench.encoders.run.training import ensure_trained
from larpbench.errors import LarpbenchError, StorageError, error_text
from larpbench.evaluation.metrics import MetricSpec
from larpbench.evaluation.statistics import INTERVAL, bootstrap_interval
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import TUNING_SEED, LearnedRecommender, Scorer, TrainData, ValidData
from larpbench.recommenders.tuning import Learner, Trial, Tuned, at_once
from larpbench.registry import Registry
from larpbench.results.record import (
    CellName,
    CellRecord,
    Costs,
    Counts,
    DatasetPart,
    DrawsPart,
    EncoderPart,
    Failure,
    FitPart,
    Metric,
    RecommenderPart,
    TrainingPart,
    TrialPart,
)
from larpbench.results.removal import removal_part
from larpbench.results.store import Unusable, cell_lock, read_record, set_aside, sweep, usable_record, write_record
from larpbench.runtime import Cost, machine, measured, torch_device, versions
from larpbench.streams import aside
from larpbench.tasks import TASKS
from larpbench.tasks.base import Fit, Task, TaskResult
from larpbench.tasks.overlap import Removal
from larpbench.tasks.validation import validation_recall

logger = logging.getLogger(__name__)
_TOLD_ELSEWHERE = {
    *("encoder", "method", "settings", "seed", "start", "train_tracks"),
    *("trained_on", "trained_on_folder", "trained_on_fingerprint", "wall_s", "cpu_s"),
}


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes:
        computed: Cells that were computed.
        kept: Cells whose record was there already.
        failed: Cells that failed, with the message.
    """

    computed: tuple[PlannedCell, ...]
    kept: tuple[PlannedCell, ...]
    failed: tuple[tuple[PlannedCell, str], ...]


@aside()
def run(plan: Plan, store: EmbeddingStore | None = None, report: Callable[[str], None] = logger.info) -> RunSummary:
    """Run the cells of a plan that are to run.

    A cell that fails is recorded as failed and the others go on; a file that cannot be written ends the run, with
    everything finished in place.

    Args:
        plan: What to run.
        store: Where embeddings are kept; default under the home folder.
        report: Receives one line a cell.

    Raises:
        StorageError: If results or embeddings cannot be written.
    """
    store = store or default_store()
    sweep(plan.output)
    computed: list[PlannedCell] = []
    failed: list[tuple[PlannedCell, str]] = []
    kept = [planned for planned in plan.cells if not planned.to_run]
    learner = Learner(plan.budget)
    for number, planned in enumerate(plan.to_run, start=1):
        with cell_lock(plan.output, planned.key):
            if planned.state in ("missing", "damaged") and _is_done(planned):
                kept.append(planned)
                continue
            report(f"[{number}/{len(plan.to_run)}] {planned.cell}")
            _keep_unusable(planned.path, report)
            failure = _run_cell(plan, planned, store, learner)
        if failure is None:
            computed.append(planned)
        else:
            failed.append((planned, failure))
            report(f"  failed: {failure}")
    return RunSummary(tuple(computed), tuple(kept), tuple(failed))


def _keep_unusable(path: Path, report: Callable[[str], None]) -> None:
    """Rename a record that cannot be used: it is not overwritten."""
    if path.exists() and isinstance(found := usable_record(path), Unusable):
        report(f"  the earlier result cannot be used: {found}")
        report(f"  it is kept as {set_aside(path).name}")


def _is_done(planned: PlannedCell) -> bool:
    """Whether an earlier run, or another one in the meantime, has finished the cell."""
    return cell_state(planned.path) in ("done", "stale")


def _run_cell(plan: Plan, planned: PlannedCell, store: EmbeddingStore, learner: Learner) -> str | None:
    """Compute and record one cell; return the message of its failure, if any."""
    try:
        stored, checkpoint = _embedded(plan, planned, store, planned.cell.seed)
        vectors: dict[SplitName, np.ndarray] = {name: each.vectors for name, each in stored.items()}
        recommender, tuned, fit_s = _fitted(plan, planned, store, learner, vectors)
        with measured() as cost:
            result = plan.task.execute(plan.tested, vectors, recommender)
            metrics = summarise(result, plan.task.metrics)
            draws = _draws(plan, vectors, recommender, metrics)
        record = _record(plan, planned, status="ok").model_copy(
            update={
                "metrics": metrics,
                "training": _training(planned.spec.source, checkpoint) if checkpoint and planned.spec.source else None,
                "counts": _counts(result, plan.removal),
                "diagnostics": dict(result.diagnostics),
                "draws": draws,
                "warnings": tuple(dict.fromkeys(text for each in stored.values() for text in each.warnings)),
                "playlists_file": planned.path.with_suffix(".playlists.parquet").name,
                "costs": _costs(plan, stored, cost, checkpoint),
            }
        )
        if result.fit:
            record = _with_fit(record, planned.recommender, result.fit)
        if tuned:
            record = _with_tuning(record, tuned, fit_s, plan.budget)
    except (StorageError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in may raise anything; the other cells must go on
        logger.debug("cell failed", exc_info=True)
        message = str(error) if isinstance(error, LarpbenchError) else error_text(error)
        if not _is_done(planned):  # what an earlier run has finished stays
            failure = Failure(kind=type(error).__name__, message=message)
            failed = _record(plan, planned, status="failed").model_copy(update={"failure": failure})
            write_record(planned.path, failed, None)
        return message
    write_record(planned.path, record, result)
    return None


def _embedded(
    plan: Plan, planned: PlannedCell, store: EmbeddingStore, seed: int
) -> tuple[dict[SplitName, StoredEmbeddings], Path | None]:
    """Return the vectors of all splits that a cell reads, and the checkpoint of its encoder if that is trained.

    Tested tracks that leave (rule 13) are encoded, so that vectors are shared with other runs, and then dropped.
    """
    seed = seed if planned.spec.card.stochastic else 0
    checkpoint = ensure_trained(store, planned.spec, seed, validation_recall)
    splits = splits_read(plan.task, planned.recommender)
    stored = {name: store.embed(planned.spec, plan.dataset, name, seed) for name in splits}
    if plan.removal and "test" in stored:
        stored["test"] = replace(stored["test"], vectors=stored["test"].vectors[plan.removal.kept])
    return stored, checkpoint


def _fitted(
    plan: Plan, planned: PlannedCell, store: EmbeddingStore, learner: Learner, vectors: dict[SplitName, np.ndarray]
) -> tuple[Scorer, Tuned | None, float]:
    """Return the recommender ready to be asked, its tuning if it was tuned, and the seconds of its fit."""
    kind, cell = planned.recommender, planned.cell
    if not isinstance(kind, LearnedRecommender):
        return kind, None, 0.0
    name = f"{cell.encoder} x {cell.recommender}"
    if not learner.knows(name):
        tuning = next(each for each in plan.cells if each.cell == replace(cell, seed=TUNING_SEED))
        if cell.seed == TUNING_SEED:
            learner.tune(name, kind, *_learning_data(plan, vectors))
        elif _is_done(tuning):
            learner.remember(name, _remembered(read_record(tuning.path).recommender))
        else:
            learner.tune(name, kind, *_learning_data_of(plan, planned, store, TUNING_SEED))
    data = _learning_data(plan, vectors)
    if (more := at_once(kind, data[0]) - 1) and not learner.is_fitted(name, cell.seed):
        learner.fit_ahead(name, kind, {cell.seed: data} | _later_seeds(plan, planned, store, more))
    return learner.fitted(name, kind, cell.seed, *data)


def _later_seeds(
    plan: Plan, planned: PlannedCell, store: EmbeddingStore, most: int
) -> dict[int, tuple[TrainData, ValidData]]:
    """Return what the next seeds of a cell learn from; those that cannot be encoded are left to their own cells."""
    cell, data = planned.cell, {}
    seeds = [each.cell.seed for each in plan.to_run if replace(each.cell, seed=cell.seed) == cell]
    for seed in [each for each in seeds if each > cell.seed][:most]:
        with contextlib.suppress(Exception):  # a plug-in may raise anything
            data[seed] = _learning_data_of(plan, planned, store, seed)
    return data


def _learning_data_of(
    plan: Plan, planned: PlannedCell, store: EmbeddingStore, seed: int
) -> tuple[TrainData, ValidData]:
    """Return what a cell learns from with another seed."""
    stored, _ = _embedded(plan, planned, store, seed)
    return _learning_data(plan, {split: each.vectors for split, each in stored.items()})


def _learning_data(plan: Plan, vectors: dict[SplitName, np.ndarray]) -> tuple[TrainData, ValidData]:
    """Return all that tuning and fitting are given: nothing of test."""
    train, valid = plan.dataset.split("train"), plan.dataset.split("valid")
    return TrainData(train, vectors["train"]), ValidData(valid, vectors["valid"])


def _with_tuning(record: CellRecord, tuned: Tuned, fit_s: float, budget: int) -> CellRecord:
    """Return a record that also tells what was chosen, from what, and what it took."""
    trials = tuple(
        TrialPart(params=each.params, valid_recall=each.valid_recall, failure=each.failure) for each in tuned.trials
    )
    seconds = tuple(each.seconds for each in tuned.trials)
    part = record.recommender.model_copy(update={"params": tuned.params, "budget": budget, "trials": trials})
    costs = record.costs and record.costs.model_copy(update={"fit_wall_s": fit_s, "trial_wall_s": seconds})
    return record.model_copy(update={"recommender": part, "costs": costs})


def _with_fit(record: CellRecord, recommender: Scorer, fit: Fit) -> CellRecord:
    """Return a record that also tells what the task itself learnt, and what of the cell's time that was."""
    part = FitPart(settings=dict(recommender.settings), facts=dict(fit.facts))
    recommender_part = record.recommender.model_copy(update={"fit": part})
    if record.costs is None:
        return record.model_copy(update={"recommender": recommender_part})
    spent = {
        "fit_wall_s": fit.cost.wall_s,
        "score_wall_s": record.costs.score_wall_s - fit.cost.wall_s,
        "score_cpu_s": record.costs.score_cpu_s - fit.cost.cpu_s,
    }
    return record.model_copy(update={"recommender": recommender_part, "costs": record.costs.model_copy(update=spent)})


def _remembered(part: RecommenderPart) -> Tuned:
    trials = tuple(Trial(each.params, each.valid_recall, 0.0, each.failure) for each in part.trials)
    return Tuned(part.params, trials, None)


def summarise(result: TaskResult, specs: tuple[MetricSpec, ...]) -> tuple[Metric, ...]:
    """Return the means of a cell with intervals, chance and ceiling."""
    per_query = [spec for spec in specs if spec.per_query]
    stacked = np.stack([result.values[spec.column] for spec in per_query], axis=1)
    lows, highs = bootstrap_interval(stacked[None])
    intervals = {spec.column: (float(lows[i]), float(highs[i])) for i, spec in enumerate(per_query)}
    n = len(result.query_ids)
    metrics = []
    for spec in specs:
        low, high = intervals.get(spec.column, (None, None))
        value = result.totals.get(spec.column)
        metrics.append(
            Metric(
                name=spec.column,
                value=float(result.values[spec.column].mean()) if value is None else value,
                ci_low=low,
                ci_high=high,
                chance=float(result.chance[spec.column].mean()) if spec.quality else None,
                ceiling=float(result.ceiling[spec.column].mean()) if spec.quality else None,
                n=n,
                hits=result.hits_at[spec.k],
                applicable=bool(spec.whole_list or spec.k < result.n_candidates.min()),
            )
        )
    return tuple(metrics)


def _draws(
    plan: Plan, vectors: dict[SplitName, np.ndarray], recommender: Scorer, first: tuple[Metric, ...]
) -> DrawsPart | None:
    """Score the same vectors on other draws of the test playlists' halves."""
    if plan.draws == 1:
        return None
    values = {metric.name: [metric.value] for metric in first if metric.chance is not None}
    for draw in range(1, plan.draws):
        result = plan.task.execute(redraw_test(plan.tested, draw), vectors, recommender)
        for name, found in values.items():
            found.append(float(result.values[name].mean()))
    return DrawsPart(n=plan.draws, values={name: tuple(found) for name, found in values.items()})


def _counts(result: TaskResult, removal: Removal | None) -> Counts:
    emptied = {"only tracks that were trained on": removal.emptied} if removal else {}
    return Counts(
        playlists=len(result.query_ids),
        left_out={**result.left_out, **emptied},
        tracks=len(result.item_ids),
        candidates_min=int(result.n_candidates.min()),
        candidates_mean=float(result.n_candidates.mean()),
        heldout_mean=float(result.n_heldout.mean()),
        tie_share={str(k): share for k, share in result.tie_share.items()},
    )


def _costs(plan: Plan, stored: dict[SplitName, StoredEmbeddings], score: Cost, checkpoint: Path | None) -> Costs:
    card = read_card(checkpoint) if checkpoint else {}
    encode_wall = sum(each.cost.wall_s for each in stored.values())
    tracks = sum(len(plan.dataset.split(name).track_ids) for name in stored)
    return Costs(
        encode_wall_s=encode_wall,
        encode_cpu_s=sum(each.cost.cpu_s for each in stored.values()),
        tracks_per_second=tracks / encode_wall if encode_wall else None,
        train_wall_s=card.get("wall_s", 0.0),
        train_cpu_s=card.get("cpu_s", 0.0),
        score_wall_s=score.wall_s,
        score_cpu_s=score.cpu_s,
        peak_memory_mb=score.peak_memory_mb,
        dim=next((each.vectors.shape[1] for each in stored.values()), 0),
    )


def _record(plan: Plan, planned: PlannedCell, status: str) -> CellRecord:
    manifest, spec, cell = plan.dataset.manifest, planned.spec, planned.cell
    return CellRecord.model_validate(
        {
            "protocol": plan.task.protocol,
            "interval": INTERVAL,
            "key": planned.key,
            "row_key": planned.row_key,
            "cell": CellName(**asdict(cell)),
            "status": status,
            "dataset": DatasetPart(
                name=manifest.name,
                fingerprint=manifest.fingerprint,
                digests=manifest.digests,
                source=manifest.source,
                licence=manifest.licence,
                caption_template=manifest.caption_template,
                split=manifest.split.model_dump(mode="json"),
                notes=manifest.notes,
            ),
            "removal": removal_part(plan.removal),
            "encoder": EncoderPart(
                identity=spec.identity,
                card=spec.card.model_dump(mode="json"),
                embeddings_key=planned.embedding_key,
                weights_digest=spec.weights_digest(EncodeContext(cell.seed, plan.dataset.folder))
                if status == "ok"
                else None,  # a file that is gone is what it may have failed for
                origin=encoder_origin(spec, TASKS.origin(plan.task.name)),
                learnt_from=" and ".join(sorted({source.name for source in spec.sources})) or None,
            ),
            "recommender": RecommenderPart(
                name=planned.recommender.name,
                version=planned.recommender.version,
                origin=_origin(RECOMMENDERS, planned.recommender.name, plan.task),
            ),
            "versions": versions(),
            "machine": {**machine(), "device": torch_device()},
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        }
    )


def _training(source: Dataset, checkpoint: Path) -> TrainingPart:
    card = read_card(checkpoint)
    history = [
        {name: entry[name] for name in entry if name != "seconds"} if isinstance(entry, dict) else entry
        for entry in card.get("history", [])
    ]
    return TrainingPart(
        checkpoint=checkpoint.name,
        method=card["method"],
        settings=card["settings"],
        trained_on=source.name,
        trained_on_fingerprint=source.manifest.fingerprint,
        facts={name: card[name] for name in card if name not in _TOLD_ELSEWHERE} | {"history": history},
    )


def _origin(registry: Registry[Any], name: str, task: Task[Any]) -> dict[str, str]:
    origin = registry.origin(name) if name in registry.names() else TASKS.origin(task.name)  # or it belongs to the task
    return {"distribution": origin.distribution, "version": origin.version, "target": origin.target}
