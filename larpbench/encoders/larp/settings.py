"""Settings of LARP models of two towers and of their training, which a checkpoint's key depends on."""

from __future__ import annotations

from typing import Literal

from larpbench.encoders.towers.settings import BertSettings, SwinSettings, WordsShape
from larpbench.training.settings import LoopSettings, Settings

Stage = Literal["wtc", "ttc", "tpc"]
STAGES: tuple[Stage, ...] = ("wtc", "ttc", "tpc")
Fusion = Literal["attention", "mean"]
Size = Literal["heads", "heads-plain", "tiny", "paper"]
SIZES: tuple[Size, ...] = ("heads", "heads-plain", "tiny", "paper")
DEFAULT_NEIGHBOURS = 10


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
