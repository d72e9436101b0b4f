"""From a recipe and a data set to trained weights: builds the model and runs one stage, which can be resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.encoder import FitContext, Rows
from larpbench.encoders.larp.model import HeadTower, Larp, load_larp
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings, Recipe, TrainingSettings
from larpbench.encoders.larp.stage import StageTrainer
from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.initial_weights import load_initial
from larpbench.encoders.towers.inputs import MelInputs, TokenInputs, TrackInputs, VectorInputs, band_statistics, embed
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.encoders.towers.settings import BertSettings, SwinSettings
from larpbench.encoders.towers.tokens import Tokenizer, WordPieces, WordTokenizer, find_bert_tokenizer
from larpbench.encoders.towers.training import run_trainer, save_model, seeded
from larpbench.training.loop import TrainedModel, count_parameters


def train_stage(train: Split, valid: Split, context: FitContext) -> tuple[TrainedModel[Larp], Tokenizer | None]:
    """Make the model of the recipe, or take that of the stage before, and train it for one stage.

    Args:
        train: What it learns from.
        valid: Its playlists select the epoch.
        context: The recipe, the seed, where to compute and what to score with.

    Returns:
        The model with the weights of the best epoch, and its tokenizer.

    Raises:
        DataError: If the data cannot be learnt from, or initial weights are of another size.
        TrainingError: If the loss is no longer a number; the best weights so far are kept.
    """
    recipe = Recipe.model_validate(dict(context.settings))
    with seeded(context):
        if context.start is None:
            model, tokenizer, facts = _new_model(recipe, train, context)
        else:
            model, tokenizer, facts = _next_model(recipe, context.start)
        if recipe.training is None:
            return TrainedModel(model, [], facts), tokenizer
        trained = _train(recipe.training, model, tokenizer, train, valid, context)
        updates = facts["updates_in_all"] + trained.facts["updates"]
        return replace(trained, facts={**facts, **trained.facts, "updates_in_all": updates}), tokenizer


def _new_model(recipe: Recipe, train: Split, context: FitContext) -> tuple[Larp, Tokenizer | None, dict[str, Any]]:
    rows = context.inputs["train"]
    audio = _head(recipe, recipe.audio, rows[0]) if isinstance(recipe.audio, str) else recipe.audio
    tokenizer: Tokenizer | None = None
    text: BertSettings | HeadSettings
    if isinstance(recipe.text, str):
        text = _head(recipe, recipe.text, rows[-1])
    else:
        tokenizer = _tokenizer(recipe, recipe.text, train)
        text = recipe.text.model_copy(update={"vocabulary": tokenizer.size})
    model = Larp(
        ModelSettings(
            audio=audio,
            text=text,
            dim=recipe.dim,
            temperature=recipe.temperature,
            learn_temperature=recipe.learn_temperature,
            fusion=recipe.fusion,
        )
    )
    matched = {}
    for tower in (model.audio, model.text):
        if not isinstance(tower, HeadTower):
            initial = load_initial(tower, tower.settings.weights)
            side = "audio" if isinstance(tower, AudioTower) else "text"
            matched[side] = {"weights": tower.settings.weights, "matched": initial.matched, "of": initial.total}
            if isinstance(tower, AudioTower) and not initial.matched:
                tower.set_statistics(*band_statistics(MelInputs(rows[0], tower.settings.mel)))
    facts = {"initial_weights": matched, "updates": 0, "updates_in_all": 0, "parameters": count_parameters(model)}
    return model, tokenizer, facts


def _head(recipe: Recipe, encoder: str, rows: Rows) -> HeadSettings:
    shape = recipe.head
    dim = rows[np.arange(min(len(rows), 1))].shape[1]
    return HeadSettings(encoder=encoder, inputs=dim, hidden=shape.hidden, dropout=shape.dropout)


def _tokenizer(recipe: Recipe, text: BertSettings, train: Split) -> Tokenizer:
    if text.tokenizer != "words":
        return WordPieces(find_bert_tokenizer(text.tokenizer), text.max_tokens)
    captions = train.tracks["caption"].to_list()
    return WordTokenizer.build(captions, text.max_tokens, words=recipe.words.words, buckets=recipe.words.buckets)


def _next_model(recipe: Recipe, start: Path) -> tuple[Larp, Tokenizer | None, dict[str, Any]]:
    before, tokenizer = load_larp(start)
    model = Larp(before.settings.model_copy(update={"fusion": recipe.fusion}))
    model.load_state_dict(before.state_dict(), strict=False)  # the fusion is new, or no longer there
    card = read_card(start)
    facts = {"updates": 0, "updates_in_all": card["updates_in_all"], "parameters": count_parameters(model)}
    return model, tokenizer, facts


def _train(
    settings: TrainingSettings,
    model: Larp,
    tokenizer: Tokenizer | None,
    train: Split,
    valid: Split,
    context: FitContext,
) -> TrainedModel[Larp]:
    tracks, valid_tracks = (_inputs(model.settings, split, tokenizer, context) for split in (train, valid))
    graph = PlaylistGraph(train.interactions(), len(tracks))
    if settings.stage != "wtc":
        graph.require_pairs()
    return run_trainer(
        StageTrainer(model, settings, tracks, graph, context.seed, context.device),
        context,
        f"larp {settings.stage}",
        embed=lambda candidate: embed(candidate, valid_tracks, context.device),
        save=lambda folder, candidate: save_model(folder, candidate, candidate.settings, tokenizer),
        load=lambda folder: load_larp(folder, with_text=False)[0],
    )


def _inputs(settings: ModelSettings, split: Split, tokenizer: Tokenizer | None, context: FitContext) -> TrackInputs:
    rows = context.inputs[split.name]
    audio, text = settings.audio, settings.text
    sound = MelInputs(rows[0], audio.mel) if isinstance(audio, SwinSettings) else VectorInputs(rows[0])
    if isinstance(text, HeadSettings):
        return TrackInputs(sound, VectorInputs(rows[-1]))
    if tokenizer is None:
        raise ValueError("a text tower without a tokenizer")
    return TrackInputs(sound, TokenInputs(split.tracks["caption"].to_list(), tokenizer))
