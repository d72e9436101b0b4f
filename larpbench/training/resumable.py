"""Runs a `Trainer`: progress, validation after every epoch, the best weights on disk, and a state to resume from."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from torch import Tensor

from larpbench import progress, storage
from larpbench.errors import TrainingError
from larpbench.training.loop import Model, TrainedModel, spread_of, warn_of_collapse
from larpbench.training.tensors import read_tensors, write_tensors
from larpbench.training.trainer import Progress, Trainer

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

    Of several processes the leading one writes and scores; the others wait for it.

    Args:
        trainer: What to train.
        workdir: Holds the state, the log and the best weights.
        title: Of the progress bar.
        embed: Returns the model's vectors of the valid tracks, (n, dim) float32, in eval mode.
        score: Returns recall@10 of the validation playlists, given these vectors.
        save: Writes a model to a folder.
        load: Reads what `save` wrote.

    Returns:
        The model of the best epoch, which is the start (epoch 0) if none is better. Its facts are those of a training
        from scratch; ``valid`` among them holds the recall of the start and of the best epoch.

    Raises:
        TrainingError: If the loss or the vectors are no longer numbers; the best weights so far are kept.
    """
    ranks = trainer.ranks
    if ranks.leads:
        storage.sweep(workdir)
    _restore(trainer, workdir / _STATE)
    saved, logged = time.monotonic(), 0

    def evaluate(candidate: Model) -> dict[str, float]:
        vectors = embed(candidate)
        if not np.isfinite(vectors).all():
            raise TrainingError(
                f"the vectors of {trainer.label} are not finite after update {trainer.progress.update}",
                next_step="train with a lower learning rate",
            )
        return ranks.agreed({"recall@10": score(vectors), "spread": spread_of(vectors)} if ranks.leads else {})

    def keep_best(model: Model) -> None:
        if ranks.leads:
            save(best, model)

    def checkpoint() -> None:
        """Write the log after an epoch, and the state unless that has just been done."""
        nonlocal saved, logged
        if not ranks.leads:
            return
        history = trainer.progress.history
        if len(history) > logged:
            storage.write_text(workdir / LOG, log_text(history))
            logged = len(history)
        if time.monotonic() - saved >= SECONDS_BETWEEN_SAVES:
            state = json.dumps(dataclasses.asdict(trainer.progress))
            write_tensors(workdir / _STATE, trainer.tensors(), {"progress": state})
            saved = time.monotonic()

    best = workdir / _BEST
    try:
        with progress.stage(title, trainer.updates, "updates", trainer.progress.update) as advance:
            trainer.run(evaluate, keep_best, checkpoint, advance)
    except TrainingError as error:
        if trainer.progress.best_epoch:
            error.where = f"the best weights so far are kept in {best} (encoder checkpoint:{best})"
        raise
    ranks.agreed(None)  # the best weights are written
    done = trainer.progress
    warn_of_collapse(
        title.removeprefix("train "),
        done,
        "train with a lower learning rate, or without a queue (queue 0) if it has one",
    )
    facts = {
        "updates": done.update,
        "updates_in_all": done.update,
        "epochs": done.epochs,
        "selected_by": "recall@10 of the valid playlists",
        "best": done.best,
        "best_epoch": done.best_epoch,
        "ended": done.ended,
        "valid": {"start": done.scores[0], "best": done.best},
    }
    return TrainedModel(load(best), done.history, facts)


def log_text(history: list[dict[str, Any]]) -> str:
    """Return the content of ``log.jsonl``: one line per epoch."""
    return "".join(json.dumps(entry) + "\n" for entry in history)


def _restore(trainer: Trainer[Model], path: Path) -> None:
    """Continue from a saved state, if there is one; all ranks from what the leading one has."""
    ranks = trainer.ranks
    found = _saved(path) if ranks.leads else None
    if ranks.count > 1:
        tensors, progress = found or (trainer.tensors(), dataclasses.asdict(trainer.progress))
        found = ranks.copied(tensors), ranks.agreed(progress)
    if found:
        trainer.restore(found[0], Progress(**found[1]))


def _saved(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return a saved state, if there is one."""
    if not path.is_file():
        return None
    tensors = read_tensors(path, next_step="delete it; the training starts anew")
    with safe_open(path, framework="pt") as archive:
        saved: dict[str, Any] = json.loads(archive.metadata()["progress"])
    if saved.keys() != {each.name for each in dataclasses.fields(Progress)}:
        return None  # of a version that did not validate the start: the training starts anew
    return tensors, saved
