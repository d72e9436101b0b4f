"""Scaling of features whose numbers are in different units, fitted on the train tracks."""

from __future__ import annotations

import numpy as np

LARGEST = 10.0
"""Scaled values are cut here: one outlier in one feature must not decide all inner products."""


class Standardiser:
    """Subtracts the mean of each feature and divides by its standard deviation; a constant feature becomes 0.

    Args:
        features: (n, dim) float32, the train tracks.
    """

    def __init__(self, features: np.ndarray) -> None:
        exact = features.astype(np.float64)
        self.mean = exact.mean(axis=0)
        deviation = exact.std(axis=0)
        varies = deviation > 1e-6 * np.abs(self.mean)  # less is the rounding of float32
        self.scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)

    def apply(self, features: np.ndarray, largest: float | None = LARGEST) -> np.ndarray:
        """Return (n, dim) float32, cut to [-largest, largest] unless that is None."""
        scaled = (features - self.mean) * self.scale
        return (scaled if largest is None else np.clip(scaled, -largest, largest)).astype(np.float32)
