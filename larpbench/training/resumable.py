"""Runs a `Trainer`: progress, validation after every epoch, the best weights on disk, and a state to resume from."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic

import numpy as np
from safetensors import safe_open

from larpbench import progress, storage
from larpbench.errors import TrainingError
from larpbench.training.loop import Model, TrainedModel
from larpbench.training.tensors import read_tensors, write_tensors
from larpbench.training.trainer import Progress, Trainer
from larpbench.vectors import unit_rows

LOG = "log.jsonl"
SECONDS_BETWEEN_SAVES = 30.0
_STATE, _BEST = "state.safetensors", "best"


def fit(
    trainer: Trainer[Model],
    workdir: Path,
    title: str,
    embed: Callable[[Model], np.ndarray],
    score: Callable[[np.ndarray], float],
    save: Callable[[Path, Model], None],
    load: Callable[[Path], Model],
) -> TrainedModel[Model]:
    """Train to the end, or resume a training that was killed.

    Args:
        trainer: What to train.
        workdir: Holds the state, the log and the best weights.
        title: Of the progress bar.
        embed: Returns the model's vectors of the valid tracks, (n, dim) float32, in eval mode.
        score: Returns recall@10 of the validation playlists, given these vectors.
        save: Writes a model to a folder.
        load: Reads what `save` wrote.

    Returns:
        The model of the best epoch. Its facts are those of a training from scratch.

    Raises:
        TrainingError: If the loss or the vectors are no longer numbers; the best weights so far are kept.
    """
    saver = _Saver(trainer, workdir)
    saver.load()

    def evaluate(candidate: Model) -> dict[str, float]:
        vectors = embed(candidate)
        if not np.isfinite(vectors).all():
            raise TrainingError(
                f"the vectors of {trainer.what} are not finite after update {trainer.progress.update}",
                next_step="train with a lower learning rate",
            )
        return {"recall@10": score(vectors), "spread": _spread(vectors)}

    best = workdir / _BEST
    try:
        with progress.stage(title, trainer.updates, "updates", trainer.progress.update) as advance:
            trainer.run(evaluate, lambda model: save(best, model), saver.save_sometimes, advance)
    except TrainingError as error:
        if best.is_dir():
            error.where = f"the best weights so far are kept in {best} (encoder checkpoint:{best})"
        raise
    done = trainer.progress
    facts = {
        "updates": done.update,
        "updates_in_all": done.update,
        "epochs": len(done.history),
        "selected_by": "recall@10 of the valid playlists",
        "best": done.best,
        "best_epoch": done.best_epoch,
    }
    return TrainedModel(load(best), done.history, facts)


def log_text(history: list[dict[str, Any]]) -> str:
    """Return the content of ``log.jsonl``: one line per epoch."""
    return "".join(json.dumps(entry) + "\n" for entry in history)


def _spread(vectors: np.ndarray) -> float:
    """Return 1 less the mean cosine of two tracks: near 0 where all have collapsed to one point."""
    return float(1 - np.square(unit_rows(vectors, double=False).mean(axis=0, dtype=np.float64)).sum())


class _Saver(Generic[Model]):
    """Keeps a trainer's state and log in the work folder."""

    def __init__(self, trainer: Trainer[Model], workdir: Path) -> None:
        self._trainer, self._workdir = trainer, workdir
        self._saved = time.monotonic()
        self._logged = 0

    def save_sometimes(self) -> None:
        """Write the log after an epoch, and the state unless that has just been done."""
        history = self._trainer.progress.history
        if len(history) > self._logged:
            storage.write_text(self._workdir / LOG, log_text(history))
            self._logged = len(history)
        if time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES:
            state = json.dumps(dataclasses.asdict(self._trainer.progress))
            write_tensors(self._workdir / _STATE, self._trainer.tensors(), {"progress": state})
            self._saved = time.monotonic()

    def load(self) -> None:
        """Go on from a saved state, if there is one."""
        storage.sweep(self._workdir)
        path = self._workdir / _STATE
        if path.is_file():
            tensors = read_tensors(path, next_step="delete it; the training starts anew")
            with safe_open(path, framework="pt") as archive:
                saved: Mapping[str, Any] = json.loads(archive.metadata()["progress"])
            self._trainer.restore(tensors, Progress(**saved))
