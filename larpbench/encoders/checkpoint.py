"""The encoder ``checkpoint:FOLDER[:VIEW]``: a trained model in a folder, whatever method trained it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from larpbench.datasets.files import MANIFEST, read_manifest
from larpbench.encoders.card import VIEWS, EncoderCard, View
from larpbench.encoders.checkpoint_folder import CARD, read_card
from larpbench.encoders.encoder import EncodeContext, TrainableEncoder
from larpbench.encoders.names import ENCODERS, parse_name, split_ending
from larpbench.encoders.spec import DatasetReference, EncoderSpec
from larpbench.errors import DataError, EmbeddingError, MissingPartError, UsageError
from larpbench.fingerprint import digest, digest_file_once

_TOKENS = ("words.json", "tokenizer.json", "vocab.txt")


def bind_checkpoint(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder whose weights are in a folder, such as ``my-larp:audio``.

    Raises:
        MissingPartError: If there is no such folder.
        DataError: If it is no checkpoint, or the data set that it learnt from has changed.
        UsageError: If it has no such side.
    """
    folder, view = _folder_and_view(argument)
    if not (folder / CARD).is_file():
        raise MissingPartError(
            "there is no checkpoint in this folder",
            where=str(folder),
            allowed="a folder that larpbench train or larpbench convert larp wrote",
        )
    facts = read_card(folder)
    method = _method(folder, facts)
    training = method.training
    if training is None or training.read_folder is None:
        raise _unknown_method(folder, facts)
    trained_on = _trained_on(facts, folder)
    fields, inputs = training.read_folder(folder, facts, trained_on)
    sides: dict[View, dict[str, Any]] = fields.pop("sides", {each: {} for each in fields["modalities"]})
    if view and not (training.sides and sides):
        raise UsageError(
            f"this model of method {_method_name(facts)!r} has no sides",
            where=str(folder),
            allowed=f"checkpoint:{folder}",
        )
    if view and view not in sides:
        raise UsageError(f"the checkpoint has no {view} side", where=str(folder), allowed=" or ".join(sides))
    training_data = facts.get("trained_on", spec.card.training_data)
    known = {"training_data": training_data, "citation": method.card.citation}
    card = spec.card.model_copy(update={**fields, **known})
    bound = replace(spec, card=card, inputs=inputs, trained_on=trained_on)
    side = view or (next(iter(sides)) if len(sides) == 1 and training.sides else None)
    return bound.viewed(side, **(sides[side] if side else {}))


def build_checkpoint(context: EncodeContext, argument: str | None) -> TrainableEncoder:
    """Return the encoder whose weights are in a folder."""
    folder, view = _folder_and_view(argument or "")
    facts = read_card(folder)
    views = facts.get("views", VIEWS)
    encoder = _method(folder, facts).factory(context, view or (views[0] if len(views) == 1 else None))
    if not isinstance(encoder, TrainableEncoder):
        raise EmbeddingError("the method of this checkpoint has no fit, save and load", where=str(folder))
    encoder.load(folder)
    return encoder


def checkpoint_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of a checkpoint folder's weights, settings and tokenizer."""
    folder, _ = _folder_and_view(argument or "")
    tokens = [folder / name for name in _TOKENS if (folder / name).is_file()]
    files = [folder / "model.safetensors", folder / "settings.json", *tokens]
    return digest([digest_file_once(path) for path in files])


def _folder_and_view(argument: str) -> tuple[Path, View | None]:
    folder, view = split_ending(argument, VIEWS)
    return (Path(folder).expanduser(), view) if folder else (Path(argument).expanduser(), None)


def _method(folder: Path, facts: Mapping[str, Any]) -> EncoderSpec:
    """Return the spec of an encoder that is trained by the same method: its name is that of the method, or its alias.

    A method of another version than today's, or none, is that of earlier versions.

    Raises:
        DataError: If there is none.
    """
    base = parse_name(_method_name(facts))[0].base
    if base not in ENCODERS.names():
        raise _unknown_method(folder, facts)
    spec = ENCODERS.get(base)
    methods = (spec, *(spec.training.earlier if spec.training else ()))
    same = (each for each in methods if each.training and each.training.method == facts.get("method"))
    return next(same, methods[-1])


def _method_name(facts: Mapping[str, Any]) -> str:
    return str(facts.get("method", "larp")).partition(" ")[0]


def _unknown_method(folder: Path, facts: Mapping[str, Any]) -> DataError:
    return DataError(
        f"the checkpoint is of method {_method_name(facts)!r}, which is unknown here",
        where=str(folder),
        allowed="the name of an encoder that is trained: larp, clap-ft, co-playlist, cnn, factors, or of a plug-in",
    )


def _trained_on(facts: Mapping[str, Any], folder: Path) -> DatasetReference | None:
    """Return the data set that a checkpoint was trained on; None if larpbench did not train it.

    Only the manifest is read.
    """
    if "trained_on_folder" not in facts:
        return None
    place = Path(facts["trained_on_folder"])
    if not (place / MANIFEST).is_file() or read_manifest(place).fingerprint != facts["trained_on_fingerprint"]:
        raise DataError(
            f"the data set {facts['trained_on']!r} that this checkpoint was trained on is gone or was changed: it "
            "decides what the encoders under the heads have learnt, and which tracks must not be tested",
            where=str(folder),
            next_step=f"restore {place}, or train again: larpbench train larp",
        )
    return DatasetReference(read_manifest(place).name, str(place))


CHECKPOINT = EncoderSpec(
    EncoderCard(
        name="checkpoint",
        version=1,
        summary="a trained or converted model, a folder",
        modalities=("audio", "text"),
        dim=None,
        pooling="mean of audio and text vector, each of length 1",
        weights="those of the folder",
        licence="that of the folder",
        training_data="unknown",
        tracks_per_second=5.0,
    ),
    factory=build_checkpoint,
    takes="FOLDER[:audio|:text]",
    digest=checkpoint_digest,
    binder=bind_checkpoint,
)
