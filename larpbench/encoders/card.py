"""The card of an encoder: licence, training data, modalities, and how far it is verified."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

View = Literal["audio", "text"]
VIEWS: tuple[View, ...] = ("audio", "text")
"""The sides of a track that an encoder can read."""


class EncoderCard(BaseModel):
    """The facts needed to judge an encoder's results. Most of them are part of the key of its embeddings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    """Raised with every change that changes the vectors: embeddings of an older version are never used."""
    summary: str
    modalities: tuple[View, ...]
    """What it reads of a track; empty if only the id."""
    dim: int | None
    """Length of the vectors; None if it depends on the argument."""
    sample_rate: int | None = None
    """Sample rate in Hz of the audio that it reads; None if it reads none."""
    window_s: float | None = None
    """Seconds of audio in one window; the encoder cuts longer clips into windows."""
    pooling: str | None = None
    """How windows, frames and tokens become one vector."""
    prompt: str | None = None
    """Text that it puts before each caption; None if it puts none."""
    max_tokens: int | None = None
    """Tokens of a caption that it reads at most; None if it depends on the argument, or if it reads none. Where a model
    without files that say so would read another number, `pooling` says so too."""
    sources: tuple[str, ...] = ()
    """Where settings come from, such as ``pooling: 1_Pooling/config.json``."""
    weights: str
    """``none``, ``random``, or which pretrained weights."""
    licence: str
    """Licence of the code and, after a comma, of the weights."""
    training_data: str = "none"
    """Data that the weights were trained on: needed to judge whether the tested tracks were among it."""
    overlaps: tuple[str, ...] = ()
    """Names of data sets whose tracks may be among the training data, according to its authors."""
    paper: str | None = None
    original: str | None = None
    """The code that it wraps or ports; None if it is larpbench's own."""
    verification: str | None = Field(default=None, validation_alias=AliasChoices("verification", "proof"))
    """How it was compared with the original code on the same weights and input, and the difference; None: never.
    ``proof`` in cards of earlier versions."""
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
    """Whether it is a control, such as random vectors: it is never marked as the best."""
    revision: str | None = None
    """Version of weights that a package brings; the commit of those that `larpbench fetch` gets is in the spec."""
    parameters: int | None = None
    """Size of the published network, as torch counts it, to two digits at least; 0: no network; None: unknown, or it
    depends on the argument or the training."""
    citation: tuple[str, ...] = ()
    """Keys of larpbench's references (`larpbench.citations`), or whole BibTeX entries."""
    tracks_per_second: float
    """Rough speed on one core, for the plan's estimate until a run has measured it."""

    @property
    def unverified(self) -> bool:
        """Whether it is an adapter of other code and was never compared with it."""
        return self.original is not None and self.verification is None
