"""Captions through any text model of transformers, pooled as its makers do, scaled to length 1.

BERT (Devlin et al. 2019) among them, sentence encoders (Reimers & Gurevych 2019), and decoders that became encoders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from larpbench.encoders.adapters.text.head import load_dense
from larpbench.encoders.adapters.text.sentence_files import read_json
from larpbench.encoders.adapters.text.settings import TextSettings
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.pooling import pooled
from larpbench.encoders.towers.hub_models import Place, Tokens, load_model
from larpbench.errors import DataError

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
        place: Where and how it computes; dense layers compute in float32.
        settings: How captions become vectors.

    Raises:
        DataError: If something in the folder is damaged, or not exactly what the model needs.
    """

    def __init__(self, folder: Path, place: Place, settings: TextSettings) -> None:
        self._tokens, self._place, self._settings = Tokens(folder, settings.longest), place, settings
        model = load_model(_kind(folder), folder, place, optional=(_POOLER,), unused=(_POOLER, *_HEADS))
        self._model = model.get_encoder() if model.config.is_encoder_decoder else model
        self._model.config.use_cache = False  # of decoders: a caption is read once
        self._dense = [load_dense(each, place.device) for each in settings.layers]
        self._left_out = self._tokens.count(settings.prompt) if settings.without_prompt and settings.prompt else 0

    @torch.inference_mode()
    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32, rows of length 1."""
        texts = [self._settings.prompt + str(caption) for caption in batch.captions]
        if self._settings.lower_case:
            texts = [_lower(text) for text in texts]
        return self._tokens.apply(texts, self._of_tokens).cpu().numpy()

    def notes(self) -> tuple[str, ...]:
        """Return how many captions were cut so far, as a sentence; nothing if none was."""
        cut, longest = self._tokens.cut, self._tokens.longest
        return (f"{cut:,} captions have more than {longest:,} tokens and were cut there",) if cut else ()

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        ids, layer = tokens.to(self._place.device), self._settings.layer
        given = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=layer is not None)
        states = (given.last_hidden_state if layer is None else given.hidden_states[layer]).float()
        states = states[:, min(self._left_out, states.shape[1] - 1) :]
        vectors = torch.cat([pooled(states, each) for each in self._settings.poolings], dim=1)
        for dense in self._dense:
            vectors = _through(dense, vectors)
        return functional.normalize(vectors, dim=1)


def _kind(folder: Path) -> Any:  # noqa: ANN401 - transformers has no common type for it
    """Return the class that a model's weights are for: of T5 there may be the encoder alone."""
    from transformers import AutoModel, AutoModelForTextEncoding

    config = read_json(folder / "config.json")
    names = config.get("architectures") if isinstance(config, dict) else None
    alone = any(str(name).endswith("EncoderModel") for name in names or ())
    return AutoModelForTextEncoding if alone else AutoModel


def _through(dense: Any, vectors: Tensor) -> Tensor:  # noqa: ANN401
    width = dense[0].in_features
    if vectors.shape[1] != width:
        raise DataError(
            f"a dense layer takes vectors of length {width}, and the pooling gives {vectors.shape[1]}",
            next_step="name a pooling: text:NAME:pool=mean",
        )
    result: Tensor = dense(vectors)
    return result


def _lower(text: str) -> str:
    from tokenizers.normalizers import Lowercase

    lowered: str = Lowercase().normalize_str(text)
    return lowered
