"""Vectors as they are used: scaled or centred on the train tracks, and what is odd about them."""

from __future__ import annotations

import numpy as np

from larpbench.datasets.schema import Dataset, Split
from larpbench.encoders.run.keys import scaled_on
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError
from larpbench.vectors import Centring, Standardiser

_ROWS = 4_096  # compared at once: vectors may be larger than memory


def require_tracks(dataset: Dataset, split: Split, number: int) -> None:
    """Raise if there are no tracks."""
    if not number:
        raise DataError(f"the {split.name} split of {dataset.name!r} has no tracks")


def needed(spec: EncoderSpec, dataset: Dataset, split: Split) -> list[tuple[Dataset, Split]]:
    """Return what must be encoded to have the vectors of a split: itself, and what they are scaled on."""
    reference = scaled_on(spec, dataset, split)
    return [(dataset, split), *([reference] if reference else [])]


def scaled(spec: EncoderSpec, vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return vectors in the scale of the reference: standardised, then centred, as the spec has it."""
    if spec.card.standardised:
        scale = Standardiser(reference)
        reference = scale.apply(reference) if spec.centred else reference
        vectors = scale.apply(vectors)
    return Centring(reference).apply(vectors) if spec.centred else vectors


def oddities(vectors: np.ndarray) -> tuple[str, ...]:
    """Return what is odd about vectors, for a warning."""
    parts = (vectors[start : start + _ROWS] for start in range(0, len(vectors), _ROWS))
    if len(vectors) > 1 and all((part == vectors[0]).all() for part in parts):
        return ("all embeddings are equal: every score is a tie",)
    return ()
