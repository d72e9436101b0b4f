"""The contracts of encoders: what they are given, what they return, and how they learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from larpbench.datasets.schema import Split, SplitName
from larpbench.errors import EmbeddingError, MissingPartError


@dataclass(frozen=True)
class TrackBatch:
    """Tracks as an encoder sees them.

    Attributes:
        track_ids: (n,) str.
        captions: (n,) str.
        audio: (n, samples) float32, mono, at the card's sample rate; None for encoders that read none.
        inputs: (n, dim) float32 each: what the encoders that this one builds upon make of the tracks.
        features: What `PreparingEncoder.prepare` has made of the audio; None elsewhere.
    """

    track_ids: np.ndarray
    captions: np.ndarray
    audio: np.ndarray | None = None
    inputs: tuple[np.ndarray, ...] = ()
    features: Any = None

    def __len__(self) -> int:
        return len(self.track_ids)

    def require_audio(self, encoder: str) -> np.ndarray:
        """Return the audio, (n, samples) float32, for an encoder that cannot do without.

        Raises:
            EmbeddingError: If there is none.
        """
        if self.audio is None:
            raise EmbeddingError(f"{encoder} reads audio, and the batch has none")
        return self.audio

    heard_by = require_audio  # the earlier name, kept for one version


@dataclass(frozen=True)
class EncodeContext:
    """What an encoder may know of the run when it is built.

    Attributes:
        seed: Drives everything random.
        dataset_folder: Folder of the data set, for encoders that are part of it.
        checkpoint: Folder of the weights of an encoder that is trained; None before it is.
        weights: Folder of the pretrained weights, for encoders whose spec names some.
    """

    seed: int
    dataset_folder: Path
    checkpoint: Path | None = None
    weights: Path | None = None

    @property
    def weights_folder(self) -> Path:
        """Folder of the pretrained weights.

        Raises:
            MissingPartError: If the encoder's spec names none.
        """
        if self.weights is None:
            raise MissingPartError("an encoder was built without the folder of its pretrained weights")
        return self.weights


@runtime_checkable
class Encoder(Protocol):
    """Turns tracks into vectors. The harness batches and stores."""

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return one vector a track, (n, dim) float32, in the order of the batch."""
        ...


@runtime_checkable
class FittedEncoder(Encoder, Protocol):
    """An encoder that learns from the train split, and from nothing else (protocol rule 11)."""

    def fit(self, train: Split) -> None:
        """Learn; called once, before the first `encode`."""
        ...


@runtime_checkable
class NotingEncoder(Encoder, Protocol):
    """An encoder that has something to say of the tracks of a split once they are encoded, such as what it cut."""

    def notes(self) -> Sequence[str]:
        """Return sentences, none as a rule."""
        ...


@runtime_checkable
class PreparingEncoder(Encoder, Protocol):
    """An encoder with a front end that can run ahead: in a thread, while the batch before is encoded."""

    def prepare(self, batch: TrackBatch) -> TrackBatch:
        """Return the batch with its `features`; `encode` makes the same of a batch that has none."""
        ...


class Rows(Protocol):
    """Vectors of the tracks of a split, in memory or read from disk when they are asked for."""

    def __len__(self) -> int:
        """Return the number of tracks."""
        ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return (n, dim) float32 for (n,) int64."""
        ...


class ValidationScore(Protocol):
    """Recall@10 on the validation playlists, given (n, dim) float32 for the valid tracks."""

    @property
    def chance(self) -> float:
        """Expected score of a random ranking."""
        ...

    def __call__(self, embeddings: np.ndarray) -> float:
        """Return the mean over the playlists."""
        ...

    def per_playlist(self, embeddings: np.ndarray) -> np.ndarray:
        """Return that of each playlist, (p,) float64."""
        ...


@dataclass(frozen=True)
class FitContext:
    """What training may know of the run. Nothing in it leads to the test split (protocol rule 11).

    Attributes:
        settings: Those of the encoder's `Training`.
        seed: Drives everything random.
        device: Where to compute, as torch names it.
        workdir: Files in it survive a kill; the folder goes when training has ended well.
        start: Checkpoint of the training that this one goes on from.
        inputs: Split -> what the encoders of `Training.inputs` make of its tracks; for train and valid.
        score: Returns the recall@10 on the validation playlists.
        card: What the checkpoint's card will say beside what `fit` returns; for weights that are kept before the end.
    """

    settings: Mapping[str, Any]
    seed: int
    device: str
    workdir: Path
    start: Path | None
    inputs: Mapping[SplitName, tuple[Rows, ...]]
    score: ValidationScore
    card: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class TrainableEncoder(Encoder, Protocol):
    """An encoder whose weights come from training on the train split, with validation to stop it."""

    def fit(self, train: Split, valid: Split, context: FitContext) -> Mapping[str, Any]:
        """Train; goes on from `context.workdir` if a killed training has left something there.

        Returns:
            What a record should say of the training, as JSON.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the weights to an empty folder."""
        ...

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        ...
