"""From a recipe and a data set to trained heads: one stage, which can be resumed and is never worse than its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.encoder import FitContext
from larpbench.encoders.frozen_views import beside, frozen_vectors, in_memory, listed
from larpbench.encoders.larp.heads.model import Heads, load_heads
from larpbench.encoders.larp.heads.settings import HeadsRecipe, HeadsSettings, HeadsTraining
from larpbench.encoders.larp.heads.trainer import HeadsTrainer
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.encoders.towers.training import run_trainer, save_model, seeded
from larpbench.evaluation.selection import first_within_one_error
from larpbench.training.loop import TrainedModel, count_parameters

_WHILE_TRAINING = 1.0
"""Weight of the heads with which epochs are compared."""


def train_heads(train: Split, valid: Split, context: FitContext, views: tuple[str, ...]) -> TrainedModel[Heads]:
    """Make heads, or take those of the stage before, and train them for one stage.

    Valid chooses the epoch, with weight 1, and then the weight: the smallest within one paired standard error of the
    best. If its recall with that weight is not above that of the start with its own, the start stays as it was.

    Args:
        train: What it learns from.
        valid: Its playlists select.
        context: The recipe, the seed, where to compute and what to score with.
        views: Names of the views, with folders of files, which a checkpoint keeps.

    Raises:
        DataError: If no two train tracks share a playlist, in a later stage.
        TrainingError: If the loss is no longer a number; the best weights so far are kept.
    """
    recipe = HeadsRecipe.model_validate(dict(context.settings))
    rows = {name: in_memory(each) for name, each in context.inputs.items()}
    with seeded(context):
        start = load_heads(context.start) if context.start else _new(recipe, views, rows["train"])
        frozen = frozen_vectors(rows["valid"])
        valid_facts = {
            "chance": context.score.chance,
            "frozen": context.score(frozen),
            "start": _recall(context, start, frozen, rows["valid"]),
        }
        facts: dict[str, Any] = {
            "frozen": list(recipe.views),
            "weight": start.settings.weight,
            "parameters": count_parameters(start),
            "valid": {**valid_facts, "best": valid_facts["start"]},
            "updates": 0,
            "updates_in_all": read_card(context.start)["updates_in_all"] if context.start else 0,
        }
        if recipe.training is None:
            return TrainedModel(start, [], facts)
        trained = _train(recipe.training, _copy(start, recipe), train, rows, frozen, context)
        learnt = trained.model.learnt(rows["valid"])
        weight = first_within_one_error(
            [context.score.per_playlist(beside(frozen, learnt, each)) for each in recipe.weights]
        )
        better = trained.facts["best_epoch"] > 0 and weight.means[weight.index] > valid_facts["start"]
        best = weight.means[weight.index] if better else valid_facts["start"]
        facts |= {
            **trained.facts,
            "updates_in_all": facts["updates_in_all"] + trained.facts["updates"],
            "selected_by": "recall@10 of the valid playlists: the epoch at weight 1, then the weight",
            "valid": {**valid_facts, "best": best},
            "best": best,
            "weights": listed("weight", recipe.weights, weight),
        }
        if not better:
            return TrainedModel(start, trained.history, {**facts, "best_epoch": 0})
        chosen = _with_weight(trained.model, recipe.weights[weight.index])
        return replace(trained, model=chosen, facts={**facts, "weight": chosen.settings.weight})


def _new(recipe: HeadsRecipe, views: tuple[str, ...], rows: Sequence[np.ndarray]) -> Heads:
    settings = HeadsSettings(
        views=views,
        dims=tuple(each.shape[1] for each in rows),
        width=recipe.width,
        hidden=recipe.hidden,
        dropout=recipe.dropout,
        fusion=recipe.fusion,
        weight=0.0,
    )
    return Heads(settings)


def _copy(start: Heads, recipe: HeadsRecipe) -> Heads:
    """Return a model to train: the start's heads, with the fusion of the stage."""
    model = Heads(start.settings.model_copy(update={"fusion": recipe.fusion, "weight": _WHILE_TRAINING}))
    model.load_state_dict(start.state_dict(), strict=False)  # the fusion is new, or no longer there
    return model


def _with_weight(model: Heads, weight: float) -> Heads:
    changed = Heads(model.settings.model_copy(update={"weight": weight}))
    changed.load_state_dict(model.state_dict())
    return changed


def _recall(context: FitContext, model: Heads, frozen: np.ndarray, views: Sequence[np.ndarray]) -> float:
    weight = model.settings.weight
    return context.score(beside(frozen, model.learnt(views), weight) if weight else frozen)


def _train(
    settings: HeadsTraining,
    model: Heads,
    train: Split,
    rows: dict[Any, list[np.ndarray]],
    frozen: np.ndarray,
    context: FitContext,
) -> TrainedModel[Heads]:
    graph = PlaylistGraph(train.interactions(), len(train.track_ids))
    if settings.stage != "wtc":
        graph.require_pairs()

    def embed(candidate: Heads) -> np.ndarray:
        return beside(frozen, candidate.learnt(rows["valid"]), _WHILE_TRAINING)

    def save(folder: Path, candidate: Heads) -> None:
        save_model(folder, candidate, candidate.settings)

    trainer = HeadsTrainer(model, settings, rows["train"], graph, context.seed, context.device)
    return run_trainer(trainer, context, f"larp {settings.stage}", embed, save, load_heads)
