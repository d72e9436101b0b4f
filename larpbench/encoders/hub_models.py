"""Models and tokenizers of transformers out of a folder: nothing is downloaded, nothing left random without a word."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from larpbench.encoders.weights import TOKENIZER
from larpbench.errors import DataError, UsageError, named
from larpbench.runtime import torch_device

BFLOAT16 = "bf16"
"""Behind the colon: weights and arithmetic in bfloat16. Other vectors, so another name."""
_DO_WITHOUT = {"embeddings.position_ids", "masked_spec_embed"}
"""Tensors that inference does not need; the latter hides audio in training."""
LONGEST = 512
"""Tokens: no caption has more, and few models can take more."""


@dataclass(frozen=True)
class Place:
    """Where a model computes, and how.

    Attributes:
        device: As torch names it.
        dtype: Of its weights and activations.
    """

    device: str
    dtype: torch.dtype

    @classmethod
    def of(cls, bfloat16: bool) -> Place:
        """Return the best device of this machine."""
        return cls(torch_device(), torch.bfloat16 if bfloat16 else torch.float32)


def options_of(argument: str | None, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Return what follows the colons of an encoder's name, each at most once and in the order of `allowed`.

    Raises:
        UsageError: If something else follows.
    """
    parts = argument.split(":") if argument else []
    found = tuple(each for each in allowed if each in parts)
    if list(found) != parts:
        raise UsageError(
            f"encoder {name!r} has no view or precision {argument!r}",
            allowed=name + "".join(f"[:{each}]" for each in allowed),
        )
    return found


def load_model(kind: Any, folder: Path, place: Place) -> Any:  # noqa: ANN401 - transformers has no common type for it
    """Return a model with the weights of a folder, for inference.

    Args:
        kind: Its class in transformers.
        folder: Holds ``config.json`` and the weights.
        place: Where and how it computes.

    Raises:
        DataError: If the weights are damaged, or some of the model are not among them.
    """
    with quiet():
        try:
            model, told = kind.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise DataError(f"no model can be read: {error}", where=str(folder)) from error
    missing = sorted({str(each) for each in told["missing_keys"]} - _DO_WITHOUT)
    missing = [each for each in missing if "pooler." not in each]  # BERT's, which is not used, and often left out
    if missing or told.get("mismatched_keys"):
        raise DataError(
            f"the weights are not those of {kind.__name__}: without {len(missing)} of its tensors, such as "
            f"{named(missing, 3)}, it would be part random",
            where=str(folder),
            next_step="fetch the weights again, or name another model",
        )
    return model.to(device=place.device, dtype=place.dtype).eval()


class Tokens:
    """A model's own tokenizer.

    Args:
        folder: Holds its files.
        longest: Most tokens of a caption, if the model can take as many.

    Raises:
        DataError: If they cannot be read.
    """

    def __init__(self, folder: Path, longest: int = LONGEST) -> None:
        from transformers import AutoTokenizer

        if not any(list(folder.glob(pattern)) for pattern in TOKENIZER.split("|")):
            # transformers would make an empty one without a word: every caption the same
            raise DataError("there is no tokenizer beside the model", where=str(folder), allowed=TOKENIZER)
        with quiet():
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            except (OSError, ValueError, KeyError, ImportError) as error:
                raise DataError(f"no tokenizer can be read: {error}", where=str(folder)) from error
        self._longest = min(self._tokenizer.model_max_length, longest)

    def by_length(self, captions: np.ndarray) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Yield rows of captions of one length, and their tokens, (rows, length) int64.

        Padding would cost time, and change the last bits with the batch.
        """
        texts = [str(each) for each in captions]
        tokens = self._tokenizer(texts, truncation=True, max_length=self._longest)["input_ids"]
        lengths = np.array([len(each) for each in tokens])
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            yield rows, torch.tensor([tokens[row] for row in rows])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and tables of its own."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
