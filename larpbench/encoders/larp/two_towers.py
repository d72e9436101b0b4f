"""LARP of two towers, or of plain heads in their place, in the registry; readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from larpbench.encoders.card import VIEWS
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings, Recipe
from larpbench.encoders.names import get_encoder, split_ending
from larpbench.encoders.spec import DatasetReference, EncoderSpec, FolderFacts
from larpbench.encoders.towers.settings import SwinSettings
from larpbench.errors import UsageError
from larpbench.fingerprint import digest
from larpbench.training.settings import SETTINGS, read_from

METHOD = "larp 1"
POOLING = "mean of audio and text vector, each of length 1"


def build_larp(context: EncodeContext, argument: str | None) -> Encoder:
    """Return an encoder without weights: they come from `fit` or `load`."""
    from larpbench.encoders.larp.encoder import LarpEncoder

    return LarpEncoder(split_ending(f":{argument}", VIEWS)[1])


def read_larp(folder: Path, facts: Mapping[str, Any], trained_on: DatasetReference | None) -> FolderFacts:
    """Return card and inputs of a LARP model in a folder.

    Args:
        folder: What `train` or `convert` wrote.
        facts: Its card.
        trained_on: The data set that it was trained on; None if larpbench did not train it.

    Raises:
        DataError: If its settings are missing or damaged.
    """
    settings = read_from(folder / SETTINGS, ModelSettings)
    swin = settings.audio if isinstance(settings.audio, SwinSettings) else None
    card = {
        "modalities": tuple(each for each in VIEWS if each in facts.get("views", VIEWS)),
        "dim": settings.dim,
        "sample_rate": swin.mel.sample_rate if swin else None,
        "window_s": swin.mel.window_s if swin else None,
    }
    return card, _frozen(settings, trained_on)


def tower_inputs(made: Recipe) -> tuple[EncoderSpec, ...]:
    """Return the frozen encoders in place of towers."""
    return tuple(get_encoder(each) for each in (made.audio, made.text) if isinstance(each, str))


def with_weights(made: Recipe, initial: tuple[str | None, str | None]) -> Recipe:
    """Return a recipe with initial weights of the audio and the text tower; None for those of the size.

    Raises:
        UsageError: If there is no tower to give them to.
    """
    for side, weights in zip(VIEWS, initial, strict=True):
        tower = getattr(made, side)
        if weights is None:
            continue
        if isinstance(tower, str):
            raise UsageError(f"the {side} side has no tower to give initial weights to: it is the frozen {tower!r}")
        made = made.model_copy(update={side: tower.model_copy(update={"weights": weights})})
    return made


def initial_digest(made: Recipe) -> str | None:
    """Return the digest of the towers' initial weights; None without towers."""
    from larpbench.encoders.towers.initial_weights import weights_digest

    towers = [each for each in (made.audio, made.text) if not isinstance(each, str)]
    return digest([weights_digest(each.weights) for each in towers]) if towers else None


def _frozen(settings: ModelSettings, trained_on: DatasetReference | None) -> tuple[EncoderSpec, ...]:
    """Return the encoders under a checkpoint's heads, with what they learnt where the heads were trained."""
    heads = [each for each in (settings.audio, settings.text) if isinstance(each, HeadSettings)]
    if len(heads) < len(VIEWS) or trained_on is None:
        return ()
    return tuple(get_encoder(head.encoder).learning_from(trained_on) for head in heads)
