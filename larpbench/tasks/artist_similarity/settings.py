"""Hyper-parameters of the graph networks: the paper's, and what is put right."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

LayerKind = Literal["sage", "gatedgcn", "gin", "gat"]
LAYER_KINDS: tuple[LayerKind, ...] = ("sage", "gatedgcn", "gin", "gat")
ProtocolName = Literal["fixed", "paper"]
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
FIXED = TrainingSettings(
    epochs=50, steps_per_epoch=16, triplets=None, patience=6, symmetric=True, plateau_patience=None
)
TRAINING: Mapping[ProtocolName, TrainingSettings] = {"fixed": FIXED, "paper": PAPER}
