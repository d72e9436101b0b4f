"""From a recipe and a data set to trained weights: builds the model, runs the stage, survives a kill."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from larpbench.datasets.schema import Split
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.encoder import FitContext, Rows
from larpbench.encoders.larp.checkpoint import load_model, save_model
from larpbench.encoders.larp.model import HeadTower, Larp
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings, Recipe
from larpbench.encoders.larp.stage import StageTrainer
from larpbench.encoders.towers.audio_tower import AudioTower
from larpbench.encoders.towers.fitting import facts, fit, parameters
from larpbench.encoders.towers.initial_weights import load_initial
from larpbench.encoders.towers.inputs import MelInputs, TokenInputs, VectorInputs, band_statistics
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.encoders.towers.settings import BertSettings, SwinSettings
from larpbench.encoders.towers.tokens import Tokenizer, WordPieces, WordTokenizer, find_bert_tokenizer
from larpbench.encoders.towers.track_inputs import TrackInputs, embed
from larpbench.errors import DataError


@dataclass(frozen=True)
class Trained:
    """What a stage gave.

    Attributes:
        model: With the weights of the epoch that was best on validation.
        tokenizer: Of its text tower.
        history: One entry an epoch.
        facts: What a record should say.
    """

    model: Larp
    tokenizer: Tokenizer | None
    history: list[dict[str, Any]]
    facts: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """Return what a record should say, history included."""
        return {**self.facts, "history": self.history}


def train_stage(train: Split, valid: Split, context: FitContext) -> Trained:
    """Make the model that the recipe asks for, or take that of the stage before, and train it for one stage.

    Args:
        train: Learnt from.
        valid: Its playlists select the epoch.
        context: The recipe, the seed, where to compute and what to score with.

    Raises:
        DataError: If the data cannot be learnt from, or initial weights are of another size.
        TrainingError: If the loss is no longer a number; the best weights so far are kept.
    """
    recipe = Recipe.model_validate(dict(context.settings))
    devices = [torch.device(context.device)] if context.device != "cpu" else []
    with torch.random.fork_rng(devices):  # the caller's random numbers are none of our business
        torch.manual_seed(context.seed)
        if context.start is None:
            model, tokenizer, known = _new_model(recipe, train, context)
        else:
            model, tokenizer, known = _next_model(recipe, context.start)
        if recipe.training is None:
            return Trained(model, tokenizer, [], known)
        return _trained(recipe, model, tokenizer, known, train, valid, context)


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
            found = load_initial(tower, tower.settings.weights)
            side = "audio" if isinstance(tower, AudioTower) else "text"
            matched[side] = {"weights": tower.settings.weights, "matched": found.matched, "of": found.total}
            if isinstance(tower, AudioTower) and not found.matched:
                tower.set_statistics(*band_statistics(MelInputs(rows[0], tower.settings.mel)))
    known = {"initial_weights": matched, "updates": 0, "updates_in_all": 0, "parameters": parameters(model)}
    return model, tokenizer, known


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
    before, tokenizer = load_model(start)
    model = Larp(before.settings.model_copy(update={"fusion": recipe.fusion}))
    model.load_state_dict(before.state_dict(), strict=False)  # the fusion is new, or no longer there
    card = read_card(start)
    return model, tokenizer, {"updates": 0, "updates_in_all": card["updates_in_all"], "parameters": parameters(model)}


def _trained(
    recipe: Recipe,
    model: Larp,
    tokenizer: Tokenizer | None,
    known: dict[str, Any],
    train: Split,
    valid: Split,
    context: FitContext,
) -> Trained:
    if recipe.training is None:
        raise ValueError("a recipe without training")
    tracks, heard = (_inputs(model.settings, split, tokenizer, context) for split in (train, valid))
    graph = PlaylistGraph(train.interactions(), len(tracks))
    if recipe.training.stage != "wtc" and not len(graph.paired_tracks):
        raise DataError(
            "no two train tracks share a playlist: there is nothing for stages ttc and tpc to learn",
            allowed="train playlists of at least two tracks",
        )
    trainer = StageTrainer(model, recipe.training, tracks, graph, context.seed, context.device)
    best = fit(
        trainer,
        context,
        f"train larp {recipe.training.stage} (seed {context.seed})",
        embed=lambda candidate: embed(candidate, heard, context.device),
        save=lambda folder, candidate: save_model(folder, candidate, tokenizer),
    )
    selected, _ = load_model(best, with_text=False)
    done = trainer.progress
    in_all = known["updates_in_all"] + done.update
    return Trained(selected, tokenizer, done.history, {**known, **facts(done), "updates_in_all": in_all})


def _inputs(settings: ModelSettings, split: Split, tokenizer: Tokenizer | None, context: FitContext) -> TrackInputs:
    rows = context.inputs[split.name]
    audio, text = settings.audio, settings.text
    heard = MelInputs(rows[0], audio.mel) if isinstance(audio, SwinSettings) else VectorInputs(rows[0])
    if isinstance(text, HeadSettings):
        return TrackInputs(heard, VectorInputs(rows[-1]))
    if tokenizer is None:
        raise ValueError("a text tower without a tokenizer")
    return TrackInputs(heard, TokenInputs(split.tracks["caption"].to_list(), tokenizer))
