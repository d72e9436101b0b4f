"""The recommenders of this task: those of vectors alone, those that have a factor for each listener, and controls."""

from __future__ import annotations

from larpbench.recommenders.base import Recommender
from larpbench.registry import Registry

LISTENER_RECOMMENDERS: Registry[Recommender] = Registry(
    "recommender",
    Recommender,
    {
        "artist-mean": "larpbench.recommenders.listeners.controls:ARTIST_MEAN",
        "itemknn": "larpbench.recommenders.itemknn:ITEMKNN",
        "itemknn-log": "larpbench.recommenders.itemknn:ITEMKNN_LOG",
        "popular-artist": "larpbench.recommenders.listeners.controls:POPULAR_ARTIST",
        "ridge": "larpbench.recommenders.listeners.ridge:RIDGE",
    },
    group="",
    name_of=lambda recommender: recommender.name,
)
