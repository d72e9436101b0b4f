"""The encoder whose weights are in a folder, whatever method trained it; and one view of an encoder with two sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.schema import Dataset
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.checkpoints import CARD, read_card
from larpbench.encoders.encoder import EncodeContext, TrainableEncoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError, MissingPartError, UnknownNameError, UsageError
from larpbench.fingerprint import digest, digest_file_once
from larpbench.registry import resolve

View = Literal["audio", "text"]
VIEWS: tuple[View, ...] = ("audio", "text")


@dataclass(frozen=True)
class InFolder:
    """What is known of a model in a folder before it is loaded.

    Attributes:
        card: Fields of the encoder's card; ``modalities`` says which sides it has.
        inputs: Encoders whose vectors it reads.
    """

    card: dict[str, Any]
    inputs: tuple[EncoderSpec, ...] = ()


@dataclass(frozen=True)
class _Method:
    """Where a method's functions are: ``module:attribute``.

    Attributes:
        in_folder: A function ``(folder, its card, training data) -> InFolder``.
        build: A function ``(view) -> encoder`` without weights.
    """

    in_folder: str
    build: str


_FAMILIES = "larpbench.encoders"
_TOKENS = ("words.json", "tokenizer.json", "vocab.txt")
_CNN = _Method(f"{_FAMILIES}.baselines.specs:cnn_in_folder", f"{_FAMILIES}.baselines.encoder:CnnEncoder")
_METHODS = {
    "larp": _Method(f"{_FAMILIES}.larp.specs:in_folder", f"{_FAMILIES}.larp.encoder:LarpEncoder"),
    "clap-ft": _Method(f"{_FAMILIES}.baselines.specs:clap_in_folder", f"{_FAMILIES}.baselines.encoder:ClapEncoder"),
    "co-playlist": _CNN,
    "cnn": _CNN,
}
"""By the first word of `Training.method`."""


def bind_checkpoint(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder whose weights are in a folder, such as ``my-larp:audio``.

    Raises:
        MissingPartError: If there is no such folder.
        DataError: If it is no checkpoint, or the data set that it learnt from has changed.
        UsageError: If it has no such side.
    """
    folder, view = folder_and_view(argument)
    if not (folder / CARD).is_file():
        raise MissingPartError(
            "there is no checkpoint in this folder",
            where=str(folder),
            allowed="a folder that larpbench train or larpbench convert larp wrote",
        )
    facts = read_card(folder)
    in_folder: Callable[[Path, dict[str, Any], Dataset | None], InFolder] = resolve(_method(folder, facts).in_folder)
    source = _source(facts, folder)
    found = in_folder(folder, facts, source)
    views = found.card["modalities"]
    if view and view not in views:
        raise UsageError(f"the checkpoint sees no {view}", where=str(folder), allowed=" or ".join(views))
    trained_on = facts.get("trained_on", spec.card.training_data)
    card = spec.card.model_copy(update={**found.card, "training_data": trained_on})
    bound = replace(spec, card=card, inputs=found.inputs, source=source)
    return viewed(bound, view or (views[0] if len(views) == 1 else None))


def build_checkpoint(context: EncodeContext, argument: str | None) -> TrainableEncoder:
    """Return the encoder whose weights are in a folder."""
    folder, view = folder_and_view(argument or "")
    facts = read_card(folder)
    views = facts.get("views", VIEWS)
    build: Callable[[View | None], TrainableEncoder] = resolve(_method(folder, facts).build)
    encoder = build(view or (views[0] if len(views) == 1 else None))
    encoder.load(folder)
    return encoder


def _method(folder: Path, facts: dict[str, Any]) -> _Method:
    name = str(facts.get("method", "larp")).partition(" ")[0]
    if name not in _METHODS:
        raise DataError(
            f"the checkpoint is of method {name!r}, which is unknown here",
            where=str(folder),
            allowed=", ".join(_METHODS),
        )
    return _METHODS[name]


def checkpoint_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of a checkpoint folder's weights, settings and tokenizer."""
    folder, _ = folder_and_view(argument or "")
    tokens = [folder / name for name in _TOKENS if (folder / name).is_file()]
    files = [folder / "model.safetensors", folder / "settings.json", *tokens]
    return digest([digest_file_once(path) for path in files])


def folder_and_view(argument: str) -> tuple[Path, View | None]:
    """Split what follows ``checkpoint:`` into the folder and the side that is asked for, if any."""
    folder, _, last = argument.rpartition(":")
    view = next((each for each in VIEWS if folder and each == last), None)
    return Path(folder if view else argument).expanduser(), view


def viewed(spec: EncoderSpec, view: View | None) -> EncoderSpec:
    """Return one side of a two-tower encoder: it reads that side only, and keeps the weights."""
    if view is None:
        return spec
    card = spec.card.model_copy(update={"modalities": (view,), "pooling": f"the {view} vector alone, of length 1"})
    return replace(spec, card=card, inputs=(spec.inputs[VIEWS.index(view)],) if spec.inputs else ())


def _source(facts: dict[str, Any], folder: Path) -> Dataset | None:
    """Return the data set that a checkpoint was trained on; None if larpbench did not train it."""
    if "trained_on_folder" not in facts:
        return None
    try:
        source = load_dataset(facts["trained_on_folder"])
    except UnknownNameError:
        source = None
    if source is None or source.manifest.fingerprint != facts["trained_on_fingerprint"]:
        raise DataError(
            f"the data set {facts['trained_on']!r} that this checkpoint was trained on is gone or was changed: without "
            "it nobody knows what the encoders under its heads have learnt, and which tracks must not be tested",
            where=str(folder),
            next_step=f"restore {facts['trained_on_folder']}, or train again: larpbench train larp",
        )
    return source


CHECKPOINT = EncoderSpec(
    EncoderCard(
        name="checkpoint",
        version=1,
        summary="a trained model in a folder: of larpbench train, or of larpbench convert larp",
        modalities=("audio", "text"),
        dim=None,
        pooling="mean of audio and text vector, each of length 1",
        weights="those of the folder",
        licence="that of the folder",
        training_data="unknown",
        tracks_per_second=5.0,
    ),
    factory="larpbench.encoders.checkpoint:build_checkpoint",
    takes="FOLDER[:audio|:text]",
    digest=checkpoint_digest,
    binder="larpbench.encoders.checkpoint:bind_checkpoint",
)
