"""Captions through any text model of transformers: mean over the tokens of the last layer, scaled to length 1.

BERT (Devlin et al. 2019) among them, and every sentence encoder that pools by the mean (Reimers & Gurevych 2019).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from larpbench.encoders.base import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.hub_models import BFLOAT16, LONGEST, Place, Tokens, load_model
from larpbench.errors import MissingPartError

_AT_ONCE = 64  # captions of one length: more gain nothing, and need more memory


class TextEncoder:
    """A text model and its tokenizer.

    Args:
        folder: Holds both.
        place: Where and how it computes.
        longest: Most tokens of a caption; what is beyond them is cut off.
    """

    def __init__(self, folder: Path, place: Place, longest: int = LONGEST) -> None:
        from transformers import AutoModel

        self._tokens, self._place = Tokens(folder, longest), place
        model = load_model(AutoModel, folder, place)
        self._model = model.get_encoder() if model.config.is_encoder_decoder else model

    @torch.inference_mode()
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width of the model) float32, rows of length 1."""
        vectors: list[tuple[np.ndarray, torch.Tensor]] = []
        for rows, tokens in self._tokens.by_length(batch.captions):
            for start in range(0, len(rows), _AT_ONCE):
                ids = tokens[start : start + _AT_ONCE].to(self._place.device)
                states = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
                vectors.append((rows[start : start + _AT_ONCE], functional.normalize(states.float().mean(1), dim=1)))
        order = np.argsort(np.concatenate([rows for rows, _ in vectors]))
        return torch.cat([each for _, each in vectors]).cpu().numpy()[order]


def build_text(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of `context.weights`."""
    if context.weights is None:
        raise MissingPartError("a text encoder needs the folder of its weights")
    return TextEncoder(context.weights, Place.of(bfloat16=is_bfloat16(argument)))


def is_bfloat16(argument: str | None) -> bool:
    """Return whether the last part of what follows the colon asks for bfloat16."""
    return (argument or "").split(":")[-1] == BFLOAT16
