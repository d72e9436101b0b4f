"""Heads in the registry: what is known of them before they are trained; readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from larpbench.encoders.card import VIEWS, View
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.frozen_views import frozen_views, modalities_of
from larpbench.encoders.larp.heads.settings import HeadsSettings, HeadsTraining
from larpbench.encoders.names import split_ending
from larpbench.encoders.spec import DatasetReference, EncoderSpec, FolderFacts
from larpbench.errors import DataError, UsageError
from larpbench.training.settings import SETTINGS, read_from

METHOD = "larp 2"
POOLING = "views side by side, centred, of length 1; then the weighted mean of their heads"
_MOST_VIEWS = len(VIEWS)


def head_views(owner: str, names: tuple[str, ...]) -> tuple[EncoderSpec, ...]:
    """Return the views of heads, see `frozen_views`.

    Raises:
        UsageError: If there are more than an audio and a text view, or one is no view.
    """
    if len(names) > _MOST_VIEWS:
        raise UsageError(
            f"{len(names)} views: {'+'.join(names)}",
            where=f"{owner}:{'+'.join(names)}",
            allowed="one view, or an audio and a text view; factors takes more",
        )
    return frozen_views(owner, names)


def side_pooling(side: View) -> str:
    """Return what the card of a side says of its vectors."""
    return f"the {side} view, centred, of length 1; then its weighted head"


def stage_seconds(training: HeadsTraining | None, tracks: int) -> float:
    """Return roughly how many CPU seconds a stage takes on so many train tracks; without one, how long w takes."""
    if training is None:
        return 0.5
    return training.anchors_in_all(tracks) * (4.5e-4 + 8e-8 * min(tracks, training.candidates))


def build_heads(views: tuple[str, ...], context: EncodeContext, argument: str | None) -> Encoder:
    """Return an encoder without weights: they come from `fit` or `load`."""
    from larpbench.encoders.larp.heads.encoder import HeadsEncoder

    return HeadsEncoder(views, split_ending(f":{argument}", VIEWS)[1] if len(views) == _MOST_VIEWS else None)


def read_heads(folder: Path, facts: Mapping[str, Any], trained_on: DatasetReference | None) -> FolderFacts:
    """Return card, sides and inputs of heads in a folder.

    Raises:
        DataError: If their settings are missing or damaged, or the card does not say what they were trained on.
    """
    settings = read_from(folder / SETTINGS, HeadsSettings)
    if trained_on is None:
        raise DataError(
            "the card of this checkpoint does not say what its views are centred on",
            where=str(folder),
            allowed="a folder that larpbench train larp wrote",
        )
    inputs = tuple(each.learning_from(trained_on) for each in head_views("larp", settings.views))
    learnt = settings.width if settings.weight else 0
    sides = {
        side: {"dim": dim + learnt, "pooling": side_pooling(side)}
        for side, dim in zip(VIEWS, settings.dims, strict=False)
        if len(inputs) == _MOST_VIEWS
    }
    return {"modalities": modalities_of(inputs), "dim": settings.dim, "pooling": POOLING, "sides": sides}, inputs
