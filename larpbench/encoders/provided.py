"""The encoder ``provided:NAME``: looks up vectors that the data set brings in its folder ``vectors``, in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from larpbench.datasets.provided import VectorSet, vector_sets
from larpbench.datasets.schema import Dataset, SplitName
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.precomputed import build_precomputed, check_precomputed, precomputed_digest
from larpbench.encoders.precomputed.opening import size_and_dim
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError, UsageError, named, shell_word

_NAME = "provided"


def provided_encoders(dataset: Dataset) -> list[str]:
    """Return the names of the encoders that look up what a data set brings; those of vectors that leak are left out."""
    return [f"{_NAME}:{each.name}" for each in vector_sets(dataset.folder).values() if not each.card.leak]


def refuse_leaks(specs: Iterable[EncoderSpec], dataset: Dataset) -> None:
    """Refuse encoders that look up vectors made from listening or playlists.

    Args:
        specs: Encoders that are to be tested.
        dataset: On which; encoders that learn elsewhere are looked at there.

    Raises:
        UsageError: If there are any, also among what they build upon.
    """
    for spec in specs:
        for part, of in _parts(spec, dataset):
            found = vector_sets(of.folder).get(part.argument or "") if part.card.name == _NAME else None
            if found and found.card.leak:
                raise UsageError(
                    f"the vectors {found.name!r} are no content: {found.card.leak}",
                    where=f"encoder {spec.identity}, {found.path}",
                    allowed="vectors of content, or --allow-leaky (allow_leaky=True) for a reference that has seen the "
                    "answers",
                    next_step=f"larpbench list encoders --dataset {shell_word(of.name)}",
                )


def _parts(spec: EncoderSpec, dataset: Dataset) -> Iterator[tuple[EncoderSpec, Dataset]]:
    yield spec, dataset
    for each in spec.inputs:
        yield from _parts(each, dataset)
    if spec.training:
        source = spec.source or dataset
        for each in (*spec.training.inputs, *((spec.training.start,) if spec.training.start else ())):
            yield from _parts(each, source)


def _bound(spec: EncoderSpec, dataset: Dataset) -> EncoderSpec:
    """Return the encoder with the card of the set that a data set has under its name; as it was if it has none."""
    found = vector_sets(dataset.folder).get(spec.argument or "")
    if found is None:
        return spec
    card, place = found.card, str(found.path)
    facts = {
        "summary": card.what + (" (LEAK)" if card.leak else "") + (", centred on the train tracks" * spec.centred),
        "dim": size_and_dim(place)[1] or None,
        "window_s": card.window_s,
        "weights": f"computed by {card.by}",
        "licence": card.licence,
        "training_data": card.leak or card.training_data,
        "citation": card.citation,
        "overlaps": (dataset.name,) if card.leak else (),
        "control": bool(card.leak),
    }
    return replace(spec, card=spec.card.model_copy(update=facts), place=place)


def _set_of(context: EncodeContext, argument: str | None) -> VectorSet:
    return _found(vector_sets(context.dataset_folder), argument, str(context.dataset_folder))


def _found(sets: dict[str, VectorSet], argument: str | None, where: str) -> VectorSet:
    if argument not in sets:
        raise MissingPartError(
            f"the data set brings no vectors {argument!r}",
            where=where,
            allowed=named(list(sets), 20) if sets else "none: it brings no vectors",
            next_step="larpbench list encoders --dataset DATASET, or precomputed:FILE for vectors of your own",
        )
    return sets[argument]


def _build(context: EncodeContext, argument: str | None) -> Encoder:
    return build_precomputed(context, str(_set_of(context, argument).path))


def _digest(context: EncodeContext, argument: str | None) -> str:
    return precomputed_digest(context, str(_set_of(context, argument).path))


def _check(argument: str | None, dataset: Dataset, splits: Sequence[SplitName]) -> None:
    found = _found(vector_sets(dataset.folder), argument, f"the data set {dataset.name!r}")
    check_precomputed(str(found.path), dataset, splits)


PROVIDED = EncoderSpec(
    EncoderCard(
        name=_NAME,
        version=1,
        summary="vectors that the data set brings",
        modalities=(),
        dim=None,
        weights="those of the data set",
        licence="that of the data set",
        training_data="unknown",
        tracks_per_second=200_000,
    ),
    factory=_build,
    takes="NAME",
    digest=_digest,
    check=_check,
    in_place=True,
    of_dataset=_bound,
)
