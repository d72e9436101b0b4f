"""Factors as an encoder: [centred views side by side, of length 1; w times their prediction, of length 1]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from larpbench import progress, storage
from larpbench.checkpoint_tensors import TensorFacts, facts_of, require_tensors, say_casts
from larpbench.datasets.schema import Split
from larpbench.encoders.encoder import FitContext, TrackBatch
from larpbench.encoders.factors.closed_form import Ridge, track_factors
from larpbench.encoders.factors.settings import FactorsRecipe, FactorsSettings
from larpbench.encoders.frozen_views import beside, frozen_vectors, listed
from larpbench.errors import MissingPartError
from larpbench.evaluation.selection import first_within_one_error
from larpbench.training.settings import SETTINGS, read_from
from larpbench.training.tensors import WEIGHTS, read_tensors, write_tensors
from larpbench.vectors import unit_rows

_MAP = "map"


class FactorsEncoder:
    """Frozen vectors beside what they predict of the playlists.

    Args:
        views: Names of the frozen encoders, which a checkpoint keeps.
    """

    def __init__(self, views: tuple[str, ...]) -> None:
        self._views = views
        self._settings: FactorsSettings | None = None
        self._map = np.empty((0, 0), dtype=np.float32)

    def fit(self, train: Split, valid: Split, context: FitContext) -> Mapping[str, Any]:
        """Solve for the map, and choose penalty and weight on the valid playlists.

        The penalty is the first whose prediction alone is within one paired standard error of the best, the weight the
        smallest with which the whole vectors are.

        Raises:
            DataError: If the train playlists are all the same.
        """
        recipe = FactorsRecipe.model_validate(dict(context.settings))
        # The same sums in the same order whatever the number of cores.
        with threadpool_limits(1, "blas"), progress.stage("train factors", 4, "steps", brief=True) as advance:
            targets = track_factors(train.interactions(), len(train.track_ids), recipe.factors)
            advance(1)
            ridge = Ridge(frozen_vectors(context.inputs["train"]), targets)
            advance(1)
            frozen = frozen_vectors(context.inputs["valid"])
            maps = [ridge.solve(l2) for l2 in recipe.l2]
            penalty = first_within_one_error([context.score.per_playlist(frozen @ each) for each in maps])
            advance(1)
            self._map = maps[penalty.index]
            predicted = self._predicted(frozen)
            weight = first_within_one_error(
                [context.score.per_playlist(beside(frozen, predicted, each)) for each in recipe.weights]
            )
            advance(1)
        self._settings = FactorsSettings(
            views=self._views,
            dims=tuple(rows[np.arange(1)].shape[1] for rows in context.inputs["train"]),
            factors=targets.shape[1],
            l2=recipe.l2[penalty.index],
            weight=recipe.weights[weight.index],
        )
        return {
            "frozen": list(recipe.views),
            "factors": self._settings.factors,
            "l2": self._settings.l2,
            "weight": self._settings.weight,
            "parameters": self._map.size,
            "valid": {
                "chance": context.score.chance,
                "frozen": weight.means[recipe.weights.index(0.0)],
                "best": weight.means[weight.index],
            },
            "best": weight.means[weight.index],
            "penalties": listed("l2", recipe.l2, penalty),
            "weights": listed("weight", recipe.weights, weight),
        }

    def save(self, folder: Path) -> None:
        """Write map and settings."""
        storage.make_folder(folder)
        storage.write_text(folder / SETTINGS, self._required.model_dump_json(indent=2) + "\n")
        write_tensors(folder / WEIGHTS, {_MAP: torch.from_numpy(self._map)})

    def load(self, folder: Path) -> None:
        """Read map and settings.

        Raises:
            DataError: If something is missing or damaged, or they are of different models.
        """
        settings = read_from(folder / SETTINGS, FactorsSettings)
        tensors = read_tensors(
            folder / WEIGHTS, "restore it, or delete its folder: what larpbench run trained is then trained anew"
        )
        found, expected = facts_of(tensors), TensorFacts((sum(settings.dims), settings.factors))
        require_tensors(
            found,
            {_MAP: expected},
            "the model that the settings describe",
            folder / WEIGHTS,
            next_step="restore both files from one checkpoint",
        )
        say_casts(found, folder / WEIGHTS)
        self._settings, self._map = settings, tensors[_MAP].float().numpy()

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32, see `beside`."""
        weight = self._required.weight
        frozen = frozen_vectors(batch.inputs)
        return beside(frozen, self._predicted(frozen), weight) if weight else frozen

    def _predicted(self, frozen: np.ndarray) -> np.ndarray:
        """Return the prediction of the factors in rows of length 1: how long a ridge makes them depends on its l2."""
        return unit_rows(frozen @ self._map)

    @property
    def _required(self) -> FactorsSettings:
        if self._settings is None:
            raise MissingPartError("this encoder has no weights yet: neither fit nor load was called")
        return self._settings
