"""A LARP model on disk: weights, settings and tokenizer in a folder."""

from __future__ import annotations

from pathlib import Path

import pydantic

from larpbench import storage
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.settings import BertSettings, ModelSettings
from larpbench.encoders.larp.tokens import Tokenizer, load_tokenizer
from larpbench.encoders.loop.tensors import read_weights, write_tensors
from larpbench.errors import DataError

WEIGHTS = "model.safetensors"
SETTINGS = "settings.json"


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
    path = folder / SETTINGS
    try:
        return ModelSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, pydantic.ValidationError) as error:
        problem = "missing" if isinstance(error, OSError) else f"damaged: {error.errors()[0]['msg']}"
        raise DataError(
            f"the settings of a LARP model are {problem}",
            where=str(path),
            allowed="a folder that larpbench train or larpbench convert wrote",
        ) from error
