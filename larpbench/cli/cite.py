"""``larpbench cite``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.errors import UnknownNameError
from larpbench.streams import aside

if TYPE_CHECKING:
    from larpbench.encoders.spec import EncoderSpec

EPILOG = """Examples:

larpbench cite >> paper.bib

larpbench cite clap-pt mpd continuation dropoutnet

larpbench cite larp-ttc:tfidf+minilm hf-audio:m-a-p/MERT-v1-95M@7

larpbench cite provided:musicnn --dataset my-onion"""


def cite(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Encoders, data sets, tasks and recommenders; none: larpbench itself.", metavar="[NAME]..."
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="The data set that brings the vectors of provided:NAME.")
    ] = None,
) -> None:
    """Print BibTeX entries.

    For encoders, data sets, tasks and recommenders; without a name, for larpbench. Each entry is printed once. For an
    encoder that builds upon others, these are the entries of all its parts. What larpbench brings and no paper
    describes is cited by the entry of larpbench.
    """
    from larpbench.citations import OWN, bibtex

    citations: list[str] = []
    for name in names or [OWN]:
        found = _citations(name, dataset)
        if not found:
            typer.echo(f"{name}: no reference is known", err=True)
        citations += found
    typer.echo("\n\n".join(bibtex(citations)), nl=bool(citations))


@aside()
def _citations(name: str, dataset: str | None) -> tuple[str, ...]:
    """Return keys or entries of whatever has a name.

    Raises:
        UnknownNameError: If nothing has.
    """
    from larpbench.citations import OWN
    from larpbench.datasets.catalogue import list_datasets
    from larpbench.datasets.files import MANIFEST
    from larpbench.encoders.names import ENCODERS
    from larpbench.recommenders import RECOMMENDERS
    from larpbench.tasks import TASKS, own_recommenders

    if name == OWN:
        return (OWN,)
    if name in TASKS.names():
        return TASKS.get(name).citation or _own(TASKS.origin(name).built_in)
    if name in list_datasets() or (Path(name) / MANIFEST).is_file():
        return _of_dataset(name)
    if name in RECOMMENDERS.names():
        return RECOMMENDERS.get(name).citation or _own(RECOMMENDERS.origin(name).built_in)
    if name not in ENCODERS.names() and name in (owned := own_recommenders()):
        _, recommender = owned[name]
        return getattr(recommender, "citation", ()) or _own(True)
    try:
        return _of_encoder(name, dataset)
    except UnknownNameError as error:
        if error.name != name:
            raise  # of a part of it
        known = [OWN, *ENCODERS.names(), *list_datasets(), *TASKS.names(), *RECOMMENDERS.names(), *own_recommenders()]
        steps = "larpbench list encoders, datasets, tasks or recommenders"
        raise UnknownNameError("name", name, set(known), steps) from None


def _own(built_in: bool) -> tuple[str, ...]:
    from larpbench.citations import OWN

    return (OWN,) if built_in else ()


def _of_dataset(name: str) -> tuple[str, ...]:
    from larpbench.datasets.catalogue import DATASETS, find_folder
    from larpbench.datasets.files import read_manifest

    if name not in DATASETS.names():  # built from a collection perhaps, in a folder
        name = read_manifest(find_folder(name)).name
    if name not in DATASETS.names():
        return ()  # a user's own
    card = DATASETS.get(name).card
    return (card.citation if card else ()) or _own(DATASETS.origin(name).built_in)


def _of_encoder(name: str, dataset: str | None) -> tuple[str, ...]:
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.citations import encoder_citations
    from larpbench.encoders.names import ENCODERS, get_encoder

    name, sources = _without_sources(name)
    spec = ENCODERS.get(name) if name in ENCODERS.names() else get_encoder(name)  # without what it takes
    trained_on = tuple(key for source in sources for key in _of_dataset(source))
    provided = _brought(spec)
    if dataset is None or not provided:
        return (*encoder_citations(spec), *trained_on)
    data = load_dataset(dataset)
    for each in provided:
        if each.check:
            each.check(each.argument, data, ())  # that it has such vectors
    return (*encoder_citations(spec.tested_on(data)), *trained_on, *_of_dataset(dataset))


def _without_sources(name: str) -> tuple[str, list[str]]:
    """Return an encoder's name without the registered data sets that it was trained on, which need not be built."""
    from larpbench.datasets.catalogue import DATASETS
    from larpbench.encoders.names import ENCODERS, parse_name, split_label

    written, sources = [], []
    for part in parse_name(split_label(name)[1]):
        trained = part.base in ENCODERS.names() and ENCODERS.get(part.base).training is not None
        argument, source = part.argument_and_source(trained)
        known = source in DATASETS.names()
        written.append(f"{part.base}{argument}" if known else part.written)
        sources += [source] if known and source else []
    return "+".join(written), sources


def _brought(spec: EncoderSpec) -> list[EncoderSpec]:
    """Return the parts of an encoder whose vectors a data set brings."""
    inputs = [*spec.inputs, *(spec.training.inputs if spec.training else ())]
    return [spec] * bool(spec.of_dataset) + [part for each in inputs for part in _brought(each)]
