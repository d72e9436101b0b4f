"""DropoutNet for known listeners: their preferences are never dropped, those of cold tracks are the mean row.

The listeners' tower reads x_u and the mean content of the profile, the tracks' tower y and e, of which exactly
floor(p B) rows of a batch lose y. Losses, targets and settings are those of `larpbench.recommenders.dropoutnet`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import SearchSpace, TrainData, fitted
from larpbench.recommenders.dropoutnet import LARGEST, DropoutNet, Side, contents
from larpbench.recommenders.listeners.data import KnownListeners
from larpbench.recommenders.training import seeded
from larpbench.recommenders.wmf import Factors
from larpbench.vectors import Standardiser


class ListenerDropoutNet(DropoutNet):
    """score = tower(x_u, mean profile content) . tower(mean y, e)."""

    summary = "two towers: the listener's WMF factor and profile, and content with dropped track factors"
    _listeners: KnownListeners | None = None

    def _sides_of(self, train: TrainData, factors: Factors) -> tuple[Side, Side]:
        """Return both sides as they are before training, and keep the listeners' preferences."""
        profiles, songs = train.once(contents)
        with seeded(self.seed):
            listeners = Side(factors.playlists, profiles, dropout=0.0)
            tracks = Side(factors.tracks, songs, self.dropout)
        if self.dropout == 1:
            tracks.forget_preferences()
        preferences = Standardiser(factors.playlists, LARGEST).apply(factors.playlists)
        self._listeners = KnownListeners(train.interactions, preferences)
        return listeners, tracks

    def _queries(self, seeds: Interactions, means: np.ndarray) -> np.ndarray:
        """Return (p, 256) float32: the listeners' tower on their preferences and the means of their profiles."""
        return fitted(self._sides, self.name)[0].known(fitted(self._listeners, self.name).of(seeds), means)


class ListenerContentTowers(ListenerDropoutNet):
    """Dropout 1 on the tracks: their factors are never an input, and only what is to be predicted."""

    name = "dropoutnet-content"
    summary = "dropoutnet with track factors never an input (dropout 1): what they add"
    search_space: ClassVar[SearchSpace] = {
        name: values for name, values in DropoutNet.search_space.items() if name != "dropout"
    }

    @property
    def dropout(self) -> float:
        """All tracks lose their preferences."""
        return 1.0


DROPOUTNET = ListenerDropoutNet()
DROPOUTNET_CONTENT = ListenerContentTowers()
