"""Settings of factors and of their training, which a checkpoint's key depends on."""

from __future__ import annotations

from larpbench.encoders.frozen_views import WEIGHTS
from larpbench.training.settings import Settings


class FactorsRecipe(Settings):
    """One training: the views, and what validation chooses from."""

    views: tuple[str, ...]
    """Names of the frozen encoders, each centred on train."""
    factors: int = 256
    """Singular vectors at most."""
    l2: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    """Penalties of the ridge; an earlier one is preferred."""
    weights: tuple[float, ...] = WEIGHTS
    """Weights of the prediction beside the frozen vectors; an earlier one is preferred."""


class FactorsSettings(Settings):
    """What a trained model is."""

    views: tuple[str, ...]
    """As they were named, with the folder of a file."""
    dims: tuple[int, ...]
    """Length of each view's vectors."""
    factors: int
    """Length of the prediction."""
    l2: float
    weight: float
    """Of the prediction beside the frozen vectors; 0: the frozen vectors alone."""

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return sum(self.dims) + (self.factors if self.weight else 0)
