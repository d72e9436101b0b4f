"""``larpbench encode``."""

from __future__ import annotations

from typing import Annotated

import typer

from larpbench.cli import options, printing

EPILOG = """Examples:

larpbench encode --encoder tfidf

larpbench encode --encoder random --dataset my-data --split train --seed 1

larpbench encode --encoder tfidf --json"""


def encode(
    encoder: Annotated[str, typer.Option("--encoder", help="Encoder name: larpbench list encoders.")],
    dataset: options.DatasetName = "demo",
    split: Annotated[str, typer.Option("--split", help="train, valid or test.")] = "test",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=options.LARGEST_SEED, help="Seed of encoders with a random part.")
    ] = 0,
    as_json: options.Json = False,
) -> None:
    """Compute and store an encoder's vectors of one split.

    They are written shard by shard; a later run uses them.
    """
    from larpbench.benchmark.plan import default_store
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.datasets.schema import SPLITS
    from larpbench.encoders.names import get_encoder
    from larpbench.encoders.run.training import ensure_trained
    from larpbench.errors import UsageError
    from larpbench.tasks.validation import validation_recall

    spec = get_encoder(encoder)
    seed = seed if spec.card.stochastic else 0
    chosen = next((name for name in SPLITS if name == split), None)
    if chosen is None:
        raise UsageError(f"no split {split!r}", allowed=", ".join(SPLITS))
    data = load_dataset(dataset)
    if not data.split(chosen).tracks.height:
        raise UsageError(f"the {chosen} split of {data.name} has no tracks")
    store = default_store()
    spec = spec.tested_on(data)
    ensure_trained(store, spec, seed, validation_recall)
    stored = store.embed(spec, data, chosen, seed)
    for warning in stored.warnings:
        typer.echo(f"warning: {warning}", err=True)
    count, dim = stored.vectors.shape
    folder = None if spec.in_place else store.folder(spec, store.keys.embedding(spec, data, data.split(chosen), seed))
    if as_json:
        printing.print_json(
            {
                "encoder": spec.identity,
                "dataset": data.name,
                "split": chosen,
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
        )
    elif folder is None:
        typer.echo(
            f"{count} vectors of {dim} numbers: {spec.place or spec.argument}, which holds them; nothing is stored"
        )
    else:
        typer.echo(f"{count} vectors of {dim} numbers: {folder}")
