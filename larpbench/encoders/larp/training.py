"""From a recipe and a data set to trained weights: builds the model, runs the stage, survives a kill."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open

from larpbench import progress, storage
from larpbench.datasets.schema import Split
from larpbench.encoders.base import FitContext, Rows
from larpbench.encoders.checkpoints import read_card, write_card
from larpbench.encoders.larp.audio_tower import AudioTower
from larpbench.encoders.larp.checkpoint import load_model, read_tensors, save_model, write_tensors
from larpbench.encoders.larp.initial_weights import load_initial
from larpbench.encoders.larp.inputs import MelInputs, TokenInputs, VectorInputs
from larpbench.encoders.larp.model import HeadTower, Larp
from larpbench.encoders.larp.sampling import PlaylistGraph
from larpbench.encoders.larp.settings import BertSettings, HeadSettings, ModelSettings, Recipe, SwinSettings
from larpbench.encoders.larp.stage import Progress, StageTrainer, TrackInputs, embed
from larpbench.encoders.larp.tokens import Tokenizer, WordPieces, WordTokenizer, find_bert_tokenizer
from larpbench.errors import DataError, TrainingError

LOG = "log.jsonl"
SECONDS_BETWEEN_SAVES = 30.0
_STATE, _BEST = "state.safetensors", "best"
_ROWS_AT_ONCE = 256


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
            model, tokenizer, facts = _new_model(recipe, train, context)
        else:
            model, tokenizer, facts = _next_model(recipe, context.start)
        if recipe.training is None:
            return Trained(model, tokenizer, [], facts)
        return _trained(recipe, model, tokenizer, facts, train, valid, context)


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
                _measure_bands(tower, MelInputs(rows[0], tower.settings.mel))
    return model, tokenizer, {"initial_weights": matched, "updates": 0, "updates_in_all": 0, **_size_of(model)}


def _head(recipe: Recipe, encoder: str, rows: Rows) -> HeadSettings:
    shape = recipe.head
    dim = rows[np.arange(min(len(rows), 1))].shape[1]
    return HeadSettings(encoder=encoder, inputs=dim, hidden=shape.hidden, dropout=shape.dropout)


def _tokenizer(recipe: Recipe, text: BertSettings, train: Split) -> Tokenizer:
    if text.tokenizer != "words":
        return WordPieces(find_bert_tokenizer(text.tokenizer), text.max_tokens)
    captions = train.tracks["caption"].to_list()
    return WordTokenizer.build(captions, text.max_tokens, words=recipe.words.words, buckets=recipe.words.buckets)


@torch.no_grad()
def _measure_bands(tower: AudioTower, mels: MelInputs) -> None:
    """Set the running statistics of the mel bands to those of the train tracks: eval mode holds from the start."""
    bands = tower.settings.mel.n_mels
    total, squares = torch.zeros(bands, dtype=torch.float64), torch.zeros(bands, dtype=torch.float64)
    count = 0
    for start in range(0, len(mels), _ROWS_AT_ONCE):
        (block,) = mels.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(mels))), training=False)
        values = block.double().flatten(0, 1)
        count, total, squares = count + len(values), total + values.sum(0), squares + values.square().sum(0)
    tower.set_statistics(total / count, squares / count - (total / count).square())


def _next_model(recipe: Recipe, start: Path) -> tuple[Larp, Tokenizer | None, dict[str, Any]]:
    before, tokenizer = load_model(start)
    model = Larp(before.settings.model_copy(update={"fusion": recipe.fusion}))
    model.load_state_dict(before.state_dict(), strict=False)  # the fusion is new, or no longer there
    card = read_card(start)
    return model, tokenizer, {"updates": 0, "updates_in_all": card["updates_in_all"], **_size_of(model)}


def _size_of(model: Larp) -> dict[str, int]:
    return {"parameters": sum(each.numel() for each in model.parameters())}


def _trained(
    recipe: Recipe,
    model: Larp,
    tokenizer: Tokenizer | None,
    facts: dict[str, Any],
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
    saver = _Saver(trainer, tokenizer, context)
    saver.load()

    def evaluate(candidate: Larp) -> dict[str, float]:
        vectors = embed(candidate, heard, context.device)
        if not np.isfinite(vectors).all():
            raise TrainingError(
                f"the vectors of stage {trainer.settings.stage} are not finite after update {trainer.progress.update}",
                next_step="train with a lower learning rate",
            )
        return {"recall@10": context.score(vectors), "spread": _spread(vectors)}

    name = f"train larp {recipe.training.stage} (seed {context.seed})"
    try:
        with progress.stage(name, trainer.updates, "updates", trainer.progress.update) as advance:
            trainer.run(evaluate, saver.keep_best, saver.save_sometimes, advance)
    except TrainingError as error:
        kept = context.workdir / _BEST
        if kept.is_dir():
            error.where = f"the best weights so far are kept in {kept} (encoder checkpoint:{kept})"
        raise
    best, _ = load_model(context.workdir / _BEST, with_text=False)
    done = trainer.progress
    facts = {
        **facts,
        "updates": done.update,
        "updates_in_all": facts["updates_in_all"] + done.update,
        "epochs": len(done.history),
        "selected_by": "recall@10 of the valid playlists",
        "best": done.best,
        "best_epoch": done.best_epoch,
    }
    return Trained(best, tokenizer, done.history, facts)


def _inputs(settings: ModelSettings, split: Split, tokenizer: Tokenizer | None, context: FitContext) -> TrackInputs:
    rows = context.inputs[split.name]
    audio, text = settings.audio, settings.text
    heard = MelInputs(rows[0], audio.mel) if isinstance(audio, SwinSettings) else VectorInputs(rows[0])
    if isinstance(text, HeadSettings):
        return TrackInputs(heard, VectorInputs(rows[-1]))
    if tokenizer is None:
        raise ValueError("a text tower without a tokenizer")
    return TrackInputs(heard, TokenInputs(split.tracks["caption"].to_list(), tokenizer))


def _spread(vectors: np.ndarray) -> float:
    """Return 1 less the mean cosine of two tracks: near 0 where all have collapsed to one point."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return float(1 - np.square(unit.mean(axis=0, dtype=np.float64)).sum())


class _Saver:
    """Keeps a stage's state and best weights in the work folder."""

    def __init__(self, trainer: StageTrainer, tokenizer: Tokenizer | None, context: FitContext) -> None:
        self._trainer, self._tokenizer = trainer, tokenizer
        self._workdir, self._card = context.workdir, context.card
        self._saved = time.monotonic()
        self._logged = 0

    def keep_best(self, model: Larp) -> None:
        """Save the weights that are best on validation so far, as a checkpoint of their own."""
        save_model(self._workdir / _BEST, model, self._tokenizer)
        write_card(self._workdir / _BEST, self._card)

    def save_sometimes(self) -> None:
        """Write the log after an epoch, and the state unless that has just been done."""
        history = self._trainer.progress.history
        if len(history) > self._logged:
            storage.write_text(self._workdir / LOG, "".join(json.dumps(entry) + "\n" for entry in history))
            self._logged = len(history)
        if time.monotonic() - self._saved >= SECONDS_BETWEEN_SAVES:
            state = json.dumps(dataclasses.asdict(self._trainer.progress))
            write_tensors(self._workdir / _STATE, self._trainer.tensors(), {"progress": state})
            self._saved = time.monotonic()

    def load(self) -> None:
        """Go on from a saved state, if there is one."""
        storage.sweep(self._workdir)
        path = self._workdir / _STATE
        if path.is_file():
            tensors = read_tensors(path, next_step="delete it; the stage starts anew")
            with safe_open(path, framework="pt") as archive:
                saved: Mapping[str, Any] = json.loads(archive.metadata()["progress"])
            self._trainer.restore(tensors, Progress(**saved))
