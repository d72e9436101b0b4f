"""Recommenders: from embeddings to query vectors (playlists) and item vectors (tracks)."""

from __future__ import annotations

from larpbench.recommenders.base import Recommender
from larpbench.registry import Registry

RECOMMENDERS: Registry[Recommender] = Registry(
    "recommender",
    Recommender,
    {
        "itemknn": "larpbench.recommenders.itemknn:ITEMKNN",
        "itemknn-cosine": "larpbench.recommenders.itemknn:ITEMKNN_COSINE",
        "itemknn-dot": "larpbench.recommenders.itemknn:ITEMKNN_DOT",
    },
    group="larpbench.recommenders",
    name_of=lambda recommender: recommender.name,
)
DEFAULT_RECOMMENDERS = ("itemknn",)
