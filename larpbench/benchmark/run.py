"""The run of a plan: encode, rank, score, record; cell by cell, each written as soon as it is done."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from larpbench.benchmark.cells import PlannedCell, cell_state
from larpbench.benchmark.learned import splits_read
from larpbench.benchmark.learning import Learning, WorkerLearning, pair, train_on_workers
from larpbench.benchmark.plan import Plan
from larpbench.benchmark.similarity import SECOND_SEED, SecondEncoder
from larpbench.datasets.schema import SplitName
from larpbench.datasets.splits.rules import redraw_test
from larpbench.encoders.run.on_workers import WorkerEncoding
from larpbench.encoders.run.seeds import train_seeds
from larpbench.encoders.run.store import StoredEmbeddings
from larpbench.encoders.run.together import Need, encode_together
from larpbench.encoders.run.training import ensure_trained
from larpbench.encoders.spec import EncoderSpec
from larpbench.engine.base import LOCAL, Engine, running
from larpbench.engine.choice import engine_named
from larpbench.errors import EmbeddingError, LarpbenchError, StorageError, error_text
from larpbench.evaluation.beyond.measures import ListMeasurer
from larpbench.recommenders.base import TUNING_SEED, LearnedRecommender, Scorer, TrainData, ValidData
from larpbench.recommenders.halving import Rung
from larpbench.recommenders.itemknn import ITEMKNN
from larpbench.recommenders.tuning import Fitted, Learner, Trial, Tuning, at_once
from larpbench.results.beyond import measured_result
from larpbench.results.record import (
    CellRecord,
    DrawsPart,
    LayersPart,
    Metric,
    RecommenderPart,
    SimilarityPart,
    ValidationPart,
)
from larpbench.results.recorder import Recorder, failure_text, summarise
from larpbench.results.store import Unusable, cell_lock, read_record, set_aside, sweep, usable_record, write_record
from larpbench.runtime import measured
from larpbench.streams import aside
from larpbench.tasks.layers import choose_layers, chooses
from larpbench.tasks.result import TaskResult
from larpbench.tasks.validation import ValidationRecall, validation_recall

logger = logging.getLogger(__name__)


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
def run(plan: Plan, report: Callable[[str], None] = logger.info, *, engine: str | Engine = "local") -> RunSummary:
    """Run the cells of a plan that are to run.

    A cell that fails is recorded as failed and the others go on; a file that cannot be written ends the run, with
    everything finished in place.

    Args:
        plan: What to run.
        report: Receives one line for each cell.
        engine: What computes: ``local``, this process; ``ray``, workers on this machine, or on the cluster that
            ``$RAY_ADDRESS`` names; ``ray:HOST:PORT``, a cluster; or what `larpbench.engine.choice.engine_named`
            returns, where there is more to choose. Results are the same to the bit. A plan without a cell to run needs
            none.

    Raises:
        StorageError: If results or embeddings cannot be written.
        LarpbenchError: If the second encoder fails; no cell is run.
        MissingPartError: If the engine is not installed.
        EngineError: If the cluster cannot be used, or is gone.
    """
    chosen = engine_named(engine)
    with running(chosen if plan.to_run else LOCAL) as begun:
        return _run(plan, report, begun)


def _run(plan: Plan, report: Callable[[str], None], engine: Engine) -> RunSummary:
    sweep(plan.output)
    running = _Run(plan, engine)
    running.encode_ahead()
    computed: list[PlannedCell] = []
    failed: list[tuple[PlannedCell, str]] = []
    kept = [planned for planned in plan.cells if not planned.to_run]
    for number, planned in enumerate(plan.to_run, start=1):
        with cell_lock(plan.output, planned.key):
            if planned.state in ("missing", "damaged") and _is_done(planned):
                kept.append(planned)
                continue
            report(f"[{number}/{len(plan.to_run)}] {planned.cell}")
            _keep_unusable(planned.path, report)
            failure = running.compute(planned)
        if failure is None:
            computed.append(planned)
        else:
            failed.append((planned, failure))
            report(f"  failed: {failure}")
    return RunSummary(tuple(computed), tuple(kept), tuple(failed))


def _needs(plan: Plan) -> Iterator[Need]:
    """Yield the vectors that the cells that are to run will ask for."""
    for planned in plan.to_run:
        seed = planned.cell.seed if planned.spec.card.stochastic else 0
        for name in splits_read(plan.task, planned.recommender):
            yield Need(planned.spec, plan.dataset, name, seed)
    if plan.similarity and plan.to_run:
        yield Need(plan.similarity.spec, plan.dataset, "test", SECOND_SEED)


class _Run:
    """The context of one run: the plan, its store, what has been tuned, the recorder, and the second encoder."""

    def __init__(self, plan: Plan, engine: Engine) -> None:
        self.plan, self.store, self.engine = plan, plan.store, engine
        self.encoding = None if engine.is_local else WorkerEncoding(engine, plan.store)
        self.learners: dict[str, Learner] = {}  # by encoder and recommender
        self.learning = self._worker_learning()
        self.recorder = Recorder(plan.task, plan.dataset, plan.removal, plan.config)
        self.trained_ahead: set[int] = set()
        self.measurer = ListMeasurer(None)
        self.similarity: SimilarityPart | None = None

    def encode_ahead(self) -> None:
        """Encode in as few passes as possible; which layer is the best has to be known before test is encoded."""
        plan = self.plan
        needs = [*_needs(plan)]
        choosing = {id(need.spec): need for need in needs if chooses(need.spec)}
        if choosing:
            self._encode([each for each in needs if each.split_name != "test" or chooses(each.spec)])
        for each in choosing.values():
            with contextlib.suppress(LarpbenchError):  # it fails again in its own cells
                self._require_encoded(each)
                choose_layers(plan.store, each.spec, plan.dataset, each.seed)
        self._encode(needs)
        if second := plan.similarity if plan.to_run else None:
            self.measurer = ListMeasurer(self._vectors_of(second))
            self.similarity = second.part(plan.dataset, plan.store)

    def _encode(self, needs: Sequence[Need]) -> None:
        if self.encoding:
            self.encoding.encode(needs)
        else:
            encode_together(self.store, needs)

    def _require_encoded(self, *needs: Need) -> None:
        """Raise why workers could not encode what is needed: here it would not go better."""
        for need in needs if self.encoding else ():
            self.encoding.require(need)  # type: ignore[union-attr]

    def compute(self, planned: PlannedCell) -> str | None:
        """Compute and record one cell; return the message of its failure, if any."""
        try:
            record, result = self._score(planned)
        except (StorageError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a plug-in may raise anything; the other cells must go on
            logger.debug("cell failed", exc_info=True)
            if not _is_done(planned):  # what an earlier run has finished stays
                write_record(planned.path, self.recorder.failed(planned, error), None)
            return failure_text(error)
        write_record(planned.path, record, result)
        return None

    def _score(self, planned: PlannedCell) -> tuple[CellRecord, TaskResult]:
        plan = self.plan
        stored, checkpoint = self._embed(planned, planned.cell.seed)
        layers = self._layers(planned)
        vectors: dict[SplitName, np.ndarray] = {name: each.vectors for name, each in stored.items()}
        fitted = self._fit(planned, vectors)
        recommender = fitted.recommender if fitted else planned.recommender
        before = self.engine.cpu_s
        with measured() as cost:
            result = plan.task.execute(plan.tested, vectors, recommender)
            metrics = summarise(result, plan.task.metrics)
            result, beyond = measured_result(result, self.measurer)
            draws = self._score_draws(vectors, recommender, metrics)
        cost.cpu_s += self.engine.cpu_s - before
        record = self.recorder.scored(
            planned,
            result,
            metrics,
            beyond,
            stored,
            checkpoint,
            cost,
            fitted=fitted,
            validation=_validation(fitted, self._learning(vectors)[1]) if fitted else None,
            budget=plan.budget,
            draws=draws,
            similarity=self.similarity,
            layers=layers,
            playlists_file=planned.path.with_suffix(".playlists.parquet").name,
        )
        return record, result

    def _embed(self, planned: PlannedCell, seed: int) -> tuple[dict[SplitName, StoredEmbeddings], Path | None]:
        """Return the vectors of all splits that a cell reads, and the checkpoint of its encoder if that is trained.

        Test tracks that rule 13 removes are encoded, so that vectors are shared with other runs, and then dropped.
        """
        plan, spec = self.plan, planned.spec
        seed = seed if spec.card.stochastic else 0
        self._train_ahead(spec)
        splits = splits_read(plan.task, planned.recommender)
        needs = [Need(spec, plan.dataset, name, seed) for name in splits]
        self._require_encoded(*needs)
        checkpoint = ensure_trained(self.store, spec, seed, validation_recall)
        choose_layers(self.store, spec, plan.dataset, seed)
        if self.encoding and (spec.training or spec.inputs):  # what could not be encoded before it was trained
            self._encode(needs)
            self._require_encoded(*needs)
        stored = {name: self.store.embed(spec, plan.dataset, name, seed) for name in splits}
        if plan.removal and "test" in stored:
            stored["test"] = replace(stored["test"], vectors=stored["test"].vectors[plan.removal.kept])
        return stored, checkpoint

    def _layers(self, planned: PlannedCell) -> tuple[LayersPart, ...]:
        """Return by what the best layers of a cell's encoder were chosen."""
        seed = planned.cell.seed if planned.spec.card.stochastic else 0
        found = choose_layers(self.store, planned.spec, self.plan.dataset, seed)
        return tuple(
            LayersPart(
                encoder=spec.name,
                layer=recalls.best,
                valid_recall=tuple(recalls.means.tolist()),
                chance=recalls.chance,
                n=recalls.values.shape[1],
            )
            for spec, recalls in found.items()
        )

    def _train_ahead(self, spec: EncoderSpec) -> None:
        """Train all seeds of an encoder side by side, once. What fails does so again in its own cells."""
        if id(spec) not in self.trained_ahead:
            self.trained_ahead.add(id(spec))
            seeds = dict.fromkeys(each.cell.seed for each in self.plan.to_run if each.spec is spec)
            chosen = [*seeds] if spec.card.stochastic else [0]
            if self.encoding:
                train_on_workers(self.engine, self.store, spec, chosen, validation_recall)
            else:
                train_seeds(self.store, spec, chosen, validation_recall)

    def _vectors_of(self, second: SecondEncoder) -> np.ndarray:
        """Return the second encoder's vectors of the tested tracks."""
        plan, spec = self.plan, second.spec
        try:
            self._require_encoded(Need(spec, plan.dataset, "test", SECOND_SEED))
            ensure_trained(self.store, spec, SECOND_SEED, validation_recall)
            choose_layers(self.store, spec, plan.dataset, SECOND_SEED)
            vectors = self.store.embed(spec, plan.dataset, "test", SECOND_SEED).vectors
        except LarpbenchError:
            raise
        except Exception as error:  # a plug-in may raise anything
            raise EmbeddingError(
                f"the second encoder {spec.identity!r} failed: {error_text(error)}",
                next_step="correct it, or leave --similarity-by out",
            ) from error
        return vectors[plan.removal.kept] if plan.removal else vectors

    def _fit(self, planned: PlannedCell, vectors: dict[SplitName, np.ndarray]) -> Fitted | None:
        """Return the recommender that has learnt; None if there is nothing to learn."""
        kind, cell = planned.recommender, planned.cell
        if not isinstance(kind, LearnedRecommender):
            return None
        name = pair(cell)
        learner = self._learner(name)
        data = self._learning(vectors)
        if not learner.knows(name):
            tuning = self._tuning_cell(planned)
            if cell.seed == TUNING_SEED:
                learner.tune(name, kind, *data)
            elif _is_done(tuning):
                learner.remember(name, _tuned_before(read_record(tuning.path).recommender))
            else:
                learner.tune(name, kind, *self._learning_with_seed(planned, TUNING_SEED))
        if not learner.is_fitted(name, cell.seed):
            if self.learning:
                if fit := self.learning.fitted(planned, self.learners):
                    return fit.get()
            elif more := at_once(kind, data[0]) - 1:
                learner.fit_ahead(name, kind, {cell.seed: data} | self._later_seeds(planned, more))
        return learner.fitted(name, kind, cell.seed, *data)

    def _learner(self, name: str) -> Learner:
        """Return who knows, or will know, the parameters of an encoder and a recommender."""
        if name not in self.learners:
            self.learners[name] = self.learning.learner(name) if self.learning else Learner(self.plan.budget)
        return self.learners[name]

    def _tuning_cell(self, planned: PlannedCell) -> PlannedCell:
        wanted = replace(planned.cell, seed=TUNING_SEED)
        return next(each for each in self.plan.cells if each.cell == wanted)

    def _worker_learning(self) -> WorkerLearning | None:
        if self.engine.is_local:
            return None
        plan = self.plan
        return WorkerLearning(
            self.engine,
            plan.budget,
            plan.to_run,
            lambda planned: _is_done(self._tuning_cell(planned)),
            self._learning_with_seed,
        )

    def _later_seeds(self, planned: PlannedCell, most: int) -> dict[int, Learning]:
        """Return what the next seeds of a cell learn from; those that cannot be encoded are left to their own cells."""
        cell, data = planned.cell, {}
        seeds = [each.cell.seed for each in self.plan.to_run if replace(each.cell, seed=cell.seed) == cell]
        for seed in [each for each in seeds if each > cell.seed][:most]:
            with contextlib.suppress(Exception):  # a plug-in may raise anything
                data[seed] = self._learning_with_seed(planned, seed)
        return data

    def _learning_with_seed(self, planned: PlannedCell, seed: int) -> Learning:
        stored, _ = self._embed(planned, seed)
        return self._learning({split: each.vectors for split, each in stored.items()})

    def _learning(self, vectors: dict[SplitName, np.ndarray]) -> Learning:
        dataset = self.plan.dataset
        train = TrainData(dataset.split("train"), vectors["train"])
        return train, self.plan.task.valid_data(train, dataset, vectors["valid"])

    def _score_draws(
        self, vectors: dict[SplitName, np.ndarray], recommender: Scorer, first: tuple[Metric, ...]
    ) -> DrawsPart | None:
        """Score the same vectors on other draws of the test playlists' seed tracks."""
        plan = self.plan
        if plan.draws == 1:
            return None
        values = {metric.name: [metric.value] for metric in first if metric.chance is not None}
        for draw in range(1, plan.draws):
            result = plan.task.execute(redraw_test(plan.tested, draw), vectors, recommender)
            for name, means in values.items():
                means.append(float(result.values[name].mean()))
        return DrawsPart(n=plan.draws, values={name: tuple(means) for name, means in values.items()})


def _keep_unusable(path: Path, report: Callable[[str], None]) -> None:
    """Rename a record that cannot be used: it is not overwritten."""
    if path.exists() and isinstance(earlier := usable_record(path), Unusable):
        report(f"  the earlier result cannot be used: {earlier}")
        report(f"  it is kept as {set_aside(path).name}")


def _is_done(planned: PlannedCell) -> bool:
    """Whether an earlier run, or another one in the meantime, has finished the cell."""
    return cell_state(planned.path) in ("done", "stale")


def _validation(fitted: Fitted, valid: ValidData) -> ValidationPart:
    """Return what selected a fit, and what it is to be compared with."""
    selection = fitted.recommender.selection
    return ValidationPart(
        chance=ValidationRecall(valid.queries).chance,
        frozen=valid.recall(ITEMKNN),
        start=selection.scores[0] if selection else None,
        best=fitted.valid_recall,
        best_epoch=selection.best_epoch if selection else None,
        ended=selection.ended if selection else None,
    )


def _tuned_before(part: RecommenderPart) -> Tuning:
    trials = tuple(
        Trial(
            each.params,
            each.valid_recall,
            0.0,
            each.failure,
            tuple(Rung(rung.epoch, rung.valid_recall, 0.0, rung.failure) for rung in each.rungs),
        )
        for each in part.trials
    )
    return Tuning(part.params, trials, None)
