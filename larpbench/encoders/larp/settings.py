"""Settings of LARP models and of their training, which a checkpoint's key depends on; recipes of the three sizes."""

from __future__ import annotations

from typing import Any, Literal

from larpbench.encoders.towers.settings import TINY_AUDIO, BertSettings, SwinSettings, WordsShape
from larpbench.training.settings import LoopSettings, Settings

Stage = Literal["wtc", "ttc", "tpc"]
STAGES: tuple[Stage, ...] = ("wtc", "ttc", "tpc")
Fusion = Literal["attention", "mean"]
Size = Literal["heads", "tiny", "paper"]
SIZES: tuple[Size, ...] = ("heads", "tiny", "paper")


class HeadSettings(Settings):
    """A small network on frozen embeddings of another encoder, in place of a tower."""

    kind: Literal["head"] = "head"
    encoder: str
    """Identity of the frozen encoder."""
    inputs: int
    """Length of its vectors."""
    hidden: int = 512
    dropout: float = 0.1


class ModelSettings(Settings):
    """Both towers, and what joins them."""

    audio: SwinSettings | HeadSettings
    text: BertSettings | HeadSettings
    dim: int = 256
    """Length d of the common embeddings."""
    temperature: float = 0.07
    learn_temperature: bool = False
    fusion: Fusion = "attention"


class TrainingSettings(LoopSettings):
    """How one stage is trained (section 4.1.3); the defaults are the paper's.

    `batch` counts tracks in the first stage, pairs of tracks in the others.
    """

    stage: Stage
    momentum: float = 0.995
    queue: int = 57_600
    """Tracks in the queue; at most half the train tracks."""
    soft_target_alpha: float = 0.0
    neighbours: int = 10
    """J: tracks that a playlist is fused from."""
    chunk: int | None = None
    """Tracks whose activations are kept at once (gradient caching); None: all of a batch."""


class HeadShape(Settings):
    """Shape of the networks on frozen embeddings; their inputs' length is known once the embeddings are."""

    hidden: int = 512
    dropout: float = 0.5


class Recipe(Settings):
    """One training: the model's parts, and the stage that it goes through."""

    audio: SwinSettings | str
    """Shape of the tower, or the identity of the frozen encoder that takes its place."""
    text: BertSettings | str
    head: HeadShape = HeadShape()
    words: WordsShape = WordsShape()
    dim: int = 256
    temperature: float = 0.07
    learn_temperature: bool = False
    fusion: Fusion = "mean"
    """Matters in the last stage only."""
    training: TrainingSettings | None = None
    """None: initial weights only."""


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
