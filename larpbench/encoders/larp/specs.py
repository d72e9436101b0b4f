"""LARP in the registry: one encoder a stage, in four sizes, over any views; readable without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from larpbench.encoders.card import VIEWS, EncoderCard
from larpbench.encoders.frozen_views import DEFAULT_VIEWS, modalities_of, require_audio_for_default, view_names
from larpbench.encoders.larp import two_towers
from larpbench.encoders.larp.heads import specs as heads
from larpbench.encoders.larp.heads.settings import HeadsRecipe
from larpbench.encoders.larp.recipes import recipe
from larpbench.encoders.larp.settings import DEFAULT_NEIGHBOURS, Fusion, Recipe, Size, Stage, TrainingSettings
from larpbench.encoders.larp.variants import Variant, adds_views, parse, takes
from larpbench.encoders.spec import EncoderSpec, Training
from larpbench.encoders.towers.settings import RANDOM_WEIGHTS, BertSettings, SwinSettings
from larpbench.encoders.towers.spectrograms import log_mel_spec
from larpbench.errors import UsageError

NAMES = ("larp-tpc", "larp-tpc-fusion", "larp-ttc", "larp-untrained", "larp-wtc")
_PAPER = "Salganik et al. 2024, LARP: language audio relational pre-training for cold-start playlist continuation"
_LICENCE = "Apache-2.0, that of the data set and the towers"
_SECONDS_A_TRACK: dict[Size, float] = {"heads-plain": 2e-4, "tiny": 0.016, "paper": 1.1}
_SPEED: dict[Size, float] = {"heads": 20_000.0, "heads-plain": 20_000.0, "tiny": 100.0, "paper": 5.0}
_CHAINS: tuple[tuple[Stage, ...], ...] = ((), ("wtc",), ("wtc", "ttc"), ("wtc", "ttc", "tpc"))


def stage_name(stages: tuple[Stage, ...], fusion: Fusion) -> str:
    """Return the name of an encoder that went through these stages, such as ``larp-ttc``."""
    if not stages:
        return "larp-untrained"
    name = stages[-1] if stages in _CHAINS else f"chain-{'-'.join(stages)}"
    return f"larp-{name}" + ("-fusion" if stages[-1] == "tpc" and fusion == "attention" else "")


def larp_spec(
    stages: tuple[Stage, ...],
    size: Size = "heads",
    towers: Sequence[str] = DEFAULT_VIEWS,
    fusion: Fusion = "attention",
    neighbours: int = DEFAULT_NEIGHBOURS,
    updates: int | None = None,
    initial: tuple[str | None, str | None] = (None, None),
) -> EncoderSpec:
    """Return the encoder that went through the stages, each with the weights of the one before.

    Args:
        stages: In order; none for random weights.
        size: Which size.
        towers: Names of frozen encoders: of ``heads``, one view, or an audio and a text view; of ``heads-plain``, an
            audio and a text encoder.
        fusion: Of playlists, in stage ``tpc``.
        neighbours: J, in stage ``tpc``.
        updates: How many each stage has, without early stopping; None: validation decides.
        initial: Initial weights of audio and text tower, as in their settings; None for those of the size.

    Raises:
        UnknownNameError: If a tower is no encoder.
        UsageError: If it is no view, or initial weights are given where there are no towers.
    """
    name = stage_name(stages, fusion)
    if size == "heads-plain" and len(towers) != len(VIEWS):
        raise UsageError(
            f"{len(towers)} towers under plain heads: {'+'.join(towers)}", allowed="an audio and a text encoder"
        )
    if size == "heads":
        heads.head_views(name, tuple(towers))  # so that a fault is told of this encoder, not of its first stage
    made = recipe(size, stages[-1] if stages else None, tuple(towers), fusion, neighbours)
    if updates and made.training:
        training = made.training.model_copy(update={"updates": updates, "patience": 0})
        made = made.model_copy(update={"training": training})
    before = larp_spec(stages[:-1], size, towers, fusion, neighbours, updates, initial) if stages else None
    common = {
        "name": name,
        "version": 1,
        "summary": _SUMMARY["fusion" if "tpc" in stages and fusion == "attention" else stages[-1] if stages else None],
        "licence": _LICENCE,
        "training_data": "the train playlists of the data set after the @" if stages else "none",
        "paper": _PAPER,
        "citation": ("salganik2024larp",),
        "tracks_per_second": _SPEED[size],
    }
    if isinstance(made, HeadsRecipe):
        spec = _over_views(common, made, tuple(towers), before, initial)
    else:
        spec = _over_towers(common, made, size, before, initial)
    shown = None if size in ("tiny", "paper") or tuple(towers) == DEFAULT_VIEWS else "+".join(view_names(spec.inputs))
    return replace(
        spec,
        takes=takes("tpc" in stages),
        argument=Variant(size, neighbours if "tpc" in stages else None, shown).text,
        joins_views=adds_views,
        binder=bind_larp,
    )


def _over_views(
    common: dict[str, Any],
    made: HeadsRecipe,
    views: tuple[str, ...],
    before: EncoderSpec | None,
    initial: tuple[str | None, str | None],
) -> EncoderSpec:
    """Return heads that keep the frozen views beside them."""
    name = common["name"]
    if any(initial):
        raise UsageError(f"there is no tower to give initial weights to: {name} stands on frozen {' and '.join(views)}")
    inputs = heads.head_views(name, views)
    made = made.model_copy(update={"views": view_names(inputs)})
    below = f"frozen {' and '.join(made.views)}"
    if before is None:  # its heads are random, and of weight 0
        common["summary"] = "LARP before training (the frozen views)"
    card = EncoderCard(
        **common,
        modalities=modalities_of(inputs),
        dim=None,
        pooling=heads.POOLING,
        weights=f"trained: heads beside {below}" if before else f"none: {below} alone",
        stochastic=before is not None or any(each.card.stochastic for each in inputs),
        control=all(each.card.control for each in inputs),
    )
    training = Training(
        method=heads.METHOD,
        settings=made.model_dump(mode="json"),
        start=before,
        inputs=inputs,
        seconds=partial(heads.stage_seconds, made.training),
        one_thread=True,
        sides=len(inputs) == len(VIEWS),
        read_folder=heads.read_heads,
    )
    return EncoderSpec(
        card,
        factory=partial(heads.build_heads, views),
        check=require_audio_for_default(name) if views == DEFAULT_VIEWS else None,
        inputs=inputs,
        training=training,
    )


def _over_towers(
    common: dict[str, Any],
    made: Recipe,
    size: Size,
    before: EncoderSpec | None,
    initial: tuple[str | None, str | None],
) -> EncoderSpec:
    """Return two towers, or plain heads in their place."""
    made = two_towers.with_weights(made, initial)
    inputs = two_towers.tower_inputs(made)
    swin = made.audio if isinstance(made.audio, SwinSettings) else None
    weights = f"heads over frozen {' and '.join(each.identity for each in inputs)}" if inputs else f"{size} size"
    card = EncoderCard(
        **common,
        modalities=("audio", "text"),
        dim=made.dim,
        sample_rate=swin.mel.sample_rate if swin else None,
        window_s=swin.mel.window_s if swin else None,
        pooling=two_towers.POOLING,
        weights=f"trained: {weights}" if before else f"{RANDOM_WEIGHTS}: {weights}",
        stochastic=True,
    )
    training = Training(
        method=two_towers.METHOD,
        settings=made.model_dump(mode="json"),
        start=before,
        inputs=inputs or ((log_mel_spec(swin.mel),) if swin else ()),
        reads_captions=isinstance(made.text, BertSettings),
        weights_digest=partial(two_towers.initial_digest, made),
        seconds=partial(_stage_seconds, made.training, size),
        one_thread=bool(inputs),
        several_processes=True,
        read_folder=two_towers.read_larp,
    )
    return EncoderSpec(card, factory=two_towers.build_larp, inputs=inputs, training=training)


def _stage_seconds(training: TrainingSettings | None, size: Size, tracks: int) -> float:
    if training is None:
        return 0.5
    an_anchor = _SECONDS_A_TRACK[size] * (1 if training.stage == "wtc" else 2)  # pairs
    return training.anchors_in_all(tracks) * an_anchor


def bind_larp(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder in the size, over the views, with the J and of the side that its name asks for.

    Such as ``tiny:j5:audio`` or ``tfidf+minilm``.

    Raises:
        UnknownNameError: If a view is no encoder.
        UsageError: If the name asks for something else.
    """
    name = spec.card.name
    stages = next(stages for stages in _CHAINS if name.removesuffix("-fusion") == stage_name(stages, "mean"))
    variant, views = parse(spec, argument, "tpc" in stages)
    found = larp_spec(
        stages,
        variant.size or "heads",
        views or DEFAULT_VIEWS,
        "attention" if name.endswith("-fusion") else "mean",
        variant.neighbours or DEFAULT_NEIGHBOURS,
    )
    if variant.side is None:
        return found
    written = ":".join(each for each in (found.argument, variant.side) if each)
    fields = {"pooling": heads.side_pooling(variant.side)} if variant.size in (None, "heads") else {}
    return replace(found, argument=written, check=None).viewed(variant.side, **fields)


def _reads_earlier(spec: EncoderSpec) -> EncoderSpec:
    """Return an encoder whose folders may be of the method of towers, and of the heads of earlier versions."""
    return replace(spec, training=spec.training and replace(spec.training, earlier=(larp_spec((), "heads-plain"),)))


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
LARP_TPC_FUSION = _reads_earlier(larp_spec(("wtc", "ttc", "tpc")))
