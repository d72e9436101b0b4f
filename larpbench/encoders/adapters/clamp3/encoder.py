"""CLaMP 3 (Wu et al. 2025): a transformer over windows of MERT, and XLM-R, both projected into one space.

The authors' code brings a HuBERT and a BERT of transformers 4, torchaudio and a model of sheet music. None of that is
needed here: HuBERT, BERT and XLM-R are those of transformers, and the rest is a mean, two projections and a rule for
what is long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mode
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from larpbench.checkpoint_tensors import TensorFacts, facts_of, require_tensors, say_casts
from larpbench.encoders.adapters.clamp3.files import CHECKPOINT, MERT_FOLDER, SAMPLE_RATE
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.towers.hub_audio import HubModel
from larpbench.encoders.towers.hub_models import Place, Tokens
from larpbench.encoders.towers.initial_weights import read_state
from larpbench.encoders.towers.sides import MeanOfSides
from larpbench.encoders.towers.xlm_r import XLM_R_FOLDER, read_xlm_r_config
from larpbench.errors import DataError

_WINDOW, _SHORTEST = 5 * SAMPLE_RATE, SAMPLE_RATE  # samples; a shorter rest of a clip is left out
_LONGEST = 128
"""Windows or tokens that either transformer reads at once."""
_HEAD = 64  # numbers of one head of attention
_WHOLE_TEXT = 1_000_000  # tokens: no caption is cut
_SEPARATOR = "</s>"  # of XLM-R, between the lines of a text
_NOT_USED = ("symbolic_model.*", "symbolic_proj.*", "*_model.pooler.*")
"""The part that reads sheet music and MIDI, and layers that BERT and XLM-R have for another task."""


class AudioSide:
    """From clips to projected vectors.

    Args:
        folder: Holds the checkpoint, and MERT in a folder of its own.
        state: The tensors of the checkpoint.
        place: Where and how it computes.

    Raises:
        DataError: If the tensors are not exactly those of this side, or MERT is of another kind.
    """

    def __init__(self, folder: Path, state: Mapping[str, Tensor], place: Place) -> None:
        from transformers import BertModel

        path = folder / CHECKPOINT
        self._model, self._projection = _read(path, state, "audio", BertModel, _bert_config(state))
        self._mert = HubModel(folder / MERT_FOLDER, place)
        if (width := self._model.config.hidden_size) != self._mert.width:
            raise DataError(
                f"this MERT gives {self._mert.width} numbers, and CLaMP 3 reads {width}",
                where=str(folder / MERT_FOLDER),
                next_step="fetch the weights again",
            )
        self._device = place.device
        for module in (self._model, self._projection):
            module.to(place.device)

    def __call__(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) float32, rows of length 1, of clips at 24 kHz.

        Raises:
            EmbeddingError: If the batch has no audio.
        """
        rows = [self._of_windows(self._windows(clip))[0] for clip in batch.require_audio("clamp3")]
        return functional.normalize(torch.stack(rows), dim=1)

    def _windows(self, clip: np.ndarray) -> Tensor:
        """Return (1, windows + 2, width): MERT's states, mean over layers and time, between two rows of zeros."""
        (wave,) = self._mert.windows(clip)
        windows = [each for each in torch.split(wave, _WINDOW, dim=1) if each.shape[1] >= _SHORTEST]
        vectors = [torch.stack(self._mert.states(each, self._mert.depth)).mean(dim=(0, 1)) for each in windows]
        return functional.pad(torch.stack(vectors), (0, 0, 1, 1))[None]

    def _of_windows(self, windows: Tensor) -> Tensor:
        return in_parts(windows, lambda part: _projected(self._model(inputs_embeds=part), self._projection))


class TextSide:
    """From captions to projected vectors.

    Args:
        folder: Holds the checkpoint, and tokenizer and configuration of XLM-R in a folder of their own.
        state: The tensors of the checkpoint.
        place: Where and how it computes.

    Raises:
        DataError: If the tensors are not exactly those of this side, or XLM-R's files cannot be read.
    """

    def __init__(self, folder: Path, state: Mapping[str, Tensor], place: Place) -> None:
        from transformers import XLMRobertaModel

        beside = folder / XLM_R_FOLDER
        config = read_xlm_r_config(beside / "config.json")
        self._tokens = Tokens(beside, _WHOLE_TEXT)
        self._model, self._projection = _read(folder / CHECKPOINT, state, "text", XLMRobertaModel, config)
        self._device = place.device
        for module in (self._model, self._projection):
            module.to(place.device)

    def __call__(self, batch: TrackBatch) -> Tensor:
        """Return (n, dim) float32, rows of length 1."""
        texts = [_SEPARATOR.join(dict.fromkeys(filter(None, str(each).split("\n")))) for each in batch.captions]
        return functional.normalize(self._tokens.apply(texts, self._of_tokens), dim=1)

    def _of_tokens(self, tokens: Tensor) -> Tensor:
        def encode(part: Tensor) -> Tensor:
            return _projected(self._model(input_ids=part, attention_mask=torch.ones_like(part)), self._projection)

        return in_parts(tokens.to(self._device), encode)


def load_clamp3(folder: Path, audio: bool, text: bool) -> MeanOfSides:
    """Return the sides that are asked for, with the weights of a folder."""
    state, place = read_state(folder / CHECKPOINT), Place.of(bfloat16=False)
    kinds = [AudioSide] * audio + [TextSide] * text
    found = facts_of(state)
    sides = [kind(folder, state, place) for kind in kinds]
    prefixes = ("audio_",) * audio + ("text_",) * text
    used = {name: facts for name, facts in found.items() if name.startswith(prefixes) and "_model.pooler." not in name}
    say_casts(used, folder / CHECKPOINT)
    return MeanOfSides(sides)


def in_parts(rows: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the vectors of sequences that may be longer than what a transformer reads at once.

    A long sequence is read in parts of 128. The last part is the last 128 of it, which overlap with the part before; it
    counts by what is new in it.

    Args:
        rows: (n, length, ..), windows or tokens.
        encode: From (n, at most 128, ..) to (n, dim).

    Returns:
        (n, dim).
    """
    length = rows.shape[1]
    starts = range(0, length, _LONGEST)
    parts = [encode(rows[:, min(start, max(length - _LONGEST, 0)) :][:, :_LONGEST]) for start in starts]
    shares = [min(_LONGEST, length - start) / length for start in starts]
    return torch.stack([share * part for share, part in zip(shares, parts, strict=True)]).sum(dim=0)


def _projected(given: Any, projection: nn.Module) -> Tensor:  # noqa: ANN401 - an output of transformers
    found: Tensor = projection(given.last_hidden_state.mean(dim=1))
    return found


def _bert_config(state: Mapping[str, Tensor]) -> Any:  # noqa: ANN401 - a BertConfig
    """Return the configuration of the transformer over windows, which no file holds: read off the weights."""
    from transformers import BertConfig

    layers = [name.split(".") for name in state if name.startswith("audio_model.encoder.layer.")]
    width = _common(state, "audio_model.", ".LayerNorm.bias")
    return BertConfig(
        vocab_size=1,
        hidden_size=width,
        num_hidden_layers=1 + max((int(each[3]) for each in layers if each[3].isdecimal()), default=0),
        num_attention_heads=max(1, width // _HEAD),
        intermediate_size=_common(state, "audio_model.", ".intermediate.dense.bias"),
        max_position_embeddings=_LONGEST,
    )


def _common(state: Mapping[str, Tensor], begins: str, ends: str) -> int:
    """Return the size that most of some tensors have, so that one of another shape is refused by its name."""
    sizes = [
        len(each) for name, each in state.items() if name.startswith(begins) and name.endswith(ends) and each.ndim == 1
    ]
    return mode(sizes) if sizes else _HEAD


def _read(path: Path, state: Mapping[str, Tensor], side: str, kind: Any, config: Any) -> tuple[Any, nn.Linear]:  # noqa: ANN401
    """Return a transformer and the projection after it, with the weights of one side of the checkpoint."""
    other = {"audio": "text", "text": "audio"}[side]
    with torch.random.fork_rng(devices=[]):
        model = kind(config, add_pooling_layer=False).eval()
        projection = nn.Linear(config.hidden_size, _common(state, "", "_proj.bias")).eval()
    parts = {f"{side}_model.": model, f"{side}_proj.": projection}
    expected: dict[str, TensorFacts] = {
        f"{prefix}{name}": facts
        for prefix, part in parts.items()
        for name, facts in facts_of(part.state_dict()).items()
    }
    unused = (*_NOT_USED, f"{other}_model.*", f"{other}_proj.*")
    require_tensors(facts_of(state), expected, f"the {side} side of CLaMP 3", path, unused=unused)
    for prefix, part in parts.items():
        part.load_state_dict({name: state[f"{prefix}{name}"] for name in part.state_dict()})
    return model, projection
