"""Factors in the registry: one encoder over any frozen views; readable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.factors.settings import FactorsRecipe, FactorsSettings
from larpbench.encoders.frozen_views import (
    DEFAULT_VIEWS,
    frozen_views,
    modalities_of,
    require_audio_for_default,
    view_names,
)
from larpbench.encoders.names import parse_name
from larpbench.encoders.spec import DatasetReference, EncoderSpec, FolderFacts, Training
from larpbench.errors import DataError, UsageError
from larpbench.training.settings import SETTINGS, read_from

NAME = "factors"
NAMES = ("factors",)
_METHOD = f"{NAME} 2"
_LICENCE = "Apache-2.0, that of the data set and the views"


def factors_spec(views: Sequence[str] = DEFAULT_VIEWS) -> EncoderSpec:
    """Return the encoder over some views.

    Args:
        views: Names of frozen encoders, at least one.

    Raises:
        UnknownNameError: If a view is no encoder.
        UsageError: If a view is trained on playlists, there twice, several encoders, or an object without a key.
    """
    inputs = frozen_views(NAME, views)
    names = view_names(inputs)
    recipe = FactorsRecipe(views=names)
    card = EncoderCard(
        name=NAME,
        version=2,
        summary="frozen views beside what they predict",
        modalities=modalities_of(inputs),
        dim=None,
        pooling="views side by side, centred, of length 1; then their weighted prediction, of length 1",
        weights=f"trained: ridge over frozen {' and '.join(names)}",
        licence=_LICENCE,
        training_data="the train playlists of the data set after the @",
        stochastic=any(each.card.stochastic for each in inputs),
        control=all(each.card.control for each in inputs),
        tracks_per_second=20_000.0,
    )
    default = names == DEFAULT_VIEWS
    training = Training(
        method=_METHOD,
        settings=recipe.model_dump(mode="json"),
        inputs=inputs,
        seconds=_seconds,
        one_thread=True,
        read_folder=read_folder,
        sides=False,
    )
    return EncoderSpec(
        card,
        factory=partial(build_factors, tuple(views)),
        takes="[VIEW+VIEW+..]",
        argument=None if default else "+".join(names),
        check=require_audio_for_default(NAME) if default else None,
        inputs=inputs,
        joins_views=lambda views: True,
        training=training,
        binder=bind_factors,
    )


def bind_factors(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder over the views of its name, such as ``tfidf+minilm``.

    Raises:
        UnknownNameError: If a view is no encoder.
        UsageError: If something else is no view, see `factors_spec`.
    """
    if not argument:
        raise UsageError("no view follows the colon", where=f"{NAME}:", allowed=f"{NAME}:VIEW+VIEW+.., or {NAME} alone")
    return factors_spec([part.written for part in parse_name(argument)])


def build_factors(views: tuple[str, ...], context: EncodeContext, argument: str | None) -> Encoder:
    """Return an encoder without weights: they come from `fit` or `load`."""
    from larpbench.encoders.factors.encoder import FactorsEncoder

    return FactorsEncoder(views)


def _seconds(tracks: int) -> float:
    return 1.0 + tracks * 1.5e-4


def read_folder(folder: Path, facts: Mapping[str, Any], trained_on: DatasetReference | None) -> FolderFacts:
    """Return card and inputs of a model in a folder.

    Raises:
        DataError: If its settings are missing or damaged, it is of an earlier version, or its card does not say what it
            was trained on.
    """
    settings = read_from(folder / SETTINGS, FactorsSettings)
    if facts.get("method") != _METHOD:
        raise DataError(
            f"this checkpoint is of {facts.get('method')!r}, and its predictions are no longer read as they were",
            where=str(folder),
            allowed=f"a checkpoint of {_METHOD!r}",
            next_step=f"larpbench train {NAME}",
        )
    if trained_on is None:
        raise DataError(
            "the card of this checkpoint does not say what its views are centred on",
            where=str(folder),
            allowed="a folder that larpbench train factors wrote",
        )
    inputs = tuple(each.learning_from(trained_on) for each in frozen_views(NAME, settings.views))
    return {"modalities": modalities_of(inputs), "dim": settings.dim}, inputs


FACTORS = factors_spec()
