"""Recording: from the scores of a cell to its record."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from larpbench import storage
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import encoder_origin
from larpbench.encoders.run.store import StoredEmbeddings
from larpbench.errors import LarpbenchError, error_text
from larpbench.evaluation.metrics import MetricSpec
from larpbench.evaluation.statistics import INTERVAL, bootstrap_interval
from larpbench.paths import hide_folders
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import TUNING_VERSION, Scorer
from larpbench.recommenders.tuning import Fitted
from larpbench.registry import Origin
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
    LayersPart,
    Metric,
    RungPart,
    SimilarityPart,
    TrainingPart,
    TrialPart,
    ValidationPart,
)
from larpbench.results.removal import removal_part
from larpbench.runtime import Cost, machine, torch_device, versions
from larpbench.tasks import TASKS
from larpbench.tasks.base import Task
from larpbench.tasks.cells import BoundCell
from larpbench.tasks.overlap import Removal
from larpbench.tasks.result import TaskResult

_RECORDED_ELSEWHERE = {
    *("encoder", "method", "settings", "seed", "start", "train_tracks"),
    *("trained_on", "trained_on_folder", "trained_on_fingerprint", "wall_s", "cpu_s"),
}


class Recorder:
    """Makes the records of one run.

    Args:
        task: The task.
        dataset: The data set that is tested, before anything is removed.
        removal: What protocol rule 13 removes; None if nothing.
        config: Digest of the file that describes the run, if there is one.
    """

    def __init__(self, task: Task[Any], dataset: Dataset, removal: Removal | None, config: str | None = None) -> None:
        self._task, self._dataset, self._removal, self._config = task, dataset, removal, config

    def failed(self, cell: BoundCell, error: BaseException) -> CellRecord:
        """Return the record of a cell that failed; no file of its encoder is read, which may be why it failed."""
        message = hide_folders(failure_text(error), [self._dataset.folder, storage.home()])
        return self._record(cell, status="failed", failure=Failure(kind=type(error).__name__, message=message))

    def scored(
        self,
        cell: BoundCell,
        result: TaskResult,
        metrics: tuple[Metric, ...],
        beyond: tuple[Metric, ...],
        stored: Mapping[SplitName, StoredEmbeddings],
        checkpoint: Path | None,
        cost: Cost,
        *,
        fitted: Fitted | None,
        validation: ValidationPart | None,
        budget: int,
        draws: DrawsPart | None,
        similarity: SimilarityPart | None,
        layers: tuple[LayersPart, ...] = (),
        playlists_file: str,
    ) -> CellRecord:
        """Return the record of a cell that was scored.

        Args:
            cell: Which.
            result: Its scores.
            metrics: Their means.
            beyond: Measures beyond accuracy.
            stored: Split -> the vectors that were read.
            checkpoint: Folder of the encoder's weights, if it is trained.
            cost: What scoring took.
            fitted: A learned recommender.
            validation: What selected its fit.
            budget: Trials of each tuning.
            draws: Means on other draws of the seed tracks.
            similarity: The second encoder, if there is one.
            layers: By what the best layers were chosen, if any were.
            playlists_file: Name of the file of scores by query.
        """
        source = cell.spec.source
        costs = self._costs(stored, cost, checkpoint)
        recommender: dict[str, object] = {}
        if result.fit:  # the task itself has learnt: its time is part of what scoring took
            spent = result.fit.cost
            recommender["fit"] = FitPart(settings=dict(cell.recommender.settings), facts=dict(result.fit.facts))
            costs |= {
                "fit_wall_s": spent.wall_s,
                "score_wall_s": cost.wall_s - spent.wall_s,
                "score_cpu_s": cost.cpu_s - spent.cpu_s,
            }
        if fitted:
            tuned = fitted.tuning
            trials = tuple(
                TrialPart(
                    params=each.params,
                    valid_recall=each.valid_recall,
                    failure=each.failure,
                    rungs=tuple(
                        RungPart(epoch=rung.epoch, valid_recall=rung.valid_recall, failure=rung.failure)
                        for rung in each.rungs
                    ),
                )
                for each in tuned.trials
            )
            recommender |= {"params": tuned.params, "budget": budget, "tuning": TUNING_VERSION}
            recommender |= {"trials": trials, "valid": validation}
            costs |= {
                "fit_wall_s": fitted.seconds,
                "trial_wall_s": tuple(each.seconds for each in tuned.trials),
                "rung_wall_s": tuple(tuple(rung.seconds for rung in each.rungs) for each in tuned.trials),
            }
        return self._record(
            cell,
            status="ok",
            recommender=recommender,
            metrics=metrics,
            training=_training(source, checkpoint) if checkpoint and source else None,
            counts=_counts(result, self._removal),
            diagnostics=dict(result.diagnostics),
            beyond=beyond,
            similarity=similarity,
            layers=layers,
            draws=draws,
            warnings=tuple(dict.fromkeys(text for each in stored.values() for text in each.warnings)),
            playlists_file=playlists_file,
            costs=Costs(**costs),
        )

    def _record(
        self, cell: BoundCell, status: str, recommender: Mapping[str, object] | None = None, **parts: object
    ) -> CellRecord:
        dataset, spec = self._dataset, cell.spec
        manifest, task, name = dataset.manifest, self._task.name, cell.recommender.name
        task_origin = TASKS.origin(task) if task in TASKS.names() else Origin.of_object(self._task)
        origin = _recommender_origin(name, cell.recommender)
        if origin.in_memory and _package(origin) == _package(task_origin):  # it belongs to the task alone
            origin = task_origin
        weights = spec.weights_digest(EncodeContext(cell.cell.seed, dataset.folder)) if status == "ok" else None
        return CellRecord.model_validate(
            {
                "protocol": self._task.protocol,
                "limit": self._task.limit,
                "config": self._config,
                "interval": INTERVAL,
                "key": cell.key,
                "row_key": cell.row_key,
                "cell": CellName(**asdict(cell.cell)),
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
                "removal": removal_part(self._removal),
                "encoder": EncoderPart(
                    identity=spec.name,
                    label=spec.label,
                    card=spec.card.model_dump(mode="json"),
                    embeddings_key=cell.embedding_key,
                    weights_digest=weights,
                    origin=encoder_origin(spec, task_origin),
                    learnt_from=" and ".join(sorted({source.name for source in spec.sources})) or None,
                ),
                "recommender": {
                    "name": name,
                    "version": cell.recommender.version,
                    "origin": asdict(origin),
                    **(recommender or {}),
                },
                "versions": versions(),
                "machine": {**machine(), "device": torch_device()},
                "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
                **parts,
            }
        )

    def _costs(
        self, stored: Mapping[SplitName, StoredEmbeddings], score: Cost, checkpoint: Path | None
    ) -> dict[str, Any]:
        card = read_card(checkpoint) if checkpoint else {}
        encode_wall = sum(each.cost.wall_s for each in stored.values())
        tracks = sum(len(self._dataset.split(name).track_ids) for name in stored)
        return {
            "encode_wall_s": encode_wall,
            "encode_cpu_s": sum(each.cost.cpu_s for each in stored.values()),
            "tracks_per_second": tracks / encode_wall if encode_wall else None,
            "train_wall_s": card.get("wall_s", 0.0),
            "train_cpu_s": card.get("cpu_s", 0.0),
            "score_wall_s": score.wall_s,
            "score_cpu_s": score.cpu_s,
            "peak_memory_mb": score.peak_memory_mb,
            "dim": next((each.vectors.shape[1] for each in stored.values()), 0),
        }


def _recommender_origin(name: str, recommender: Scorer) -> Origin:
    """Return where a recommender comes from; a task may have one of its own under the name of another."""
    if name in RECOMMENDERS.names() and type(RECOMMENDERS.get(name)) is type(recommender):
        return RECOMMENDERS.origin(name)
    return Origin.of_object(recommender)


def _package(origin: Origin) -> str:
    return re.split("[.:]", origin.target)[0]


def failure_text(error: BaseException) -> str:
    """Return why a cell failed, in words."""
    return str(error) if isinstance(error, LarpbenchError) else error_text(error)


def summarise(result: TaskResult, specs: Iterable[MetricSpec]) -> tuple[Metric, ...]:
    """Return the means of a cell with intervals, chance and ceiling."""
    specs = tuple(specs)
    per_query = [spec for spec in specs if spec.per_query]
    stacked = np.stack([result.values[spec.column] for spec in per_query], axis=1)
    lows, highs = bootstrap_interval(stacked[None])
    intervals = {spec.column: (float(lows[i]), float(highs[i])) for i, spec in enumerate(per_query)}
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
                n=len(result.query_ids),
                hits=result.hits_at[spec.k],
                applicable=bool(spec.whole_list or spec.k < result.n_candidates.min()),
            )
        )
    return tuple(metrics)


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
        facts={name: card[name] for name in card if name not in _RECORDED_ELSEWHERE} | {"history": history},
    )
