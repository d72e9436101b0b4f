"""Settings of heads over frozen views and of their training, which a checkpoint's key depends on."""

from __future__ import annotations

from typing import Literal

from larpbench.encoders.frozen_views import WEIGHTS
from larpbench.encoders.larp.settings import Fusion, Stage
from larpbench.training.settings import LoopSettings, Settings


class HeadsTraining(LoopSettings):
    """How one stage is trained."""

    stage: Stage
    batch: int = 256
    """Anchors an update; fewer where an epoch would otherwise have less than `least_updates`."""
    epochs: int = 15
    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    """Of AdamW (Loshchilov & Hutter 2019, Decoupled weight decay regularization)."""
    anchors: int = 4_096
    """Of an epoch, at most: drawn anew each time. An update compares with all train tracks, so an epoch that took every
    track as an anchor would cost the square of their number."""
    least_updates: int = 16
    """Of an epoch, while there are enough anchors for batches of 8."""
    candidates: int = 20_000
    """Train tracks that anchors are contrasted with; all of them up to this number, else so many drawn ones."""
    temperature: float = 0.1
    neighbours: int = 10
    """J: tracks that a playlist is fused from."""
    residual: bool = True
    """Whether the logits between tracks, and between playlists and tracks, are the similarity of the heads plus that of
    the frozen vectors: the heads then learn what the frozen vectors lack."""
    playlists: Literal["joint", "cross-modal", "both"] = "joint"
    """What of a playlist is contrasted with what of a track: the mean of both sides with that of the track, or one side
    with the other (equation 21)."""

    def anchors_in_all(self, tracks: int) -> int:
        """Return how many anchors a stage takes on so many train tracks, if nothing ends it early."""
        return super().anchors_in_all(min(tracks, self.anchors))


class HeadsRecipe(Settings):
    """One training: the views, the shape of the heads, the stage, and what validation chooses from."""

    views: tuple[str, ...]
    """Names of the frozen encoders, each centred on train: one, or an audio and a text view."""
    width: int = 256
    """Numbers that a head returns."""
    hidden: int = 0
    """Width of a hidden layer; 0: the heads are linear."""
    dropout: float = 0.3
    """Of the inputs."""
    fusion: Fusion = "mean"
    """Matters in the last stage only."""
    weights: tuple[float, ...] = WEIGHTS
    """Of the heads beside the frozen vectors; an earlier one is preferred."""
    training: HeadsTraining | None = None
    """None: initial weights only."""


class HeadsSettings(Settings):
    """What a model is."""

    kind: Literal["heads"] = "heads"
    views: tuple[str, ...]
    """As they were named, with the folder of a file."""
    dims: tuple[int, ...]
    """Length of each view's vectors."""
    width: int
    hidden: int
    dropout: float
    fusion: Fusion
    weight: float
    """Of the heads beside the frozen vectors; 0: the frozen vectors alone."""

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return sum(self.dims) + (self.width if self.weight else 0)
