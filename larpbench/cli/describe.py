"""``larpbench describe``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from larpbench.cli import options
from larpbench.errors import DataError, MissingPartError, UsageError
from larpbench.streams import aside

if TYPE_CHECKING:
    from larpbench.encoders.spec import EncoderSpec
    from larpbench.recommenders.base import Scorer

EPILOG = """Examples:

larpbench describe encoder tfidf

larpbench describe recommender itemknn

larpbench describe encoder precomputed --json

larpbench describe encoder provided:musicnn --dataset onion

larpbench describe dataset mpd

larpbench describe dataset my-data"""


Kind = Literal["encoder", "recommender", "task", "dataset"]
_SENTENCES = ("options", "without", "splits", "left_out", "notes", "sources")
"""Facts with one sentence a line."""


def describe(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="Kind of the name.",
            parser=options.one_of("kind of name", get_args(Kind), "larpbench describe encoder NAME"),
        ),
    ],
    name: Annotated[str, typer.Argument(help="Name, as in larpbench list, or the folder of a data set.")],
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Of an encoder: the data set that it would be tested on.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Describe an encoder, a recommender, a task or a data set.

    For an encoder, this is its card: inputs, weights, licences, training data, verification and status. For a data set
    (also a folder), this is what it holds, where to get it, its licence, its size, the command that builds it, what can
    be done without it, and, once it is built, its splits.
    """
    if dataset is not None and kind != "encoder":
        raise UsageError(
            f"--dataset does not apply to a {kind}", allowed="larpbench describe encoder NAME --dataset DATASET"
        )
    facts = _FACTS[kind](name) if dataset is None else _encoder(name, dataset)
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for key, value in facts.items():
        apart = key in _SENTENCES and isinstance(value, list)
        between = "\n" + " " * (width + 2) if apart else ", "
        shown = between.join(map(str, value)) if isinstance(value, (list, tuple)) else value
        shown = "unknown" if key == "parameters" and value is None else shown
        typer.echo(f"{key:{width}}  {'-' if shown in (None, '') else shown}")


def speed_text(spec: EncoderSpec) -> str:
    """Return how fast an encoder is: measured here if it ever ran, else as its card estimates."""
    from larpbench.encoders.run.place import local_store
    from larpbench.errors import UsageError

    try:
        measured = local_store().speed(spec)
    except UsageError:  # what uses the store says that there is none
        measured = None
    speed = measured or spec.card.tracks_per_second
    shown = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
    return f"{shown} tracks/s {'measured here' if measured else 'estimated'}"


@aside()
def _encoder(name: str, dataset: str | None = None) -> dict[str, object]:
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.citations import encoder_citations
    from larpbench.encoders.names import ENCODERS, encoder_origin, get_encoder

    spec = ENCODERS.get(name) if name in ENCODERS.names() else get_encoder(name)  # without what it takes
    if dataset is not None:
        data = load_dataset(dataset)
        spec = get_encoder(name).tested_on(data)
        spec.require_possible(data, ())
    status = spec.status()
    origin = encoder_origin(spec)
    return {
        **spec.card.model_dump(mode="json"),
        "name": spec.identity,
        **_licences(spec),
        "revision": spec.revision,
        "revision_here": _revision_here(spec),
        "citation": list(encoder_citations(spec)),
        "takes": spec.takes,
        "speed": speed_text(spec),
        "weights_from": spec.weights and f"{spec.weights.source} ({spec.weights.size_text}, {spec.weights.licence})",
        "weights_stored_as": _stored_as(spec),
        "windows": _windows(spec),
        "unverified": spec.card.unverified,
        "status": status.text,
        "next": status.next_step,
        "origin": f"{origin['distribution']} {origin['version']} ({origin['target']})",
    }


def _revision_here(spec: EncoderSpec) -> str | None:
    """Return the commit of the weights that are here, which another program may have fetched."""
    folder = spec.weights and spec.weights.found()
    return spec.weights.commit(folder) if spec.weights and folder else None


def _licences(spec: EncoderSpec) -> dict[str, str | None]:
    """Return the licences of code and weights; those of a combination's parts are joined."""
    if spec.combined:
        parts = {each.identity: _licences(each) for each in spec.inputs}
        keys = next(iter(parts.values()))
        return {key: "; ".join(f"{name}: {part[key] or 'none'}" for name, part in parts.items()) for key in keys}
    code, _, weights = spec.card.licence.partition(", ")
    return {"licence_code": code, "licence_weights": None if spec.card.weights == "none" else weights or None}


def _stored_as(spec: EncoderSpec) -> str | None:
    """Return in which precision the weights are stored, None if they are not here; what is wrong with damaged ones."""
    from larpbench.encoders.weights.stored import precision_text

    folder = spec.weights.found() if spec.weights else None
    try:
        return precision_text(spec.weights, folder) if spec.weights and folder else None
    except DataError as error:
        return error.what


def _windows(spec: EncoderSpec) -> str | None:
    """Return how much audio an encoder reads at once; None if it reads none."""
    if "audio" not in spec.card.modalities or spec.combined:
        return None
    return f"windows of {spec.card.window_s:g} s" if spec.card.window_s else "the whole clip at once"


@aside()
def _recommender(name: str) -> dict[str, object]:
    from larpbench.recommenders import RECOMMENDERS
    from larpbench.recommenders.base import LearnedRecommender
    from larpbench.tasks import TASKS, own_recommenders

    task: str | None = None
    if name in RECOMMENDERS.names():
        found: Scorer | MissingPartError = RECOMMENDERS.get(name)
    else:
        owned = own_recommenders().get(name) or own_recommenders(plugins=True).get(name)
        task, found = owned or (None, RECOMMENDERS.get(name))  # raises for an unknown name
    if isinstance(found, MissingPartError):
        raise found
    space = found.search_space if isinstance(found, LearnedRecommender) else {}
    return {
        "name": name,
        "version": found.version,
        "summary": found.summary,
        "task": task,
        "learns_from": list(found.learns_from),
        "citation": list(found.citation),
        "settings": [f"{setting}: {value}" for setting, value in found.settings.items()],
        "search_space": [f"{parameter}: {' '.join(f'{each:g}' for each in space[parameter])}" for parameter in space],
        "origin": str(TASKS.origin(task) if task else RECOMMENDERS.origin(name)),
    }


@aside()
def _task(name: str) -> dict[str, object]:
    from larpbench.tasks import TASKS

    found = TASKS.get(name)
    return {
        "name": name,
        "version": found.version,
        "summary": found.summary,
        "protocol": found.protocol,
        "kind": found.kind,
        "metrics": [metric.column for metric in found.metrics],
        "citation": list(found.citation),
        "options": [
            f"{name}={'' if field.default is None else field.default}: {field.description or ''}"
            for name, field in found.Options.model_fields.items()
        ],
        "origin": str(TASKS.origin(name)),
    }


@aside()
def _dataset(name: str) -> dict[str, object]:
    from larpbench.cli.describe_dataset import about

    return about(name)


_FACTS = {"encoder": _encoder, "recommender": _recommender, "task": _task, "dataset": _dataset}
