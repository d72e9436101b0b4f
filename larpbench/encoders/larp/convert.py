"""Turns a checkpoint of the LARP authors' code into a folder that larpbench runs.

Both towers, their projections, the temperature and the attention over a playlist's tracks are taken. Momentum copies,
queues, lookup tables, cross-attention and the text decoder are not: features do not depend on them.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from larpbench import storage
from larpbench.encoders.card import View
from larpbench.encoders.checkpoint_folder import CARD
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings
from larpbench.encoders.towers.audio_tower import PATCH
from larpbench.encoders.towers.initial_weights import (
    NOT_LEARNED,
    TOKEN_TYPES,
    State,
    audio_state,
    read_state,
    refuse_other_numbers,
    refuse_other_shapes,
    text_state,
)
from larpbench.encoders.towers.settings import BertSettings, MelSettings, SwinSettings
from larpbench.encoders.towers.text_tower import TextTower
from larpbench.encoders.towers.tokens import WordPieces, find_bert_tokenizer
from larpbench.encoders.towers.training import save_model
from larpbench.encoders.weights.finder import BERT_NAMES
from larpbench.errors import DataError, MissingPartError, named
from larpbench.fingerprint import digest_file

Shapes = Mapping[str, Sequence[int]]
_AUDIO, _TEXT = "audio_encoder.", "text_encoder."
_FUSION = {
    f"playlist_constructor.transformer_encoder.0.w_{name[0]}.weight": f"fusion.{name}.weight"
    for name in ("query", "key", "value")
}
_TEMPERATURE = "temp"
_ABSENT = HeadSettings(encoder="none", inputs=1, hidden=1, dropout=0.0)
"""Stands for a side that the checkpoint has not."""
_ADDED_TOKENS = 2  # rows that the authors' code adds for its decoder, and that no caption uses


@dataclass(frozen=True)
class ConvertedSummary:
    """What a conversion gave.

    Attributes:
        output: The folder written.
        settings: Of the model, inferred from the checkpoint's shapes.
        views: What the encoder can see of a track with it.
        matched: Tensors of the model that the checkpoint has; all of them.
        ignored: Tensors of the checkpoint that have no part in features.
        needs_tokenizer: Whether the text tower is there, but no tokenizer for it.
    """

    output: Path
    settings: ModelSettings
    views: tuple[View, ...]
    matched: int
    ignored: int
    needs_tokenizer: bool


def convert(checkpoint: Path, output: Path, tokenizer: str | None = None) -> ConvertedSummary:
    """Write ``model.safetensors``, ``settings.json``, ``card.json`` and the tokenizer's file.

    Args:
        checkpoint: Of the authors' code: .pth, .pt or .safetensors. Nothing in it is executed.
        output: Folder to write; new or empty, or with just what is to come in.
        tokenizer: Folder of the text tower's tokenizer, or its name in the hub cache. By default that of
            ``bert-base-uncased``, if the checkpoint has its vocabulary.

    Raises:
        UsageError: If something else is there already.
        DataError: If the checkpoint is damaged, or of something else, or the tokenizer is another one.
        MissingPartError: If the tokenizer is not here and nothing works without it.
    """
    state = read_state(checkpoint)
    try:
        settings = infer_settings({name: tuple(tensor.shape) for name, tensor in state.items()})
    except DataError as error:
        error.where = str(checkpoint)
        raise
    temperature = state.get(_TEMPERATURE)
    if temperature is not None and temperature.numel() == 1:
        settings = settings.model_copy(update={"temperature": float(temperature)})
    pieces = _tokenizer(settings.text, tokenizer) if isinstance(settings.text, BertSettings) else None
    views: list[View] = ["audio"] if isinstance(settings.audio, SwinSettings) else []
    views += ["text"] if pieces else []
    if not views:
        raise MissingPartError(
            "the checkpoint has a text tower only, and there is no tokenizer for it", next_step="add --tokenizer DIR"
        )

    model = Larp(settings)
    refuse_other_numbers(state, _translate, checkpoint)
    matched = _fill(model, _translate(state), checkpoint)
    summary = ConvertedSummary(
        output=output,
        settings=settings,
        views=tuple(views),
        matched=matched,
        ignored=sum(not _translate({name: tensor}) for name, tensor in state.items()),
        needs_tokenizer=isinstance(settings.text, BertSettings) and pieces is None,
    )
    with storage.staging_folder(output) as folder:
        save_model(folder, model, settings, pieces)
        storage.write_text(folder / CARD, json.dumps(_card(summary, checkpoint), indent=2) + "\n")
        storage.put_in_place_once(folder, output)
    return summary


def infer_settings(shapes: Shapes) -> ModelSettings:
    """Return the settings of a model from the shapes of its tensors, by the authors' names.

    Sample rate, hop, frequency range and clip length leave no trace in the shapes: they are the paper's.

    Raises:
        DataError: If there is neither side of a LARP model, or the shapes contradict each other.
    """
    has_audio, has_text = (any(name.startswith(side) for name in shapes) for side in (_AUDIO, _TEXT))
    if not has_audio and not has_text:
        raise DataError(
            f"this is no checkpoint of LARP; it holds {named(sorted(shapes), 3)}",
            allowed=f"{_AUDIO}* and audio_proj.*, {_TEXT}* and text_proj.*, or one of both sides",
        )
    dims = {_shape(shapes, "audio_proj.weight", 2)[0]} if has_audio else set()
    dims |= {_shape(shapes, "text_proj.weight", 2)[0]} if has_text else set()
    if len(dims) > 1:
        raise DataError(f"the two projections have different lengths, {sorted(dims)}")
    return ModelSettings(
        audio=_audio_settings(shapes) if has_audio else _ABSENT,
        text=_text_settings(shapes) if has_text else _ABSENT,
        dim=dims.pop(),
        fusion="attention" if all(name in shapes for name in _FUSION) else "mean",
    )


def _audio_settings(shapes: Shapes) -> SwinSettings:
    width, channels, *patch = _shape(shapes, f"{_AUDIO}patch_embed.proj.weight", 4)
    if channels != 1 or patch != [PATCH, PATCH]:
        raise DataError(f"the audio tower has patches of {channels} x {patch}", allowed=f"1 x {[PATCH, PATCH]}")
    depths = _depths(shapes, rf"{re.escape(_AUDIO)}layers\.(\d+)\.blocks\.(\d+)\.")
    table = "attn.relative_position_bias_table"
    tables = [_shape(shapes, f"{_AUDIO}layers.{stage}.blocks.0.{table}", 2) for stage in range(len(depths))]
    window = (math.isqrt(tables[0][0]) + 1) // 2
    spec_size = SwinSettings().spec_size
    mask = f"{_AUDIO}layers.0.blocks.1.attn_mask"  # one for each window of the first stage
    if mask in shapes:
        spec_size = math.isqrt(_shape(shapes, mask, 3)[0]) * window * PATCH
    mel = MelSettings(n_mels=_shape(shapes, f"{_AUDIO}bn0.weight", 1)[0])
    filters = f"{_AUDIO}logmel_extractor.melW"
    if filters in shapes:
        mel = mel.model_copy(update={"n_fft": 2 * (_shape(shapes, filters, 2)[0] - 1)})
    heads = tuple(each[1] for each in tables)
    return SwinSettings(mel=mel, width=width, depths=depths, heads=heads, window=window, spec_size=spec_size)


def _text_settings(shapes: Shapes) -> BertSettings:
    vocabulary, hidden = _shape(shapes, f"{_TEXT}embeddings.word_embeddings.weight", 2)
    layers = len(_depths(shapes, rf"{re.escape(_TEXT)}encoder\.layer\.(\d+)\.()"))
    per_head = 64 if hidden % 64 == 0 and hidden >= 128 else 16  # the shapes do not tell
    return BertSettings(
        tokenizer=BERT_NAMES[0],
        vocabulary=vocabulary,
        hidden=hidden,
        layers=layers,
        heads=hidden // per_head,
        intermediate=_shape(shapes, f"{_TEXT}encoder.layer.0.intermediate.dense.weight", 2)[0],
        positions=_shape(shapes, f"{_TEXT}embeddings.position_embeddings.weight", 2)[0],
    )


def _depths(shapes: Shapes, pattern: str) -> tuple[int, ...]:
    """Return how many blocks each stage has, or () for each layer where there are no blocks."""
    found = {(int(match[1]), match[2]) for name in shapes if (match := re.match(pattern, name))}
    stages = {stage for stage, _ in found}
    if not stages or stages != set(range(len(stages))):
        raise DataError(f"the checkpoint lacks layers; it has {sorted(stages)}")
    return tuple(sum(stage == own for own, _ in found) for stage in sorted(stages))


def _shape(shapes: Shapes, name: str, axes: int) -> Sequence[int]:
    shape = shapes.get(name)
    if shape is None or len(shape) != axes:
        raise DataError(
            f"the checkpoint has {'no ' if shape is None else ''}tensor {name!r}"
            + ("" if shape is None else f" of {len(shape)} axes"),
            allowed=f"{axes} axes",
        )
    return shape


def _translate(state: Mapping[str, Tensor]) -> State:
    """Return the tensors of the authors' checkpoint by the names of `Larp`."""
    found = {f"audio.{name}": tensor for name, tensor in audio_state(state, _AUDIO).items()}
    found |= {f"text.{name}": tensor for name, tensor in text_state(state, _TEXT).items()}
    for name, tensor in state.items():
        side, projection, rest = name.partition("_proj.")
        if projection and side in ("audio", "text"):
            found[f"{side}_projection.{rest}"] = tensor
        elif name in _FUSION:
            found[_FUSION[name]] = tensor
        elif name == _TEMPERATURE:
            found["temperature"] = tensor.reshape(())
    return found


def _fill(model: Larp, found: State, checkpoint: Path) -> int:
    """Load the weights, refuse gaps, and return how many tensors were filled."""
    own = model.state_dict()
    found = {name: tensor for name, tensor in found.items() if name in own}
    absent = [side for side in ("audio", "text") if getattr(model.settings, side) == _ABSENT]
    optional = (*(f"{side}{end}" for side in absent for end in "._"), f"text.{TOKEN_TYPES}", "temperature")
    missing = [
        name for name in own if name not in found and not name.startswith(optional) and not name.endswith(NOT_LEARNED)
    ]
    if missing:
        raise DataError(f"the checkpoint lacks {len(missing)} tensors: {named(missing, 3)}", where=str(checkpoint))
    refuse_other_shapes(found, own, checkpoint)
    model.load_state_dict(found, strict=False)
    if isinstance(model.text, TextTower):
        model.text.drop_token_types()  # the authors' tower has none
    return len(found)


def _tokenizer(text: BertSettings, name: str | None) -> WordPieces | None:
    """Return the tokenizer of the text tower; None if none was named and that of BERT is not here or does not fit."""
    allowed = range(text.vocabulary - _ADDED_TOKENS, text.vocabulary + 1)
    try:
        pieces = WordPieces(find_bert_tokenizer(name or BERT_NAMES[0]), text.max_tokens)
    except MissingPartError:
        if name is not None:
            raise
        return None
    if pieces.size in allowed:
        return pieces
    if name is None:
        return None
    raise DataError(
        f"the tokenizer has {pieces.size} tokens, the text tower {text.vocabulary}",
        where=name,
        allowed=f"{allowed[0]} to {allowed[-1]}",
    )


def _card(summary: ConvertedSummary, checkpoint: Path) -> dict[str, object]:
    return {
        "kind": "larp",
        "origin": "converted",
        "source": checkpoint.name,
        "source_sha256": digest_file(checkpoint),
        "views": list(summary.views),
        "matched": summary.matched,
        "ignored": summary.ignored,
        "larpbench": importlib.metadata.version("larpbench"),
    }
