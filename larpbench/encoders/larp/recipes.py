"""What a stage is trained with, in each size."""

from __future__ import annotations

from typing import Any

from larpbench.encoders.frozen_views import DEFAULT_VIEWS
from larpbench.encoders.larp.heads.settings import HeadsRecipe, HeadsTraining
from larpbench.encoders.larp.settings import DEFAULT_NEIGHBOURS, Fusion, Recipe, Size, Stage, TrainingSettings
from larpbench.encoders.towers.settings import TINY_AUDIO, BertSettings, SwinSettings

# BERT's 0.02 is made for 768 numbers. With 128, the first token would hardly see the words: random towers would give
# all captions the same vector, with which there is nothing to contrast.
_TINY_TEXT = BertSettings(hidden=128, layers=2, heads=4, intermediate=256, positions=64, initial_std=128**-0.5)
_PAPER_TEXT = BertSettings(tokenizer="bert-base-uncased", weights="bert-base-uncased")
# Of small data sets: an epoch is a few updates, and 100 validation playlists are a noisy judge.
_SMALL: dict[str, Any] = {"batch": 64, "learning_rate": 3e-4, "patience": 10}
# A queue is of use only while its keys are nearly as good as fresh ones: either the model moves slowly, or it follows
# the momentum copy slowly. From random towers, in a few hundred updates, neither can be: the old keys are told from the
# new ones by their age, both towers run ahead of the queue, and all tracks end in one point.
_TINY: dict[str, Any] = {**_SMALL, "batch": 32, "learning_rate": 1e-3, "momentum": 0.9, "queue": 0, "epochs": 20}
_TRAINING: dict[Size, dict[str, Any]] = {
    "heads-plain": _SMALL,
    "tiny": _TINY,
    "paper": {"chunk": 10, "precision": "bfloat16"},
}


def recipe(
    size: Size,
    stage: Stage | None,
    towers: tuple[str, ...] = DEFAULT_VIEWS,
    fusion: Fusion = "attention",
    neighbours: int = DEFAULT_NEIGHBOURS,
) -> Recipe | HeadsRecipe:
    """Return what a stage is trained with.

    Args:
        size: Which size.
        stage: Which stage; None for initial weights.
        towers: Names of the frozen encoders, for ``heads`` one or two; for ``heads-plain`` an audio and a text encoder.
        fusion: Of the last stage.
        neighbours: J, of the last stage.
    """
    last = fusion if stage == "tpc" else "mean"
    drawn = neighbours if stage == "tpc" else 0
    if size == "heads":
        return HeadsRecipe(
            views=towers, fusion=last, training=HeadsTraining(stage=stage, neighbours=drawn) if stage else None
        )
    audio, text = {
        "heads-plain": towers,
        "tiny": (TINY_AUDIO, _TINY_TEXT),
        "paper": (SwinSettings(), _PAPER_TEXT),
    }[size]
    training = None
    if stage:
        settings = dict(_TRAINING[size])
        if stage != "wtc" and "batch" in settings:
            settings["batch"] //= 2  # pairs: the towers see as many tracks an update as in the first stage
        training = TrainingSettings(stage=stage, neighbours=drawn, **settings)
    return Recipe(audio=audio, text=text, fusion=last, training=training)
