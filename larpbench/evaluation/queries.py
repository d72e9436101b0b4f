"""A split as a question: these are the seeds of each playlist, those are the tracks to be found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larpbench.datasets.schema import Interactions, Split
from larpbench.errors import ProtocolError


@dataclass(frozen=True)
class Queries:
    """The playlists of a split that have a seed and a held-out track (protocol rules 3 and 8).

    Attributes:
        track_ids: (n,) str, the candidates.
        artists: (n,) int64, a number for each artist; a track whose artist is unknown is its own artist.
        seeds: Visible tracks of each counted playlist.
        heldout: Tracks to be found, for the same playlists in the same order.
        left_out: Reason -> number of playlists that are not counted.
    """

    track_ids: np.ndarray
    artists: np.ndarray
    seeds: Interactions
    heldout: Interactions
    left_out: dict[str, int]

    @property
    def candidates(self) -> np.ndarray:
        """(p,) int64, how many tracks are ranked for each playlist: all of the split less its seeds (rule 5)."""
        return len(self.track_ids) - self.seeds.lengths


def queries_of(split: Split) -> Queries:
    """Return the playlist continuation task of a valid or test split.

    Raises:
        ProtocolError: If no playlist has both a seed and a held-out track.
    """
    seeds, heldout = split.interactions("seed"), split.interactions("heldout")
    has_seed, has_heldout = seeds.lengths > 0, heldout.lengths > 0
    counted = has_seed & has_heldout
    if not counted.any():
        raise ProtocolError(
            f"no playlist of the {split.name} split has both a seed and a held-out track",
            allowed="playlists of at least two tracks of their own split",
            next_step="build the data set with playlists in this split (--train-fraction 0 puts all of them in test)",
        )
    left_out = {"no seed": int((~has_seed).sum()), "no held-out track": int((has_seed & ~has_heldout).sum())}
    return Queries(split.track_ids, split.artist_codes, seeds.select(counted), heldout.select(counted), left_out)
