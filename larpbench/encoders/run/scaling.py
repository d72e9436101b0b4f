"""Vectors as they are used: scaled or centred on the train tracks, and what is odd about them."""

from __future__ import annotations

import numpy as np

from larpbench.encoders.spec import EncoderSpec
from larpbench.vectors import Centring, Standardiser


def scaled(spec: EncoderSpec, vectors: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return vectors in the scale of the reference: standardised, then centred, as the spec has it."""
    if spec.card.standardised:
        scale = Standardiser(reference)
        reference = scale.apply(reference) if spec.centred else reference
        vectors = scale.apply(vectors)
    return Centring(reference).apply(vectors) if spec.centred else vectors


def oddities(vectors: np.ndarray) -> tuple[str, ...]:
    """Return what is odd about vectors, for a warning."""
    if len(vectors) > 1 and (vectors == vectors[0]).all():
        return ("all embeddings are equal: every score is a tie",)
    return ()
