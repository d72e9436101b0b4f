"""Runs a trainer: progress, validation after every epoch, the best weights kept, and a state for the next time."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic

import numpy as np
from safetensors import safe_open
from torch import nn

from larpbench import progress, storage
from larpbench.encoders.checkpoint_folder import write_card
from larpbench.encoders.encoder import FitContext
from larpbench.errors import TrainingError
from larpbench.training.loop import Model, Progress, Trainer
from larpbench.training.tensors import read_tensors, write_tensors

LOG = "log.jsonl"
SECONDS_BETWEEN_SAVES = 30.0
_STATE, _BEST = "state.safetensors", "best"


def fit(
    trainer: Trainer[Model],
    context: FitContext,
    title: str,
    embed: Callable[[Model], np.ndarray],
    save: Callable[[Path, Model], None],
) -> Path:
    """Train to the end, or on from where a killed training has left off.

    Args:
        trainer: Its progress says afterwards how it went.
        context: Where the state is kept, and what validation scores with.
        title: Of the progress bar.
        embed: Returns the model's vectors of the valid tracks, (n, dim) float32, in eval mode.
        save: Writes a model to a folder.

    Returns:
        The folder with the weights that were best on validation, as `save` wrote them.

    Raises:
        TrainingError: If the loss or the vectors are no longer numbers; the best weights so far are kept.
    """
    saver = _Saver(trainer, context, save)
    saver.load()

    def evaluate(candidate: Model) -> dict[str, float]:
        vectors = embed(candidate)
        if not np.isfinite(vectors).all():
            raise TrainingError(
                f"the vectors of {trainer.what} are not finite after update {trainer.progress.update}",
                next_step="train with a lower learning rate",
            )
        return {"recall@10": context.score(vectors), "spread": _spread(vectors)}

    best = context.workdir / _BEST
    try:
        with progress.stage(title, trainer.updates, "updates", trainer.progress.update) as advance:
            trainer.run(evaluate, saver.keep_best, saver.save_sometimes, advance)
    except TrainingError as error:
        if best.is_dir():
            error.where = f"the best weights so far are kept in {best} (encoder checkpoint:{best})"
        raise
    return best


def facts(done: Progress) -> dict[str, Any]:
    """Return what a record should say of a training, as JSON, if it goes on from no other; the history comes apart."""
    return {
        "updates": done.update,
        "updates_in_all": done.update,
        "epochs": len(done.history),
        "selected_by": "recall@10 of the valid playlists",
        "best": done.best,
        "best_epoch": done.best_epoch,
    }


def parameters(model: nn.Module) -> int:
    """Return how many numbers a model has to learn."""
    return sum(each.numel() for each in model.parameters())


def log_text(history: list[dict[str, Any]]) -> str:
    """Return the content of ``log.jsonl``: one line an epoch."""
    return "".join(json.dumps(entry) + "\n" for entry in history)


def _spread(vectors: np.ndarray) -> float:
    """Return 1 less the mean cosine of two tracks: near 0 where all have collapsed to one point."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return float(1 - np.square(unit.mean(axis=0, dtype=np.float64)).sum())


class _Saver(Generic[Model]):
    """Keeps a trainer's state and best weights in the work folder."""

    def __init__(self, trainer: Trainer[Model], context: FitContext, save: Callable[[Path, Model], None]) -> None:
        self._trainer, self._save = trainer, save
        self._workdir, self._card = context.workdir, context.card
        self._saved = time.monotonic()
        self._logged = 0

    def keep_best(self, model: Model) -> None:
        """Save the weights that are best on validation so far, as a checkpoint of their own."""
        self._save(self._workdir / _BEST, model)
        write_card(self._workdir / _BEST, self._card)

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
