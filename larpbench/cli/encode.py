"""``larpbench encode``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from larpbench.cli import options, printing

if TYPE_CHECKING:
    from larpbench.datasets.schema import Dataset, SplitName
    from larpbench.encoders.run.store import EmbeddingStore
    from larpbench.encoders.spec import EncoderSpec

EPILOG = """Examples:

larpbench encode --encoder tfidf

larpbench encode --encoder random --dataset my-data --split train --seed 1

larpbench encode --encoder hf-audio:facebook/hubert-base-ls960@all --dataset my-data

larpbench encode --encoder clap-pt:audio,mert-95m@all --dataset my-data --split train

larpbench encode --encoder htsat --dataset my-data --backend openvino

larpbench encode --encoder tfidf --json"""


def encode(
    encoder: Annotated[
        str, typer.Option("--encoder", help="Encoder name, or several separated by commas: larpbench list encoders.")
    ],
    dataset: options.DatasetName = "demo",
    split: Annotated[str, typer.Option("--split", help="train, valid or test.")] = "test",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=options.LARGEST_SEED, help="Seed of encoders with a random part.")
    ] = 0,
    backend: options.Backend = "torch",
    as_json: options.Json = False,
) -> None:
    """Compute and store the vectors of one split.

    They are written shard by shard; a later run uses them. Of several encoders, those of one sample rate share a pass:
    each file is decoded once, and all layers of a model (NAME@all) come from one pass through it.
    """
    from larpbench.benchmark.plan import default_store
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.datasets.schema import SPLITS
    from larpbench.encoders.layers import every_layer
    from larpbench.encoders.names import get_encoder
    from larpbench.encoders.precision import named_for
    from larpbench.encoders.run.together import Need, encode_together
    from larpbench.encoders.run.training import ensure_trained
    from larpbench.errors import UsageError
    from larpbench.tasks.layers import choose_layers
    from larpbench.tasks.validation import validation_recall

    named = [named_for(each.strip(), backend) for each in encoder.split(",") if each.strip()]
    names = list(dict.fromkeys(each for name in named for each in every_layer(name)))
    if not names:
        raise UsageError("no encoder is named", allowed="larpbench list encoders")
    specs = [get_encoder(name) for name in names]
    chosen = next((name for name in SPLITS if name == split), None)
    if chosen is None:
        raise UsageError(f"no split {split!r}", allowed=", ".join(SPLITS))
    data = load_dataset(dataset)
    if not data.split(chosen).tracks.height:
        raise UsageError(f"the {chosen} split of {data.name} has no tracks")
    store = default_store()
    wanted = [(spec.tested_on(data), seed if spec.card.stochastic else 0) for spec in specs]
    for spec, own in wanted:
        spec.require_possible(data, [chosen])
        ensure_trained(store, spec, own, validation_recall)
        choose_layers(store, spec, data, own)
    encode_together(store, [Need(spec, data, chosen, own) for spec, own in wanted])
    facts = [_encoded(store, spec, data, chosen, own) for spec, own in wanted]
    if as_json:
        printing.print_json(facts if len(facts) > 1 else facts[0])
        return
    for each in facts:
        if each["folder"] is None:
            place = f"{each['file']}, which holds them; nothing is stored" if each["file"] else "nothing is stored"
        else:
            place = str(each["folder"])
        before = f"{each['encoder']}: " if len(facts) > 1 else ""
        typer.echo(f"{before}{each['tracks']} vectors of {each['dim']} numbers: {place}")


def _encoded(store: EmbeddingStore, spec: EncoderSpec, data: Dataset, split: SplitName, seed: int) -> dict[str, object]:
    stored = store.embed(spec, data, split, seed)
    for warning in stored.warnings:
        typer.echo(f"warning: {warning}", err=True)
    count, dim = stored.vectors.shape
    folder = None
    if not (spec.in_place or spec.choice):
        folder = store.folder(spec, store.keys.embedding(spec, data, data.split(split), seed))
    return {
        "encoder": spec.identity,
        "dataset": data.name,
        "split": split,
        "seed": seed,
        "tracks": count,
        "dim": dim,
        "dtype": str(stored.vectors.dtype),
        "key": stored.key,
        "folder": folder and str(folder),
        "file": (spec.place or spec.argument) if spec.in_place else None,
        "wall_s": stored.cost.wall_s,
        "cpu_s": stored.cost.cpu_s,
        "tracks_per_second": count / stored.cost.wall_s if stored.cost.wall_s else None,
        "warnings": stored.warnings,
    }
