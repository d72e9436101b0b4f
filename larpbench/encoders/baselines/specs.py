"""The baselines in the registry, in two sizes; readable without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from larpbench.encoders.baselines.settings import (
    BASELINE_SIZES,
    BaselineSize,
    ClapRecipe,
    ClapSettings,
    CnnRecipe,
    clap_ft,
    cnn,
    co_playlist,
)
from larpbench.encoders.card import VIEWS, EncoderCard, View
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import parse_variant, split_ending
from larpbench.encoders.spec import DatasetReference, EncoderSpec, FolderFacts, Training
from larpbench.encoders.towers.settings import RANDOM_WEIGHTS
from larpbench.encoders.towers.spectrograms import log_mel_spec
from larpbench.errors import UsageError
from larpbench.paths import without_folders
from larpbench.training.settings import SETTINGS, LoopSettings, read_from

NAMES = ("clap-ft", "cnn", "co-playlist")
_LICENCE = "Apache-2.0, that of the data set"


@dataclass(frozen=True)
class Kind:
    """What the two sizes of a baseline have in common."""

    name: str
    summary: str
    learns_from: str
    paper: str
    citation: tuple[str, ...]
    recipe: Callable[[BaselineSize], ClapRecipe | CnnRecipe]
    seconds_an_anchor: dict[BaselineSize, float]
    speed: dict[BaselineSize, float]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "clap-ft",
            "CLAP fine-tuned on audio-caption pairs",
            "tracks",
            "Wu et al. 2023, Large-scale contrastive language-audio pretraining; row CLAP-FT of LARP",
            ("wu2023clap", "salganik2024larp"),
            clap_ft,
            {"tiny": 0.016, "paper": 0.85},
            {"tiny": 100.0, "paper": 1.0},
        ),
        Kind(
            "co-playlist",
            "CNN trained on playlist co-occurrence",
            "playlists",
            "Alonso-Jimenez et al. 2023, Pre-training strategies using contrastive learning and playlist information "
            "for music classification and similarity",
            ("alonso2023playlists",),
            co_playlist,
            {"tiny": 1.5e-3, "paper": 0.1},
            {"tiny": 100.0, "paper": 1.0},
        ),
        Kind(
            "cnn",
            "CNN trained on two crops of a track",
            "tracks",
            "McCallum et al. 2022, Supervised and unsupervised learning of audio representations for music "
            "understanding",
            ("mccallum2022mule",),
            cnn,
            {"tiny": 1.8e-3, "paper": 1.5},
            {"tiny": 100.0, "paper": 1.0},
        ),
    )
}


def baseline_spec(
    name: str, size: BaselineSize = "tiny", updates: int | None = None, weights: str | None = None
) -> EncoderSpec:
    """Return a baseline.

    Args:
        name: ``clap-ft``, ``co-playlist`` or ``cnn``.
        size: Which size.
        updates: How many its training has, without early stopping; None: validation decides.
        weights: Initial weights of ``clap-ft``, as in its recipe; None for those of the size.

    Raises:
        UsageError: If initial weights are given to another.
    """
    kind = KINDS[name]
    made = kind.recipe(size)
    changes: dict[str, Any] = {}
    if updates:
        changes["training"] = made.training.model_copy(update={"updates": updates, "patience": 0})
    if weights is not None:
        if not isinstance(made, ClapRecipe):
            raise UsageError(f"encoder {name!r} starts from random weights only")
        changes["weights"] = weights
    made = made.model_copy(update=changes)
    shape = made.model if isinstance(made, ClapRecipe) else made
    initial = made.weights if isinstance(made, ClapRecipe) else RANDOM_WEIGHTS
    start = without_folders(initial) if initial != RANDOM_WEIGHTS else None
    card = EncoderCard(
        name=name,
        version=1,
        summary=kind.summary,
        weights=f"trained: {size} size" + (f", from {start}" if start else ""),
        licence=_LICENCE,
        training_data=(f"that of {start}, then " if start else "")
        + f"the train {kind.learns_from} of the data set after the @",
        paper=kind.paper,
        citation=kind.citation,
        stochastic=True,
        tracks_per_second=kind.speed[size],
        **_described(shape),
    )
    clap = isinstance(shape, ClapSettings)
    mel = shape.audio.mel if isinstance(shape, ClapSettings) else shape.mel
    training = Training(
        method=f"{name} 2",
        settings=made.model_dump(mode="json"),
        inputs=(log_mel_spec(mel),),
        reads_captions=clap,
        weights_digest=partial(_initial_digest, made),
        seconds=partial(_seconds, made.training, kind.seconds_an_anchor[size]),
        several_processes=clap,
        read_folder=_read_clap if clap else _read_cnn,
    )
    return EncoderSpec(
        card,
        factory=build_clap if clap else build_cnn,
        takes="[tiny|paper][:audio|:text]" if clap else "[tiny|paper]",
        argument=None if size == "tiny" else size,
        training=training,
        binder=bind_baseline,
    )


def bind_baseline(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder in the size and view that its name asks for, such as ``paper:audio``.

    Raises:
        UsageError: If the name asks for something else.
    """
    views = VIEWS if len(spec.card.modalities) == len(VIEWS) else ()
    words = parse_variant(spec, argument, BASELINE_SIZES, views)
    size, view = cast("BaselineSize", words[0] or "tiny"), cast("View | None", words[1])
    written = [each for each in (size if size != "tiny" else None, view) if each]
    return replace(baseline_spec(spec.card.name, size), argument=":".join(written) or None).viewed(view)


def build_cnn(context: EncodeContext, argument: str | None) -> Encoder:
    """Return an encoder without weights: they come from `fit` or `load`."""
    from larpbench.encoders.baselines.encoder import CnnEncoder

    return CnnEncoder()


def build_clap(context: EncodeContext, argument: str | None) -> Encoder:
    """Return an encoder without weights: they come from `fit` or `load`."""
    from larpbench.encoders.baselines.encoder import ClapEncoder

    return ClapEncoder(split_ending(argument or "", VIEWS)[1])


def _seconds(training: LoopSettings, an_anchor: float, tracks: int) -> float:
    return training.anchors_in_all(tracks) * an_anchor


def _read_cnn(folder: Path, facts: Mapping[str, Any], trained_on: DatasetReference | None) -> FolderFacts:
    return _described(read_from(folder / SETTINGS, CnnRecipe)), ()


def _read_clap(folder: Path, facts: Mapping[str, Any], trained_on: DatasetReference | None) -> FolderFacts:
    return _described(read_from(folder / SETTINGS, ClapSettings)), ()


def _described(made: ClapSettings | CnnRecipe) -> dict[str, Any]:
    """Return the fields of the card that follow from the shape."""
    if isinstance(made, CnnRecipe):
        return {
            "modalities": ("audio",),
            "dim": made.backbone.widths[-1],
            "sample_rate": made.mel.sample_rate,
            "window_s": made.crop_s,
            "pooling": "mean over crops, scaled to length 1",
        }
    return {
        "modalities": VIEWS,
        "dim": made.dim,
        "sample_rate": made.audio.mel.sample_rate,
        "window_s": made.audio.mel.window_s,
        "pooling": "mean of audio and text vector, each of length 1",
    }


def _initial_digest(made: ClapRecipe | CnnRecipe) -> str | None:
    if not isinstance(made, ClapRecipe) or made.weights == RANDOM_WEIGHTS:
        return None
    from larpbench.encoders.towers.initial_weights import weights_digest

    return weights_digest(made.weights)


CLAP_FT = baseline_spec("clap-ft")
CO_PLAYLIST = baseline_spec("co-playlist")
CNN = baseline_spec("cnn")
