"""The folder of a trained encoder's weights: what the encoder saved, and a card that says how it was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from larpbench import storage
from larpbench.encoders.encoder import EncodeContext, Encoder, TrainableEncoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, EmbeddingError, MissingPartError, shell_word

CARD = "card.json"


def load_checkpoint(spec: EncoderSpec, encoder: Encoder, context: EncodeContext) -> None:
    """Load a trained encoder's weights.

    Raises:
        MissingPartError: If it has not been trained.
        EmbeddingError: If its spec says that it is trained, but it cannot be.
    """
    if not isinstance(encoder, TrainableEncoder):
        raise EmbeddingError(f"the spec of {spec.identity!r} says that it is trained, but it has no fit, save and load")
    if context.checkpoint is None or not (context.checkpoint / CARD).is_file():
        raise MissingPartError(
            f"encoder {spec.identity!r} has not been trained with seed {context.seed}",
            where=str(context.checkpoint),
            next_step=f"larpbench run --encoders {shell_word(spec.identity)}",
        )
    encoder.load(context.checkpoint)


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write the card of a checkpoint, which makes its folder one."""
    storage.write_text(folder / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a checkpoint.

    Raises:
        DataError: If it is damaged.
    """
    path = folder / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(card, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise DataError(
            f"the card of a checkpoint is damaged: {error}",
            where=str(path),
            next_step="restore it, or delete that folder: what larpbench run trained is then trained anew",
        ) from error
    return card
