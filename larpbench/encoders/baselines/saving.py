"""A baseline on disk: weights, settings and, if it reads text, its tokenizer, in a folder."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from larpbench import storage
from larpbench.encoders.baselines.clap import Clap
from larpbench.encoders.baselines.cnn import AudioCnn
from larpbench.encoders.baselines.settings import ClapSettings, CnnRecipe
from larpbench.encoders.towers.tokens import Tokenizer, load_tokenizer
from larpbench.training.settings import SETTINGS, Settings, read_from
from larpbench.training.tensors import WEIGHTS, read_weights, write_tensors


def save_cnn(folder: Path, model: AudioCnn) -> None:
    """Write a model to a folder, each file whole or not at all."""
    _save(folder, model, model.recipe)


def save_clap(folder: Path, model: Clap, tokenizer: Tokenizer) -> None:
    """Write a model and its tokenizer to a folder, each file whole or not at all."""
    storage.make_folder(folder)
    tokenizer.save(folder)
    _save(folder, model, model.settings)


def load_cnn(folder: Path) -> AudioCnn:
    """Return the model in a folder.

    Raises:
        DataError: If something is missing or damaged.
    """
    model = AudioCnn(read_from(folder / SETTINGS, CnnRecipe))
    read_weights(model, folder / WEIGHTS)
    return model.eval()


def load_clap(folder: Path) -> tuple[Clap, Tokenizer]:
    """Return the model in a folder, and its tokenizer.

    Raises:
        DataError: If something is missing or damaged.
    """
    model = Clap(read_from(folder / SETTINGS, ClapSettings))
    read_weights(model, folder / WEIGHTS)
    return model.eval(), load_tokenizer(folder, model.settings.text.max_tokens)


def _save(folder: Path, model: nn.Module, settings: Settings) -> None:
    storage.make_folder(folder)
    storage.write_text(folder / SETTINGS, settings.model_dump_json(indent=2) + "\n")
    write_tensors(folder / WEIGHTS, model.state_dict())
