"""What an encoder is, and what is known of it before it is built."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict

from larpbench.datasets.schema import Split
from larpbench.errors import MissingPartError
from larpbench.registry import resolve


class EncoderCard(BaseModel):
    """What anybody must know of an encoder to believe its results. Part of the key of its embeddings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    """Raised with every change that changes the vectors: embeddings of an older version are never used."""
    summary: str
    modalities: tuple[Literal["audio", "text"], ...]
    """What it reads of a track; empty if only the id."""
    dim: int | None
    """Length of the vectors; None if it depends on the argument."""
    sample_rate: int | None = None
    """Rate in Hz at which it hears audio; None if it hears none."""
    window_s: float | None = None
    """Seconds of audio that it sees at once; longer clips are cut into windows by the encoder."""
    pooling: str | None = None
    """How windows and frames become one vector."""
    weights: str
    """``none``, ``random``, or which pretrained weights."""
    licence: str
    """Licence of the code and, after a comma, of the weights."""
    training_data: str = "none"
    """What the weights have seen: needed to judge whether the tested tracks were among it."""
    paper: str | None = None
    stochastic: bool = False
    """Whether the vectors depend on a seed: then it runs over several."""
    learns: Literal["nothing", "statistics"] = "nothing"
    """``statistics``: `fit` counts something on the train split, such as an idf."""
    standardised: bool = False
    """Whether its numbers are features in different units: the harness then standardises them on the train tracks."""
    process_per_core: bool = False
    """Whether one process a core is faster than threads: then each decodes and encodes batches of its own. Such an
    encoder cannot learn."""
    control: bool = False
    """Whether it is a yardstick and no contender: never marked as best."""
    tracks_per_second: float
    """Rough speed on one core, for the plan's estimate until a run has measured it."""


@dataclass(frozen=True)
class Status:
    """Whether an encoder can run here.

    Attributes:
        state: What is missing, if anything.
        next_step: The command that mends it.
    """

    state: Literal["ready", "missing-package"]
    next_step: str | None = None


@dataclass(frozen=True)
class TrackBatch:
    """Tracks as an encoder sees them.

    Attributes:
        track_ids: (n,) str.
        captions: (n,) str.
        audio: (n, samples) float32, mono, at the card's sample rate; None for encoders that hear none.
    """

    track_ids: np.ndarray
    captions: np.ndarray
    audio: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.track_ids)


@dataclass(frozen=True)
class EncodeContext:
    """What an encoder may know of the run when it is built.

    Attributes:
        seed: Drives everything random.
        dataset_folder: Folder of the data set, for encoders that are part of it.
    """

    seed: int
    dataset_folder: Path


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


@dataclass(frozen=True)
class EncoderSpec:
    """What the registry holds: readable without importing anything heavy.

    Attributes:
        card: What it is.
        factory: A function ``(context, argument) -> Encoder``, or where one is: ``module:attribute``.
        requires: Modules that must be importable.
        extra: Extra of larpbench that brings them.
        takes: What follows the colon in its name, such as ``FILE``; None if nothing does.
        argument: What followed it.
        digest: Given the argument, the digest of the weights or files that the vectors depend on.
        plugin: Distribution and version that brought it, if it is no built-in. Part of the key of its embeddings.
    """

    card: EncoderCard
    factory: str | Callable[[EncodeContext, str | None], Encoder]
    requires: tuple[str, ...] = ()
    extra: str | None = None
    takes: str | None = None
    argument: str | None = None
    digest: Callable[[EncodeContext, str | None], str] | None = None
    plugin: str | None = None

    @property
    def identity(self) -> str:
        """Full name in results, such as ``precomputed:vectors.npz``."""
        return self.card.name if self.argument is None else f"{self.card.name}:{self.argument}"

    def bind(self, argument: str) -> EncoderSpec:
        """Return the spec with what followed the colon."""
        return replace(self, argument=argument)

    def status(self) -> Status:
        """Return whether the packages are there, without importing them."""
        absent = [name for name in self.requires if not _importable(name)]
        if not absent:
            return Status("ready")
        command = f"pip install 'larpbench[{self.extra}]'" if self.extra else f"pip install {' '.join(absent)}"
        return Status("missing-package", command)

    def weights_digest(self, context: EncodeContext) -> str | None:
        """Return the digest of the files that the vectors depend on, None if they depend on none."""
        return self.digest(context, self.argument) if self.digest else None

    def build(self, context: EncodeContext) -> Encoder:
        """Import and make the encoder.

        Raises:
            MissingPartError: If a package is missing.
        """
        status = self.status()
        if status.state != "ready":
            raise MissingPartError(f"encoder {self.identity!r} cannot run: {status.state}", next_step=status.next_step)
        factory = self.factory
        if isinstance(factory, str):
            factory = resolve(factory)
        return factory(context, self.argument)


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a part of a package that is not there
        return False
