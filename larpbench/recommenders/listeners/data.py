"""What recommenders of known listeners learn from beside train: valid tracks, and the profiles in train."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from larpbench.datasets.schema import Interactions
from larpbench.errors import ProtocolError, named
from larpbench.evaluation.queries import Queries, listener_queries
from larpbench.recommenders.base import TrainData, ValidData


@dataclass(frozen=True)
class ListenerValidData(ValidData):
    """All that selection may look at: the cold tracks of valid, ranked for the listeners of train.

    Attributes:
        train: The train data, whose tracks are the profiles.

    Raises:
        ProtocolError: If no listener has tracks in both.
    """

    train: TrainData

    @cached_property
    def queries(self) -> Queries:
        """Profiles and held-out tracks of the listeners of valid; nothing is masked."""
        return listener_queries(self.train.split, self.split)

    @property
    def known(self) -> np.ndarray:
        """(m, dim) float32, the vectors of the train tracks."""
        return self.train.embeddings


class KnownListeners:
    """One row for each listener of train.

    Args:
        train: The listeners.
        rows: (l, k) float32, in their order.
    """

    def __init__(self, train: Interactions, rows: np.ndarray) -> None:
        self._ids, self._rows = train.playlist_ids, rows

    def of(self, listeners: Interactions) -> np.ndarray:
        """Return the rows of some listeners, (p, k) float32.

        Raises:
            ProtocolError: If one of them is not in train.
        """
        return self._rows[self.places(listeners)]

    def places(self, listeners: Interactions) -> np.ndarray:
        """Return the places of some listeners among those of train, (p,) int64.

        Raises:
            ProtocolError: If one of them is not in train.
        """
        place = np.searchsorted(self._ids, listeners.playlist_ids).clip(max=len(self._ids) - 1)
        unknown = self._ids[place] != listeners.playlist_ids
        if unknown.any():
            raise ProtocolError(
                f"{int(unknown.sum())} listeners are unknown: {named(listeners.playlist_ids[unknown])}",
                allowed="listeners with tracks in train: only they have a factor",
            )
        return place
