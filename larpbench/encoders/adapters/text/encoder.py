"""Captions through any text model of transformers: mean over the tokens of the last layer, scaled to length 1.

BERT (Devlin et al. 2019) among them, and every sentence encoder that pools by the mean (Reimers & Gurevych 2019).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.towers.hub_models import LONGEST, Place, Tokens, load_model

_POOLER = "pooler.*"
_HEADS = (
    *("cls.*", "lm_head.*", "predictions.*", "sop_classifier.*", "classifier.*", "qa_outputs.*", "score.*"),
    *("vocab_transform.*", "vocab_layer_norm.*", "vocab_projector.*", "pre_classifier.*"),  # of DistilBERT
    *("discriminator_predictions.*", "generator_predictions.*", "generator_lm_head.*"),  # of ELECTRA
    *("mask_predictions.*", "lm_predictions.*", "final_logits_bias"),  # of DeBERTa and BART
)
"""Of the tasks that a text model was trained on: captions do not pass through them."""


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
        model = load_model(AutoModel, folder, place, optional=(_POOLER,), unused=(_POOLER, *_HEADS))
        self._model = model.get_encoder() if model.config.is_encoder_decoder else model

    @torch.inference_mode()
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, width of the model) float32, rows of length 1."""
        return self._tokens.apply(batch.captions, self._of_tokens).cpu().numpy()

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        ids = tokens.to(self._place.device)
        states = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return functional.normalize(states.float().mean(dim=1), dim=1)
