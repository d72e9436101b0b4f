"""What the trainings of all towers share: their seed, the way to the best weights, and models on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch

from larpbench import storage
from larpbench.encoders.checkpoint_folder import write_card
from larpbench.encoders.encoder import FitContext
from larpbench.encoders.towers.tokens import Tokenizer
from larpbench.training.loop import Model, TrainedModel
from larpbench.training.resumable import fit
from larpbench.training.settings import SETTINGS, Kind, Settings, read_from
from larpbench.training.tensors import WEIGHTS, read_weights, write_tensors
from larpbench.training.trainer import Trainer

Shape = TypeVar("Shape", bound=Settings, covariant=True)


class ShapedModel(Protocol[Shape]):
    """A model that its settings and weights determine."""

    @property
    def settings(self) -> Shape:
        """What it is built from."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return its weights."""
        ...


@contextmanager
def seeded(context: FitContext) -> Iterator[None]:
    """Seed torch inside the block, and leave the caller's random numbers as they were."""
    devices = [torch.device(context.device)] if context.device != "cpu" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(context.seed)
        yield


def run_trainer(
    trainer: Trainer[Model],
    context: FitContext,
    name: str,
    embed: Callable[[Model], np.ndarray],
    save: Callable[[Path, Model], None],
    load: Callable[[Path], Model],
) -> TrainedModel[Model]:
    """Run a trainer in the context of an encoder's `fit`; see `larpbench.training.resumable.fit`.

    Args:
        trainer: What to train.
        context: Where the state is kept, and what validation scores with.
        name: Of what is trained, for progress.
        embed: Returns the model's vectors of the valid tracks, (n, dim) float32, in eval mode.
        save: Writes a model to a folder.
        load: Reads what `save` wrote.

    Raises:
        TrainingError: If the loss or the vectors are no longer numbers; the best weights so far are kept.
    """

    def save_with_card(folder: Path, model: Model) -> None:
        save(folder, model)
        write_card(folder, context.card)

    title = f"train {name} (seed {context.seed})"
    return fit(trainer, context.workdir, title, embed, context.score, save_with_card, load)


def save_model(folder: Path, model: ShapedModel[Settings], tokenizer: Tokenizer | None = None) -> None:
    """Write weights, settings and tokenizer to a folder, each file whole or not at all.

    Raises:
        StorageError: If they cannot be written.
    """
    storage.make_folder(folder)
    if tokenizer:
        tokenizer.save(folder)
    storage.write_text(folder / SETTINGS, model.settings.model_dump_json(indent=2) + "\n")
    write_tensors(folder / WEIGHTS, model.state_dict())


def load_model(folder: Path, build: Callable[[Kind], Model], kind: type[Kind]) -> Model:
    """Return the model in a folder, in eval mode.

    Args:
        folder: What `save_model` wrote.
        build: Returns the model of settings.
        kind: Class of the settings.

    Raises:
        DataError: If something is missing or damaged, or weights and settings are of different models.
    """
    model = build(read_from(folder / SETTINGS, kind))
    read_weights(model, folder / WEIGHTS)
    model.eval()
    return model
