"""The card of an encoder: licence, training data, modalities, and how far it is verified."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


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
    overlaps: tuple[str, ...] = ()
    """Names of data sets whose tracks may be among the training data, as far as its makers tell."""
    paper: str | None = None
    original: str | None = None
    """The code that it wraps or ports; None if it is larpbench's own."""
    proof: str | None = None
    """How it was compared with the original code on the same weights and input, and the difference; None: never."""
    stochastic: bool = False
    """Whether the vectors depend on a seed: then it runs over several."""
    learns: Literal["nothing", "statistics"] = "nothing"
    """``statistics``: `fit` counts something on the train split, such as an idf."""
    standardised: bool = False
    """Whether its numbers are features in different units: the harness then standardises them on the train tracks."""
    process_per_core: bool = False
    """Whether one process a core is faster than threads: then each decodes and encodes batches of its own. Such an
    encoder cannot learn."""
    large: bool = False
    """Whether the vectors of a data set are too large for memory: then training reads them row by row."""
    control: bool = False
    """Whether it is a yardstick and no contender: never marked as best."""
    tracks_per_second: float
    """Rough speed on one core, for the plan's estimate until a run has measured it."""

    @property
    def unproven(self) -> bool:
        """Whether it claims to compute what other code does, and was never compared with it."""
        return self.original is not None and self.proof is None
