"""LARP in the registry: one encoder a stage, in three sizes and three views; readable without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from larpbench.encoders.card import VIEWS, EncoderCard, View
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.larp.settings import (
    DEFAULT_NEIGHBOURS,
    DEFAULT_TOWERS,
    SIZES,
    Fusion,
    HeadSettings,
    ModelSettings,
    Recipe,
    Size,
    Stage,
    recipe,
)
from larpbench.encoders.names import get_encoder, parse_variant, split_ending
from larpbench.encoders.spec import DatasetReference, EncoderSpec, FolderFacts, Training
from larpbench.encoders.towers.settings import RANDOM_WEIGHTS, BertSettings, SwinSettings
from larpbench.encoders.towers.spectrograms import log_mel_spec
from larpbench.errors import UsageError
from larpbench.fingerprint import digest
from larpbench.training.settings import SETTINGS, read_from

NAMES = ("larp-tpc", "larp-tpc-fusion", "larp-ttc", "larp-untrained", "larp-wtc")
_METHOD = "larp 1"
_PAPER = "Salganik et al. 2024, LARP: language audio relational pre-training for cold-start playlist continuation"
_LICENCE = "Apache-2.0, that of the data set and the towers"
_SECONDS: dict[Size, float] = {"heads": 20.0, "tiny": 240.0, "paper": 1e6}
_SPEED: dict[Size, float] = {"heads": 20_000.0, "tiny": 100.0, "paper": 5.0}
_CHAINS: tuple[tuple[Stage, ...], ...] = ((), ("wtc",), ("wtc", "ttc"), ("wtc", "ttc", "tpc"))
_NEIGHBOURS = re.compile("j[1-9][0-9]{0,3}")


def stage_name(stages: tuple[Stage, ...], fusion: Fusion) -> str:
    """Return the name of an encoder that went through these stages, such as ``larp-ttc``."""
    if not stages:
        return "larp-untrained"
    name = stages[-1] if stages in _CHAINS else f"chain-{'-'.join(stages)}"
    return f"larp-{name}" + ("-fusion" if stages[-1] == "tpc" and fusion == "attention" else "")


def larp_spec(
    stages: tuple[Stage, ...],
    size: Size = "heads",
    towers: tuple[str, str] = DEFAULT_TOWERS,
    fusion: Fusion = "attention",
    neighbours: int = DEFAULT_NEIGHBOURS,
    updates: int | None = None,
    initial: tuple[str | None, str | None] = (None, None),
) -> EncoderSpec:
    """Return the encoder that went through the stages, each with the weights of the one before.

    Args:
        stages: In order; none for random weights.
        size: Which size.
        towers: Identities of the frozen audio and text encoder, for ``heads``.
        fusion: Of playlists, in stage ``tpc``.
        neighbours: J, in stage ``tpc``.
        updates: How many each stage has, without early stopping; None: validation decides.
        initial: Initial weights of audio and text tower, as in their settings; None for those of the size.

    Raises:
        UnknownNameError: If a tower is no encoder.
        UsageError: If initial weights are given where there are no towers.
    """
    made = _with_weights(recipe(size, stages[-1] if stages else None, towers, fusion, neighbours), initial)
    if updates and made.training:
        made = made.model_copy(
            update={"training": made.training.model_copy(update={"updates": updates, "patience": 0})}
        )
    before = larp_spec(stages[:-1], size, towers, fusion, neighbours, updates, initial) if stages else None
    inputs = _inputs(made)
    frozen = [each.identity for each in inputs] if size == "heads" else []
    weights = f"heads over frozen {' and '.join(frozen)}" if frozen else f"{size} size"
    card = EncoderCard(
        name=stage_name(stages, fusion),
        version=1,
        summary=_SUMMARY["fusion" if "tpc" in stages and fusion == "attention" else stages[-1] if stages else None],
        modalities=("audio", "text"),
        dim=made.dim,
        sample_rate=made.audio.mel.sample_rate if isinstance(made.audio, SwinSettings) else None,
        window_s=made.audio.mel.window_s if isinstance(made.audio, SwinSettings) else None,
        pooling="mean of audio and text vector, each of length 1",
        weights=f"trained: {weights}" if stages else f"{RANDOM_WEIGHTS}: {weights}",
        licence=_LICENCE,
        training_data="the train playlists of the data set after the @" if stages else "none",
        paper=_PAPER,
        stochastic=True,
        tracks_per_second=_SPEED[size],
    )
    training = Training(
        method=_METHOD,
        settings=made.model_dump(mode="json"),
        start=before,
        inputs=inputs or ((log_mel_spec(made.audio.mel),) if isinstance(made.audio, SwinSettings) else ()),
        reads_captions=isinstance(made.text, BertSettings),
        weights_digest=partial(_initial_digest, made),
        seconds=_SECONDS[size] if stages else 1.0,
        one_thread=size not in ("tiny", "paper"),
        read_folder=read_folder,
    )
    return EncoderSpec(
        card,
        factory=build_larp,
        takes="[heads|tiny|paper][:jN][:audio|:text]" if "tpc" in stages else "[heads|tiny|paper][:audio|:text]",
        argument=_written(size, neighbours, None),
        inputs=inputs,
        training=training,
        binder=bind_larp,
    )


def bind_larp(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder in the size, J and view that its name asks for, such as ``tiny:j5:audio``.

    Raises:
        UsageError: If the name asks for something else.
    """
    name = spec.card.name
    stages = next(stages for stages in _CHAINS if name.removesuffix("-fusion") == stage_name(stages, "mean"))
    words = parse_variant(spec, argument, SIZES, _NEIGHBOURS if "tpc" in stages else (), VIEWS)
    size, view = cast("Size", words[0] or "heads"), cast("View | None", words[2])
    neighbours = int(words[1][1:]) if words[1] else DEFAULT_NEIGHBOURS
    fusion: Fusion = "attention" if name.endswith("-fusion") else "mean"
    variant = larp_spec(stages, size, fusion=fusion, neighbours=neighbours)
    return replace(variant, argument=_written(size, neighbours, view)).viewed(view)


def build_larp(context: EncodeContext, argument: str | None) -> Encoder:
    """Return an encoder without weights: they come from `fit` or `load`."""
    from larpbench.encoders.larp.encoder import LarpEncoder

    return LarpEncoder(split_ending(argument or "", VIEWS)[1])


def _written(size: Size, neighbours: int, view: View | None) -> str | None:
    """Return what follows the colon in an encoder's name; None if all is as by default."""
    parts = (
        size if size != "heads" else None,
        f"j{neighbours}" if neighbours != DEFAULT_NEIGHBOURS else None,
        view,
    )
    return ":".join(each for each in parts if each) or None


def read_folder(folder: Path, facts: Mapping[str, Any], trained_on: DatasetReference | None) -> FolderFacts:
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


def _frozen(settings: ModelSettings, trained_on: DatasetReference | None) -> tuple[EncoderSpec, ...]:
    """Return the encoders under a checkpoint's heads, with what they learnt where the heads were trained."""
    heads = [each for each in (settings.audio, settings.text) if isinstance(each, HeadSettings)]
    if len(heads) < len(VIEWS) or trained_on is None:
        return ()
    return tuple(get_encoder(head.encoder).learning_from(trained_on) for head in heads)


def _inputs(made: Recipe) -> tuple[EncoderSpec, ...]:
    return tuple(get_encoder(each) for each in (made.audio, made.text) if isinstance(each, str))


def _with_weights(made: Recipe, initial: tuple[str | None, str | None]) -> Recipe:
    for side, weights in zip(VIEWS, initial, strict=True):
        tower = getattr(made, side)
        if weights is None:
            continue
        if isinstance(tower, str):
            raise UsageError(f"the {side} side has no tower to give initial weights to: it is the frozen {tower!r}")
        made = made.model_copy(update={side: tower.model_copy(update={"weights": weights})})
    return made


def _initial_digest(made: Recipe) -> str | None:
    from larpbench.encoders.towers.initial_weights import weights_digest

    towers = [each for each in (made.audio, made.text) if not isinstance(each, str)]
    return digest([weights_digest(each.weights) for each in towers]) if towers else None


_SUMMARY: dict[Stage | Literal["fusion"] | None, str] = {
    None: "LARP before training (random weights)",
    "wtc": "LARP, stage 1 (audio-text contrast)",
    "ttc": "LARP, stage 2 (track-track contrast)",
    "tpc": "LARP, stage 3 (track-playlist contrast)",
    "fusion": "LARP, stage 3, playlists by attention",
}
LARP_UNTRAINED = larp_spec(())
LARP_WTC = larp_spec(("wtc",))
LARP_TTC = larp_spec(("wtc", "ttc"))
LARP_TPC = larp_spec(("wtc", "ttc", "tpc"), fusion="mean")
LARP_TPC_FUSION = larp_spec(("wtc", "ttc", "tpc"))
