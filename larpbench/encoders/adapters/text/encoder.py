"""Captions through any text model of transformers, pooled as its makers do, scaled to length 1.

BERT (Devlin et al. 2019) among them, sentence encoders (Reimers & Gurevych 2019), and decoders that became encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
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
from larpbench.encoders.layered import Shared, mean_of, shared
from larpbench.encoders.pooling import pooled
from larpbench.encoders.towers.hub_models import Place, Tokens, load_model
from larpbench.errors import DataError, UsageError

_POOLER = "pooler.*"
_HEADS = (
    *("cls.*", "lm_head.*", "predictions.*", "sop_classifier.*", "classifier.*", "qa_outputs.*", "score.*"),
    *("vocab_transform.*", "vocab_layer_norm.*", "vocab_projector.*", "pre_classifier.*"),  # of DistilBERT
    *("discriminator_predictions.*", "generator_predictions.*", "generator_lm_head.*"),  # of ELECTRA
    *("mask_predictions.*", "lm_predictions.*", "final_logits_bias"),  # of DeBERTa and BART
)
"""Of the tasks that a text model was trained on: captions do not pass through them."""


class TextReadout:
    """What an encoder takes of a text model.

    Args:
        place: Where the model computes; dense layers compute in float32.
        settings: How hidden states become vectors.

    Raises:
        DataError: If a dense layer is damaged.
    """

    def __init__(self, place: Place, settings: TextSettings) -> None:
        self._states, self._poolings = settings.states, settings.poolings
        self._dense = [load_dense(each, place.device) for each in settings.layers]

    @property
    def inner(self) -> bool:
        """Whether it reads other hidden states than what the model gives as its output."""
        return self._states is not None

    def vectors(self, output: Tensor, hidden: Sequence[Tensor], left_out: int) -> Tensor:
        """Return (rows, dim) float32, rows of length 1.

        Args:
            output: What the model gives, (rows, tokens, width).
            hidden: Hidden states 0 to the last, of the same shape; empty if nobody reads them.
            left_out: So many tokens at the beginning are not pooled.

        Raises:
            UsageError: If the model has no such layer.
        """
        states = self._read(output, hidden)
        states = states[:, min(left_out, states.shape[1] - 1) :]
        vectors = torch.cat([pooled(states, each) for each in self._poolings], dim=1)
        for dense in self._dense:
            vectors = _through(dense, vectors)
        return functional.normalize(vectors, dim=1)

    def _read(self, output: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        if self._states is None:
            return output.float()
        first, last = self._states
        last = len(hidden) - 1 if last is None else last
        if last >= len(hidden):
            raise UsageError(f"the text model has no layer {last}", allowed=f"@0 to @{len(hidden) - 1}")
        return mean_of([each.float() for each in hidden[first : last + 1]])


class TextModel(Shared[TextReadout]):
    """A text model and its tokenizer.

    Args:
        folder: Holds both.
        place: Where and how it computes.
        settings: How captions are read; what follows the hidden states is left to its readers.

    Attributes:
        cut: How many captions of the last batch were cut.

    Raises:
        DataError: If something in the folder is damaged, or not exactly what the model needs.
    """

    def __init__(self, folder: Path, place: Place, settings: TextSettings) -> None:
        super().__init__()
        self._tokens, self._place, self._settings = Tokens(folder, settings.longest), place, settings
        model = load_model(_kind(folder), folder, place, optional=(_POOLER,), unused=(_POOLER, *_HEADS))
        self._model = model.get_encoder() if model.config.is_encoder_decoder else model
        self._model.config.use_cache = False  # of decoders: a caption is read once
        self._left_out = self._tokens.count(settings.prompt) if settings.without_prompt and settings.prompt else 0
        self.longest, self.cut = self._tokens.longest, 0

    @torch.inference_mode()
    def run(self, batch: np.ndarray, wanted: AbstractSet[TextReadout]) -> dict[TextReadout, np.ndarray]:
        """Return the vectors of captions, (n,) str, from one pass for all readers."""
        texts = [self._settings.prompt + str(caption) for caption in batch]
        if self._settings.lower_case:
            texts = [_lower(text) for text in texts]
        readers, before, widths = list(wanted), self._tokens.cut, [0] * len(wanted)

        def of_tokens(tokens: Tensor) -> Tensor:
            parts = self._of_tokens(tokens, readers)
            widths[:] = [part.shape[1] for part in parts]
            return torch.cat(parts, dim=1)

        found = self._tokens.apply(texts, of_tokens).cpu()
        self.cut = self._tokens.cut - before
        parts = found.split(widths, dim=1)
        return {each: part.contiguous().numpy() for each, part in zip(readers, parts, strict=True)}

    def _of_tokens(self, tokens: Tensor, readers: Sequence[TextReadout]) -> list[Tensor]:
        ids, inner = tokens.to(self._place.device), any(each.inner for each in readers)
        given = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=inner)
        hidden = given.hidden_states if inner else ()
        return [each.vectors(given.last_hidden_state, hidden, self._left_out) for each in readers]


class TextEncoder:
    """Captions through a text model, which encoders that read other layers of it share.

    Args:
        folder: Holds the model and its tokenizer.
        place: Where and how it computes; dense layers compute in float32.
        settings: How captions become vectors.

    Raises:
        DataError: If something in the folder is damaged, or not exactly what the model needs.
    """

    def __init__(self, folder: Path, place: Place, settings: TextSettings) -> None:
        way = (place, settings.prompt, settings.longest, settings.lower_case, settings.without_prompt)
        self._shared = shared(folder, way, lambda: TextModel(folder, place, settings))
        self.readout, self._cut = TextReadout(place, settings), 0
        self._shared.readers.add(self)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32, rows of length 1."""
        found = self._shared.vectors(batch.captions, self.readout)
        self._cut += self._shared.cut
        return found

    def notes(self) -> tuple[str, ...]:
        """Return how many captions were cut so far, as a sentence; nothing if none was."""
        longest = self._shared.longest
        return (f"{self._cut:,} captions have more than {longest:,} tokens and were cut there",) if self._cut else ()


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
