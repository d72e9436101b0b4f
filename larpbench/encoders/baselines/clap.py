"""CLAP (Wu et al. 2023, "Large-scale contrastive language-audio pretraining"): HTS-AT, RoBERTa, two layers on each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from larpbench.checkpoint_tensors import NOT_WEIGHTS, Faults, TensorFacts, dtype_name, matches
from larpbench.encoders.baselines.settings import ClapSettings, RobertaSettings
from larpbench.encoders.towers.audio_tower import AudioTower, in_chunks
from larpbench.encoders.towers.initial_weights import (
    NOT_LEARNED,
    State,
    audio_state,
    read_state,
    refuse_other_numbers,
    refuse_other_shapes,
)
from larpbench.encoders.towers.inputs import TwoTowers
from larpbench.encoders.weights.finder import checkpoint_folder, weight_files
from larpbench.errors import DataError, MissingPartError, named
from larpbench.training.ranks import ALONE

_TEXT_MODEL = "text.roberta."
_LEARNT_SCALE = "logit_scale_a"  # the logarithm of 1 / temperature
_SCALES = (_LEARNT_SCALE, "logit_scale_t")
_NOT_IN_CHECKPOINTS = ("temperature", "position_ids", "token_type_ids", *NOT_LEARNED)


class RobertaTower(nn.Module):
    """Token ids to vectors.

    Args:
        settings: Shape. Weights are random.

    Attributes:
        width: Length of the vectors.
        chunk: Captions whose activations are in memory at once; None for all of a batch.
        ranks: The processes that share the rows of a batch.
    """

    def __init__(self, settings: RobertaSettings) -> None:
        from transformers import ClapTextConfig, ClapTextModel

        super().__init__()
        self.width = settings.hidden
        self.chunk: int | None = None
        self.ranks = ALONE
        config = ClapTextConfig(
            vocab_size=settings.vocabulary,
            hidden_size=settings.hidden,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            intermediate_size=settings.intermediate,
            hidden_dropout_prob=settings.dropout,
            attention_probs_dropout_prob=settings.dropout,
            max_position_embeddings=settings.positions,
            pad_token_id=settings.padding,
        )
        self.roberta: Any = ClapTextModel(config)
        for module in self.roberta.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=settings.initial_std)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (n, width): the pooled first token.

        Args:
            input_ids: (n, tokens) int64, padded.
            attention_mask: (n, tokens), 1 where there is a token and 0 where padding is.
        """
        return in_chunks(self._encode, self.chunk, input_ids, attention_mask, ranks=self.ranks)

    def _encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.roberta(input_ids=input_ids, attention_mask=attention_mask).pooler_output


class Clap(TwoTowers):
    """Both towers, the layers that lead to their common space, and the temperature.

    Args:
        settings: Shapes.
    """

    def __init__(self, settings: ClapSettings) -> None:
        super().__init__()
        self.settings = settings
        self.audio = AudioTower(settings.audio)
        self.text = RobertaTower(settings.text)
        self.audio_projection = _projection(self.audio.width, settings.dim)
        self.text_projection = _projection(self.text.width, settings.dim)
        self.temperature = nn.Parameter(torch.tensor(settings.temperature))


def _projection(width: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim))


def load_pretrained(model: Clap, weights: str) -> int:
    """Copy a CLAP checkpoint of transformers into a model, temperature included; nothing is downloaded.

    Args:
        model: All of its tensors are overwritten.
        weights: A folder, or the name of a checkpoint in the hub cache.

    Returns:
        How many tensors came out of the checkpoint.

    Raises:
        MissingPartError: If the checkpoint is not here.
        DataError: If it is of another kind or size, or cannot be read.
    """
    files = weight_files(weights)
    state = {name: tensor for path in files for name, tensor in read_state(path).items()}
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(_NOT_IN_CHECKPOINTS)}
    translated = _translated(state)
    found = {name: translated[name] for name in own if name in translated}
    if len(found) < len(own):
        missing = named(sorted(own.keys() - found.keys()), 3)
        raise DataError(
            f"the checkpoint has {len(found)} of the {len(own)} tensors of CLAP; missing: {missing}",
            where=str(files[0]),
            allowed="a CLAP checkpoint of transformers, such as laion/clap-htsat-unfused",
        )
    unknown = {
        name: TensorFacts(tuple(tensor.shape), dtype_name(tensor))
        for name, tensor in state.items()
        if not _translated({name: tensor}).keys() & own.keys() and not matches(name, (*_SCALES, *NOT_WEIGHTS))
    }
    Faults(unexpected=unknown).refuse("CLAP", files[0])
    refuse_other_numbers(state, _translated, files[0])
    refuse_other_shapes(found, own, files[0])
    model.load_state_dict(found, strict=False)
    if _LEARNT_SCALE in state:
        with torch.no_grad():
            model.temperature.copy_(torch.exp(-state[_LEARNT_SCALE]))
    return len(found)


def tokenizer_folder(weights: str) -> Path:
    """Return the folder of a checkpoint, which holds its tokenizer.

    Raises:
        MissingPartError: If it is not here.
    """
    folder = checkpoint_folder(weights)
    if folder is None:
        raise MissingPartError(
            f"the checkpoint {weights!r} is not here", allowed="a folder, or a name in the hub cache"
        )
    return folder


def _translated(state: State) -> State:
    """Return what transformers' ClapModel calls its tensors, by the names of `Clap`."""
    found: State = {f"audio.{name}": t for name, t in audio_state(state, "audio_model.audio_encoder.").items()}
    for name, tensor in state.items():
        tower, _, rest = name.partition(".")
        if tower == "text_model":
            found[_TEXT_MODEL + rest] = tensor
        elif tower in ("audio_projection", "text_projection"):
            layer, _, kind = rest.partition(".")
            found[f"{tower}.{ {'linear1': 0, 'linear2': 2}.get(layer, layer) }.{kind}"] = tensor
    return found
