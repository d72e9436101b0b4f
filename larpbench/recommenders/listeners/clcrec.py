"""CLCRec for known listeners: the learned vector of the listener stays, and ranks the content of cold tracks.

    score = z_u . f(e)

z_u is that of the epoch that valid selects, as f is; e is the content less the mean of the train tracks. Losses and
settings are those of `larpbench.recommenders.clcrec`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import TrainData, fitted
from larpbench.recommenders.clcrec import CLCRec, ContentNet
from larpbench.recommenders.listeners.data import KnownListeners
from larpbench.vectors import unit_rows


def centre(train: TrainData) -> np.ndarray:
    """Return the mean of the unit-length train tracks, (dim,) float64."""
    return unit_rows(train.embeddings).mean(axis=0, dtype=np.float64)


class ListenerCLCRec(CLCRec):
    """Content network and listener vectors, trained by contrast."""

    summary = "content network and listener vectors, trained by contrast"
    _centre: np.ndarray | None = None
    _vectors: nn.Embedding | None = None
    _places: KnownListeners | None = None

    def _begin(self, train: TrainData) -> tuple[nn.Module, Sequence[torch.optim.Optimizer]]:
        self._centre = train.once(centre)
        return super()._begin(train)

    @staticmethod
    def _train_content(train: TrainData) -> np.ndarray:
        return (unit_rows(train.embeddings) - train.once(centre)).astype(np.float32)

    def _content(self, embeddings: np.ndarray) -> np.ndarray:
        return (unit_rows(embeddings) - fitted(self._centre, self.name)).astype(np.float32)

    def _kept(self, train: TrainData, net: ContentNet, playlists: nn.Embedding) -> nn.Module:
        """Return f and the listeners' vectors: both are those of the selected epoch."""
        self._vectors = playlists
        self._places = KnownListeners(train.interactions)
        return nn.ModuleList([net, playlists])

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return (p, 64) float32, the listeners' learned vectors; their tracks are not looked at."""
        places = fitted(self._places, self.name).places(seeds)
        rows: np.ndarray = fitted(self._vectors, self.name).weight.detach().cpu().numpy()
        return rows[places]


CLCREC = ListenerCLCRec()
