"""Options of the task, and hyper-parameters of the graph networks: the paper's, and corrected ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from larpbench import progress
from larpbench.tasks.base import TaskOptions

LayerKind = Literal["sage", "gatedgcn", "gin", "gat"]
LAYER_KINDS: tuple[LayerKind, ...] = ("sage", "gatedgcn", "gin", "gat")
ProtocolName = Literal["corrected", "paper"]
VisibleEdges = Literal["all", "none"]
Scaling = Literal["train", "all"]
LAYERS = (0, 1, 2, 3, 4)
_LARGEST = 2**31 - 1
INSTALL = "pip install 'larpbench[gnn]'"


def graph_layers_installed() -> bool:
    """Return whether torch_geometric is there, without importing it."""
    return importlib.util.find_spec("torch_geometric") is not None


@dataclass(frozen=True)
class TrainingSettings:
    """How a network learns (Groetschla et al. 2024, section 3.1, and their run logs).

    Attributes:
        epochs: At most.
        steps_per_epoch: Updates of an epoch, each on the whole graph.
        triplets: Anchor, positive and negative of one update; None for both ends of every edge, as in the paper.
        patience: Epochs without a better validation NDCG@200 before training ends; None: it never ends early, and the
            last epoch counts, as in the paper.
        symmetric: Whether messages go both ways along an edge; the paper's code sends them one way.
        plateau_patience: Epochs without a lower validation loss before the learning rate is halved; None: never.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        margin: Of the triplet loss.
        width: Of all layers.
        output: Length of the artist vectors.
    """

    epochs: int
    steps_per_epoch: int
    triplets: int | None
    patience: int | None
    symmetric: bool
    plateau_patience: int | None
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    margin: float = 0.2
    width: int = 256
    output: int = 100

    def as_json(self) -> Mapping[str, Any]:
        """Return all settings."""
        return asdict(self)


PAPER = TrainingSettings(
    epochs=200, steps_per_epoch=16, triplets=None, patience=None, symmetric=False, plateau_patience=20
)
CORRECTED = TrainingSettings(
    epochs=50, steps_per_epoch=16, triplets=None, patience=6, symmetric=True, plateau_patience=None
)
TRAINING: Mapping[ProtocolName, TrainingSettings] = {"corrected": CORRECTED, "paper": PAPER}


def _renamed(protocol: object) -> object:
    """Accept the earlier name of a protocol, for one version."""
    if protocol != "fixed":
        return protocol
    progress.say("protocol fixed is now called corrected; the old name works in this version only")
    return "corrected"


def _number_or_all(songs: object) -> object:
    return None if songs == "all" else songs


def _numbers(layers: object) -> object:
    return layers.split(",") if isinstance(layers, str) else layers


class ArtistOptions(TaskOptions):
    """Options of the task."""

    protocol: Annotated[ProtocolName, BeforeValidator(_renamed)] = Field(
        "corrected",
        description="corrected, or paper: one-way edges, the last epoch, scaling on all artists, every triplet.",
    )
    visible_edges: VisibleEdges = Field(
        "all", description="all: edges from tested artists to those of earlier splits are visible; none: they are not."
    )
    songs: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_number_or_all)] = Field(
        1, description="Songs that are pooled per artist: a number, or all."
    )
    scaling: Scaling | None = Field(
        None,
        description="Artists that features are scaled on: train, or all; default: all under paper, else train.",
    )
    epochs: int | None = Field(
        None, ge=1, le=_LARGEST, description="Maximum number of epochs; default: that of the protocol."
    )
    triplets: int | None = Field(
        None,
        ge=0,
        le=_LARGEST,
        description="Triplets of an update, 0 for both ends of every edge; default: those of the protocol.",
    )
    layers: Annotated[tuple[int, ...], BeforeValidator(_numbers)] = Field(
        LAYERS, description="Numbers of layers of the default networks: 0,2 stands for gnn-sage-0,gnn-sage-2."
    )

    @property
    def variant(self) -> str:
        """All values that change scores and are not the default, in words: part of the protocol's name in results."""
        words: list[str] = [] if self.protocol == "corrected" else [self.protocol]
        for name in ("visible_edges", "songs", "scaling", "epochs", "triplets"):
            value = getattr(self, name)
            if value != type(self).model_fields[name].default:
                words.append(f"{name.replace('_', '-')}={'all' if value is None else value}")
        return ",".join(words)

    @property
    def training(self) -> TrainingSettings:
        """Hyper-parameters of the networks."""
        training = TRAINING[self.protocol]
        if self.epochs is not None:
            training = replace(training, epochs=self.epochs)
        return training if self.triplets is None else replace(training, triplets=self.triplets or None)

    @property
    def scaled_on(self) -> Scaling:
        """The artists that features are scaled on."""
        return self.scaling or ("all" if self.protocol == "paper" else "train")
