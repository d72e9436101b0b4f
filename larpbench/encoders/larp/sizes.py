"""The three sizes: trainable heads over frozen embeddings, a tiny model of both towers, and the paper's."""

from __future__ import annotations

from typing import Any

from larpbench.encoders.larp.settings import Fusion, Recipe, Size, Stage, TrainingSettings
from larpbench.encoders.towers.settings import TINY_AUDIO, BertSettings, SwinSettings

DEFAULT_TOWERS = ("handcrafted", "tfidf")
DEFAULT_NEIGHBOURS = 10
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
    "heads": _SMALL,
    "tiny": _TINY,
    "paper": {"chunk": 10, "precision": "bfloat16"},
}


def recipe(
    size: Size,
    stage: Stage | None,
    towers: tuple[str, str] = DEFAULT_TOWERS,
    fusion: Fusion = "attention",
    neighbours: int = DEFAULT_NEIGHBOURS,
) -> Recipe:
    """Return what a stage is trained with.

    Args:
        size: Which size.
        stage: Which stage; None for initial weights.
        towers: Identities of the frozen audio and text encoder, for ``heads``.
        fusion: Of the last stage.
        neighbours: J, of the last stage.
    """
    audio, text = {
        "heads": towers,
        "tiny": (TINY_AUDIO, _TINY_TEXT),
        "paper": (SwinSettings(), _PAPER_TEXT),
    }[size]
    training = None
    if stage:
        settings = dict(_TRAINING[size])
        if stage != "wtc" and "batch" in settings:
            settings["batch"] //= 2  # pairs: the towers see as many tracks an update as in the first stage
        training = TrainingSettings(stage=stage, neighbours=neighbours if stage == "tpc" else 0, **settings)
    return Recipe(audio=audio, text=text, fusion=fusion if stage == "tpc" else "mean", training=training)
