"""Recommenders: from embeddings to query vectors (playlists) and item vectors (tracks)."""

from __future__ import annotations

from larpbench.recommenders.base import Recommender
from larpbench.registry import Registry

RECOMMENDERS: Registry[Recommender] = Registry(
    "recommender",
    Recommender,
    {
        "clcrec": "larpbench.recommenders.clcrec:CLCREC",
        "dropoutnet": "larpbench.recommenders.dropoutnet:DROPOUTNET",
        "dropoutnet-content": "larpbench.recommenders.dropoutnet:DROPOUTNET_CONTENT",
        "itemknn": "larpbench.recommenders.itemknn:ITEMKNN",
        "itemknn-cosine": "larpbench.recommenders.itemknn:ITEMKNN_COSINE",
        "itemknn-dot": "larpbench.recommenders.itemknn:ITEMKNN_DOT",
        "ridge": "larpbench.recommenders.ridge:RIDGE",
    },
    group="larpbench.recommenders",
    name_of=lambda recommender: recommender.name,
)
DEFAULT_RECOMMENDERS = ("itemknn",)
