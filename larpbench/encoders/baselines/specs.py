"""The baselines in the registry, in two sizes; readable without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from larpbench.datasets.schema import Dataset
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
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.checkpoint import VIEWS, InFolder, viewed
from larpbench.encoders.spec import EncoderSpec, Training
from larpbench.encoders.towers.settings import RANDOM_WEIGHTS
from larpbench.encoders.towers.spectrograms import log_mel_spec
from larpbench.errors import UsageError
from larpbench.training.settings import SETTINGS, read_from

_LICENCE = "Apache-2.0, that of the data set"
_FACTORIES = "larpbench.encoders.baselines.encoder"


@dataclass(frozen=True)
class Kind:
    """What the two sizes of a baseline have in common."""

    name: str
    summary: str
    learns_from: str
    paper: str
    recipe: Callable[[BaselineSize], ClapRecipe | CnnRecipe]
    seconds: dict[BaselineSize, float]
    speed: dict[BaselineSize, float]


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "clap-ft",
            "CLAP, fine-tuned: audio and text of a track agree",
            "tracks",
            "Wu et al. 2023, Large-scale contrastive language-audio pretraining; row CLAP-FT of LARP",
            clap_ft,
            {"tiny": 200.0, "paper": 1e6},
            {"tiny": 100.0, "paper": 1.0},
        ),
        Kind(
            "co-playlist",
            "a CNN that hears which tracks share a playlist",
            "playlists",
            "Alonso-Jimenez et al. 2023, Pre-training strategies using contrastive learning and playlist information "
            "for music classification and similarity",
            co_playlist,
            {"tiny": 50.0, "paper": 1e6},
            {"tiny": 100.0, "paper": 1.0},
        ),
        Kind(
            "cnn",
            "a CNN trained as MULE was: two crops of a track agree",
            "tracks",
            "McCallum et al. 2022, Supervised and unsupervised learning of audio representations for music "
            "understanding",
            cnn,
            {"tiny": 70.0, "paper": 1e6},
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
    start = made.weights if isinstance(made, ClapRecipe) and made.weights != RANDOM_WEIGHTS else None
    card = EncoderCard(
        name=name,
        version=1,
        summary=kind.summary,
        weights=f"trained: {size} size" + (f", from {start}" if start else ""),
        licence=_LICENCE,
        training_data=(f"that of {start}, then " if start else "")
        + f"the train {kind.learns_from} of the data set after the @",
        paper=kind.paper,
        stochastic=True,
        tracks_per_second=kind.speed[size],
        **_described(shape),
    )
    clap = isinstance(shape, ClapSettings)
    mel = shape.audio.mel if isinstance(shape, ClapSettings) else shape.mel
    training = Training(
        method=f"{name} 1",
        settings=made.model_dump(mode="json"),
        inputs=(log_mel_spec(mel),),
        reads_captions=clap,
        weights_digest=partial(_initial_digest, made),
        seconds=kind.seconds[size],
    )
    return EncoderSpec(
        card,
        factory=f"{_FACTORIES}:{'build_clap' if clap else 'build_cnn'}",
        takes="[tiny|paper][:audio|:text]" if clap else "[tiny|paper]",
        argument=None if size == "tiny" else size,
        training=training,
        binder="larpbench.encoders.baselines.specs:bind_baseline",
    )


def bind_baseline(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder in the size and view that its name asks for, such as ``paper:audio``.

    Raises:
        UsageError: If the name asks for something else.
    """
    name, parts = spec.card.name, argument.split(":")
    size = next((each for each in BASELINE_SIZES if each == parts[0]), None)
    view = next((each for each in VIEWS if each == parts[-1] and len(spec.card.modalities) == len(VIEWS)), None)
    if parts != [each for each in (size, view) if each]:
        raise UsageError(f"encoder {name!r} has no variant {argument!r}", allowed=f"{name}:{spec.takes}")
    made = baseline_spec(name, size or "tiny")
    written = [each for each in (size if size != "tiny" else None, view) if each]
    return viewed(replace(made, argument=":".join(written) or None), view)


def cnn_in_folder(folder: Path, facts: dict[str, Any], source: Dataset | None) -> InFolder:
    """Return what is known of a co-playlist or cnn in a folder, as of `larp.specs.in_folder`."""
    return InFolder(_described(read_from(folder / SETTINGS, CnnRecipe)))


def clap_in_folder(folder: Path, facts: dict[str, Any], source: Dataset | None) -> InFolder:
    """Return what is known of a clap-ft in a folder, as of `larp.specs.in_folder`."""
    return InFolder(_described(read_from(folder / SETTINGS, ClapSettings)))


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
