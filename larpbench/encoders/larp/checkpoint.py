"""A LARP model on disk: weights, settings and tokenizer in a folder."""

from __future__ import annotations

from pathlib import Path

from larpbench import storage
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.settings import ModelSettings
from larpbench.encoders.towers.settings import BertSettings
from larpbench.encoders.towers.tokens import Tokenizer, load_tokenizer
from larpbench.training.settings import SETTINGS, read_from
from larpbench.training.tensors import WEIGHTS, read_weights, write_tensors


def save_model(folder: Path, model: Larp, tokenizer: Tokenizer | None) -> None:
    """Write a model to a folder, each file whole or not at all.

    Raises:
        StorageError: If it cannot be written.
    """
    storage.make_folder(folder)
    if tokenizer:
        tokenizer.save(folder)
    storage.write_text(folder / SETTINGS, model.settings.model_dump_json(indent=2) + "\n")
    write_tensors(folder / WEIGHTS, model.state_dict())


def load_model(folder: Path, with_text: bool = True) -> tuple[Larp, Tokenizer | None]:
    """Return the model in a folder, and its tokenizer if it has one.

    Args:
        folder: What `save_model` wrote.
        with_text: Whether a text tower's tokenizer is needed.

    Raises:
        DataError: If something is missing or damaged, or weights and settings are of different models.
    """
    settings = read_settings(folder)
    model = Larp(settings)
    read_weights(model, folder / WEIGHTS)
    text = settings.text
    tokenizer = None
    if with_text and isinstance(text, BertSettings):
        tokenizer = load_tokenizer(folder, text.max_tokens)
    return model.eval(), tokenizer


def read_settings(folder: Path) -> ModelSettings:
    """Return the settings of the model in a folder.

    Raises:
        DataError: If they are missing or damaged.
    """
    return read_from(folder / SETTINGS, ModelSettings)
